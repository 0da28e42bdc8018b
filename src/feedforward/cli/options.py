"""Arguments and options that several commands share."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from feedforward.config.schema import Params


def dataset_names(incomplete: str) -> Iterator[str]:
    """Datasets whose names start with `incomplete`, for shell completion; none if params.yaml cannot be read."""
    return _names("datasets", incomplete)


def variant_names(incomplete: str) -> Iterator[str]:
    """Variants whose names start with `incomplete`, for shell completion; none if params.yaml cannot be read."""
    return _names("variants", incomplete)


def served_names(incomplete: str) -> Iterator[str]:
    """Like `variant_names`, and `all`, which selects the champion and its variants."""
    yield from ["all"] if "all".startswith(incomplete) else []
    yield from variant_names(incomplete)


def check_names(params: "Params", datasets: Iterable[str], variants: Iterable[str]) -> None:
    """Check names given on the command line.

    Raises:
        ParamsError: a name is unknown; the message lists the valid names and the most similar one.
    """
    for name in datasets:
        params.dataset(name)
    for name in variants:
        params.variant(name)


def _names(section: str, incomplete: str) -> Iterator[str]:
    from feedforward.config import yaml_reader
    from feedforward.core import paths
    from feedforward.core.errors import ParamsError

    try:
        names = yaml_reader.read(paths.params()).get(section)
    except ParamsError:
        return
    if isinstance(names, Mapping):
        yield from (name for name in map(str, names) if name.startswith(incomplete))


DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="A dataset in params.yaml.", autocompletion=dataset_names)
]
DatasetsArgument = Annotated[
    list[str] | None, typer.Argument(help="Datasets in params.yaml. Default: all.", autocompletion=dataset_names)
]
DatasetsOption = Annotated[
    list[str] | None, typer.Option("--dataset", help="Datasets. Default: all.", autocompletion=dataset_names)
]
VariantsOption = Annotated[
    list[str] | None, typer.Option("--variant", help="Variants. Default: all.", autocompletion=variant_names)
]
SeedsOption = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Number of seeds per variant. Default: `seeds` in params.yaml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
