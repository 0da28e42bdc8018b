"""params.yaml as frozen, strict objects: every number of an experiment, checked before any work.

The floor below every room: a data set and a variant are data. What tells MNIST from IMDb, or
`original` from `dropout`, is an entry of params.yaml and nothing else.
"""

import difflib
import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from feedforward import paths
from feedforward.errors import ParamsError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,127}$")]  # no folder, so nothing lands outside
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Strict(BaseModel):
    """Frozen; unknown keys, text for numbers, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


# --- fetch -----------------------------------------------------------------------------------


class SourceFile(Strict):
    """One file to fetch; `sha256` is that of its content, so that any source may serve it.

    archive `gzip`: the content is the unpacked file. `tar`: the content is the regular members with
    `suffix` directly in one of `folders`; its digest is that of a line `NAME NUL HEX LF` a member, in
    the order of `folders` and by file name. `none`: the content is the file itself.
    """

    urls: tuple[str, ...] = ()
    archive: Literal["none", "gzip", "tar"] = "none"
    sha256: Sha256 | None = None
    max_bytes: Positive = 2**30
    folders: tuple[str, ...] = ()
    suffix: str = ""
    members: Positive | None = None

    @model_validator(mode="after")
    def _complete(self) -> "SourceFile":
        if (self.archive == "tar") != bool(self.folders):
            raise ValueError("`folders` belongs to `archive: tar`, and only there")
        return self


# --- vectorize -------------------------------------------------------------------------------


class IdxPair(Strict):
    """The two idx files of a split."""

    features: str
    labels: str


class IdxReader(Strict):
    """Gray images in idx files; features are the pixels, uint8, row by row."""

    kind: Literal["idx"]
    train: IdxPair
    test: IdxPair
    shuffle_seed: Seed | None = None


class TextReader(Strict):
    """Texts in class folders of a tar; features are multi-hot words, `num_words` columns.

    `train` and `test` are folders of the archive, `classes` the folders beneath them, in label order.
    """

    kind: Literal["labelled_text"]
    file: str
    train: str
    test: str
    classes: tuple[str, ...]
    num_words: Annotated[int, Field(ge=5, le=65536)]  # columns are uint16
    shuffle_seed: Seed | None = None


Reader = Annotated[IdxReader | TextReader, Field(discriminator="kind")]


# --- validate --------------------------------------------------------------------------------


class Expectations(Strict):
    """Bounds that the data must keep; a pair is (lowest, highest), both allowed."""

    train_samples: tuple[int, int]
    test_samples: tuple[int, int]
    class_share: tuple[Share, Share]
    ones: tuple[int, int]  # non-zero features of a sample
    value: tuple[float, float]  # of any feature
    raw_length: tuple[int, int]  # bytes of a raw sample
    empty: Annotated[int, Field(ge=0)] = 0  # samples without a non-zero feature
    duplicates: Annotated[int, Field(ge=0)]  # samples beyond the first of equal ones in a split
    overlap: Annotated[int, Field(ge=0)]  # distinct raw samples that stand in both splits


# --- train -----------------------------------------------------------------------------------


class Optimizer(Strict):
    """A Keras optimizer by name; what is not given keeps Keras's default."""

    name: Literal["rmsprop", "sgd", "adagrad", "adam"] = "rmsprop"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.001
    rho: Annotated[float, Field(ge=0, lt=1)] = 0.9
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    epsilon: Annotated[float, Field(gt=0)] = 1e-7


class Network(Strict):
    """Hidden layers by size name; a variant picks a size. `scale` divides the features, in the model."""

    sizes: dict[Name, Annotated[tuple[Annotated[int, Field(gt=0, le=65536)], ...], Field(min_length=1)]]
    activation: Literal["relu", "tanh", "sigmoid", "elu", "gelu", "silu"] = "relu"
    scale: Annotated[float, Field(gt=0)] = 1.0


class Holdout(Strict):
    """Which training samples validate: the first or the last so many."""

    take: Literal["first", "last"]
    samples: Positive


class Final(Strict):
    """The final model: a variant, trained on all training samples, that meets the test split once."""

    variant: Name
    epochs: Positive


class Lecture(Strict):
    """The slides' protocol: these variants; `validated_on_test` train on all samples and validate on test."""

    variants: tuple[Name, ...]
    validated_on_test: tuple[Name, ...] = ()


class Training(Strict):
    """How the variants of a data set are trained. `variants`: those that are compared on it; None: all of params."""

    variants: tuple[Name, ...] | None = None
    epochs: Positive
    batch_size: Positive
    optimizer: Optimizer = Optimizer()
    validation: Holdout
    final: Final
    lecture: Lecture | None = None


class Variant(Strict):
    """What a variant changes; every default is the identity, so `original` is {}."""

    size: Name = "base"
    l2: Annotated[float, Field(ge=0, le=10)] = 0.0
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0


# --- compare ---------------------------------------------------------------------------------

StatisticName = Literal[
    "best_val_cross_entropy",
    "best_epoch",
    "best_val_accuracy",
    "last_val_cross_entropy",
    "last_val_accuracy",
    "generalization_gap",
    "slope",
    "rise",
    "test_loss",
    "test_accuracy",
]


class Claim(Strict):
    """A claim to judge: `left` is lower, higher or equal (within `tolerance`) than `right` or `value`.

    left, right: variants; value: a constant, in the statistic's unit, in the place of `right`.
    """

    text: Annotated[str, Field(min_length=1)]
    statistic: StatisticName
    left: Name
    direction: Literal["lower", "higher", "equal"]
    right: Name | None = None
    value: float | None = None
    tolerance: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Claim":
        if (self.right is None) == (self.value is None):
            raise ValueError("needs either `right` (a variant) or `value` (a number)")
        if (self.direction == "equal") != (self.tolerance is not None):
            raise ValueError("`tolerance` belongs to `direction: equal`, and only there")
        return self


# --- promote and serve -----------------------------------------------------------------------


class Promotion(Strict):
    """When a challenger replaces the champion. The defaults let every sound model through that is not worse."""

    minimum_gain: Annotated[float, Field(ge=0)] = 0.0  # of validation cross-entropy (nats), by the interval's low end
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # of that interval
    witnesses: Annotated[int, Field(ge=1, le=100)] = 3  # models that are trained as evidence, each from its own seed
    class_accuracy: Share = 0.0  # on the validation samples of each class, at least
    max_bytes: Positive = 2**30  # of the served folder
    max_latency: Annotated[float, Field(gt=0)] = 1000.0  # ms for one sample


class Serving(Strict):
    """Bounds of the service and of what it takes in."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    refresh: Annotated[float, Field(gt=0, le=3600)] = 2.0  # s between two looks at the registry
    max_body_bytes: Positive = 8 * 2**20  # of a request
    max_samples: Positive = 1000  # of a request
    max_text_bytes: Positive = 2**18  # of one text; one picture may fill the request
    max_incoming_bytes: Positive = 2**26  # of the labelled samples that are kept for retraining, a data set


# --- train again -----------------------------------------------------------------------------


class Drift(Strict):
    """How far incoming samples may be from training data; distances are from 0 (alike) to 1."""

    label: Share = 0.2  # Jensen–Shannon distance of the shares of the classes
    feature: Share = 0.2  # Kolmogorov–Smirnov distance of any feature, of their number and of a sample's length
    chance: Annotated[float, Field(gt=0, lt=1)] = 0.01  # that samples without drift go beyond, over all features


class Schedule(Strict):
    """When the retraining flow starts by itself; cron None: never."""

    cron: str | None = None
    timezone: str = "UTC"
    pool: Literal["cpu", "gpu"] = "cpu"


class Retraining(Strict):
    """What makes the retraining flow train, and where."""

    collect: bool = False  # train on the labelled samples that users gave, too
    minimum_new: Positive = 100  # such samples of a data set that are worth a training
    max_age: Annotated[float, Field(gt=0)] = 30.0  # days of a champion, if there is anything new to learn
    drift: Drift = Drift()
    schedule: Schedule = Schedule()
    gpus: Positive = 1  # slots: trainings on GPUs at a time, each on one device of its own
    cpu_fallback: bool = False  # train on the CPU where a GPU is asked for and there is none
    notify: str | None = None  # a Prefect block that sends messages, TYPE/NAME; None: the log alone


# --- all -------------------------------------------------------------------------------------


class Dataset(Strict):
    """A data set: where its bytes are, how they become features, what must hold, how it is learned."""

    title: str
    sample: bool = False  # a small embedded stand-in: shown as such, never promoted
    task: Literal["binary", "multiclass"]
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    files: Annotated[dict[FileName, SourceFile], Field(min_length=1)]
    reader: Reader
    expectations: Expectations
    network: Network
    training: Training
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> "Dataset":
        if self.task == "binary" and len(self.labels) != 2:
            raise ValueError(f"task binary needs 2 labels, got {len(self.labels)}")
        if isinstance(self.reader, TextReader):
            if self.reader.file not in self.files:
                raise ValueError(f"reader.file: must be one of files ({', '.join(self.files)}), got {self.reader.file}")
            if len(self.reader.classes) != len(self.labels):
                raise ValueError(f"reader.classes: {len(self.labels)} labels need as many classes")
        return self


class Params(Strict):
    """All of params.yaml."""

    seeds: Annotated[int, Field(ge=1, le=1000)]
    data_order_seed: Seed = 0
    pack_units: Positive = 320
    protocols: Annotated[tuple[Literal["fair", "lecture"], ...], Field(min_length=1)] = ("fair",)
    mirrors: tuple[str, ...] = ()
    promotion: Promotion = Promotion()
    serving: Serving = Serving()
    retraining: Retraining = Retraining()
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_exist(self) -> "Params":
        problems = []
        for name, dataset in self.datasets.items():
            at = f"datasets.{name}"
            for variant, value in self.variants.items():
                if value.size not in dataset.network.sizes:
                    problems.append(
                        f"variants.{variant}.size: must be one of {', '.join(dataset.network.sizes)}"
                        f" ({at}.network.sizes), got {value.size}"
                    )
            wanted: dict[str, tuple[str, ...]] = {f"{at}.training.final.variant": (dataset.training.final.variant,)}
            wanted[f"{at}.training.variants"] = dataset.training.variants or ()
            if dataset.training.lecture:
                wanted[f"{at}.training.lecture.variants"] = dataset.training.lecture.variants
                wanted[f"{at}.training.lecture.validated_on_test"] = dataset.training.lecture.validated_on_test
            for i, claim in enumerate(dataset.claims):
                wanted[f"{at}.claims.{i}.left"] = (claim.left,)
                wanted[f"{at}.claims.{i}.right"] = (claim.right,) if claim.right else ()
            for key, names in wanted.items():
                problems += [
                    f"{key}: must be one of {', '.join(self.variants)}, got {n}"
                    for n in names
                    if n not in self.variants
                ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def dataset(self, name: str) -> Dataset:
        """The data set of that name.

        Raises:
            ParamsError: unknown, with the valid names and the nearest.
        """
        return _named("dataset", name, self.datasets)

    def variant(self, name: str) -> Variant:
        """The variant of that name.

        Raises:
            ParamsError: unknown, with the valid names and the nearest.
        """
        return _named("variant", name, self.variants)


T = TypeVar("T")


def _named(kind: str, name: str, known: dict[str, T]) -> T:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ParamsError([f"unknown {kind} {name!r}: must be one of {', '.join(known)}{hint}"])


def load_params(path: Path | None = None) -> Params:
    """Read and check params.yaml (YAML 1.2, as DVC reads it).

    Raises:
        ParamsError: every mistake at once, each with key, bound and value.
    """
    path = path or paths.params()
    try:
        text = path.read_text(encoding="utf-8")
        values = YAML(typ="safe", pure=True).load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError([f"{path.name}: cannot be read: {error}"]) from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ParamsError([f"{path.name}:{where} is not valid YAML: {what}"]) from None
    if not isinstance(values, dict):
        raise ParamsError([f"{path.name}: must hold keys and values, got {type(values).__name__}"])
    try:
        return Params.model_validate(_as_python(values))
    except ValidationError as error:
        raise ParamsError(_explain(path.name, error)) from None


def _as_python(value: Any) -> Any:
    """Lists to tuples (strict models take no list for a tuple); whole numbers stay whole."""
    if isinstance(value, dict):
        return {key: _as_python(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_as_python(item) for item in value)
    return value


_WORDING = {
    "extra_forbidden": "unknown key",
    "missing": "is missing",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
}


def _explain(file: str, error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False):
        kind, context = problem["type"], problem.get("ctx", {})
        # pydantic puts the tag of a union (idx, labelled_text) into the location; the file has no such key
        key = ".".join(str(part) for part in problem["loc"] if part not in ("idx", "labelled_text", "[key]"))
        if kind == "value_error":
            for line in str(context["error"]).splitlines():
                lines.append(f"{file}: {key + ': ' if key else ''}{line}")
            continue
        wording = _WORDING.get(kind, problem["msg"][0].lower() + problem["msg"][1:]).format(**context)
        value = problem["input"]
        got = "" if kind in ("missing", "extra_forbidden") else f", got {_short(value)}"
        lines.append(f"{file}: {key}: {wording}{got}")
    return lines


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, float) or math.isfinite(value) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
