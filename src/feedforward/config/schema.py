"""params.yaml as frozen, strict objects: all settings of an experiment, checked before any work starts.

No code is specific to one dataset or variant: datasets differ only in their entries in params.yaml, and so do variants.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from feedforward.config import cross_checks, messages, renamed_keys, yaml_reader
from feedforward.config.claims import Claim, Margins, StatisticName
from feedforward.config.fields import Distinct, FileName, Line, Location, Name, Positive, Strict, T
from feedforward.config.literature import Published
from feedforward.config.operations import Drift, Promotion, Retraining, Schedule, Serving, ShadowRule
from feedforward.config.readers import (
    Expectations,
    IdxPair,
    IdxReader,
    ImageReader,
    RandomSplitReader,
    Reader,
    TableReader,
    TextReader,
)
from feedforward.config.sources import DIGESTS, SourceFile, check_stored_names
from feedforward.config.training import EarlyStopping, Network, Optimizer, Training, Variant
from feedforward.core import paths, redaction
from feedforward.core.errors import ParamsError

__all__ = [
    "DIGESTS", "Claim", "Dataset", "Drift", "EarlyStopping", "Expectations", "IdxPair", "IdxReader", "ImageReader",
    "Network", "Optimizer", "Params", "Promotion", "Published", "RandomSplitReader", "Reader", "Retraining", "Schedule",
    "Serving", "ShadowRule", "SourceFile", "StatisticName", "Strict", "TableReader", "TextReader", "Training",
    "Variant", "check", "load_params",
]  # fmt: skip


class Dataset(Strict):
    """A dataset: its sources, how they become features, bounds that the data must meet, and how variants are trained.

    expectations: if None, they are inferred from the training split and written to a file that the user can edit.
    """

    title: Line  # name of the dataset in tables and headings
    demo: bool = False  # whether this is small demo data: reports mark it, and its models are never promoted
    task: Literal[
        "binary", "multiclass", "multilabel", "regression", "unit_regression"
    ]  # what is predicted ([datasets.md](datasets.md))
    labels: Annotated[Distinct[Line], Field(min_length=1)]  # class names; for regression, the value's name
    # the files to fetch, by name
    files: Annotated[dict[FileName, SourceFile], Field(min_length=1), AfterValidator(check_stored_names)]
    reader: Reader  # how files are converted to features and labels
    expectations: Expectations | None  # bounds that the data must meet; null: inferred from the training split
    network: Network  # sizes and activation of the hidden layers
    training: Training  # how the variants are trained
    # smallest difference that matters, by statistic (the keys are the statistics that claims can name)
    margins: Margins = Field(default_factory=dict)
    claims: tuple[Claim, ...] = ()  # statements about variants, judged across seeds
    literature: tuple[Published, ...] = ()  # published results on the same test split


class Params(Strict):
    """All settings in params.yaml."""

    # name of this project on shared MLflow and Prefect servers; empty: experiments are named after their dataset only
    project: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_-]{0,39})?$")] = ""
    # number of seeds (0, 1, …); a seed determines validation split, batch order, initial weights and dropout masks
    seeds: Annotated[int, Field(ge=1, le=1000)]
    pack_units: Positive = 320  # maximum total width of the first layers in a pack of replicas that train together
    # where to train: `threads` (on the cores of this machine) or the address of a Dask scheduler
    engine: Annotated[str, Field(pattern=r"^(threads|(tcp|tls|ws|wss|ucx)://\S+)$")] = "threads"
    shards: Location = "data/shards"  # folder or URL of text shards that all workers of a Dask cluster can reach
    protocols: Annotated[Distinct[Literal["fair", "lecture"]], Field(min_length=1)] = (
        "fair",
    )  # `fair`, `lecture` (as on the slides), or both
    mirrors: tuple[Location, ...] = ()  # folders or URLs with copies of the files
    promotion: Promotion = Promotion()  # conditions for promoting a challenger to champion
    serving: Serving = Serving()  # settings and limits of the prediction service
    retraining: Retraining = Retraining()  # what triggers retraining, and where it runs
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]  # the datasets, by name
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]  # what each variant changes, by name of the variant

    @model_validator(mode="after")
    def _check_across_keys(self) -> "Params":
        if problems := list(cross_checks.first(cross_checks.find(self.model_dump(), Variant().size))):
            raise ValueError("\n".join(problems))
        return self

    def dataset(self, name: str) -> Dataset:
        """The dataset with this name.

        Raises:
            ParamsError: the name is unknown; the message lists the valid names and the most similar one.
        """
        return _lookup("dataset", name, self.datasets)

    def variant(self, name: str) -> Variant:
        """The variant with this name.

        Raises:
            ParamsError: the name is unknown; the message lists the valid names and the most similar one.
        """
        return _lookup("variant", name, self.variants)


def _lookup(kind: str, name: str, known: dict[str, T]) -> T:
    if name in known:
        return known[name]
    hint = cross_checks.nearest(name, known)
    raise ParamsError([f"unknown {kind} {name!r}: must be one of {cross_checks.choices(known)}{hint}"])


def load_params(path: Path | str | None = None) -> Params:
    """Read and check params.yaml; `path` defaults to the file in the current workspace.

    Raises:
        ParamsError: the message lists the mistakes (cross_checks.first), each with key, bound and value.
    """
    path = Path(path) if path else paths.params()
    return check(yaml_reader.read(path), path.name)


def check(values: dict[str, Any], file: str) -> Params:
    """Check the values of a params file; each line of an error message starts with `file`.

    Raises:
        ParamsError: the message lists the mistakes (cross_checks.first), each with key, bound and value.
    """
    values, renamed = renamed_keys.rename(values)
    problems: Iterable[str] = renamed
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        problems = itertools.chain(renamed, messages.explain(error), cross_checks.find(values, Variant().size))
    if reported := [f"{file}: {problem}" for problem in cross_checks.first(problems)]:
        raise ParamsError(reported)
    redaction.allow(_texts(params.model_dump(mode="json")))
    return params


def _texts(value: Any) -> Iterator[str]:
    """All keys and texts in plain values, except addresses, which may contain secrets."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _texts(entry)
    elif isinstance(value, str) and "://" not in value:
        yield value
