"""The comparison of the runs in an archive, computed from their results before the archive is unpacked."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from feedforward.analysis import findings, run_result
from feedforward.analysis.findings import Findings
from feedforward.analysis.run_result import RunResult
from feedforward.archive.reading import REMEDY
from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files
from feedforward.core.errors import DataError, ParamsError

MAX_RESULT_BYTES = 2**26  # per protocol: enough for five thousand runs of the shipped datasets
PARAMS, RESULTS = "params.yaml", "data/trained/{}.json"

T = TypeVar("T")


def compare(source: Path, files: Mapping[str, bytes], show: Callable[[Sequence[Findings]], T]) -> dict[str, T]:
    """Call `show` with the findings of each protocol; return its results, by protocol.

    source: name of the archive, for messages. files: the archive's content.

    Raises:
        ParamsError: this release cannot read the archive's params.yaml.
        DataError: the archive lacks params.yaml or results, or the results cannot be compared.
    """
    available = [protocol for protocol in ("fair", "lecture") if RESULTS.format(protocol) in files]
    if PARAMS not in files or not available:
        raise DataError(f"{source}: contains no {PARAMS if available else 'results'}; {REMEDY}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        params = _params(source, files[PARAMS], folder / PARAMS)
        return {protocol: _compare(source, protocol, files, folder, params, show) for protocol in available}


def _params(source: Path, content: bytes, copy: Path) -> Params:
    copy.write_bytes(content)
    try:
        return load_params(copy)
    except ParamsError as error:
        raise ParamsError([f"{source}: {problem}" for problem in error.problems]) from None


def _compare(
    source: Path,
    protocol: str,
    files: Mapping[str, bytes],
    folder: Path,
    params: Params,
    show: Callable[[Sequence[Findings]], T],
) -> T:
    name = RESULTS.format(protocol)
    results = _load(source, name, files[name], folder)
    baselines = [f"data/baselines/{dataset}.json" for dataset in params.datasets]
    measured = [run for file in baselines if file in files for run in _load(source, file, files[file], folder)]
    with _explained(f"{source}: {name}"), np.errstate(over="raise"):
        return show(findings.find(results, params, protocol, measured))


def _load(source: Path, name: str, content: bytes, folder: Path) -> list[RunResult]:
    """The runs in a file of the archive, which is copied to `folder`."""
    title, copy = f"{source}: {name}", folder / "runs.json"
    if len(content) > MAX_RESULT_BYTES:
        raise DataError(f"{title}: must have at most {MAX_RESULT_BYTES} bytes, got {len(content)}; {REMEDY}")
    copy.write_bytes(content)
    with _explained(title, copy):
        atomic_files.canonical_json(atomic_files.read_json(copy))  # refuses NaN and infinity
        return run_result.load(copy)


@contextlib.contextmanager
def _explained(title: str, copy: Path = Path()) -> Iterator[None]:
    """Name the file in the archive, instead of its copy, and the remedy for an archive in all errors."""
    try:
        yield
    except DataError as error:  # its remedy, to run a stage, does not apply to an archive
        problem = str(error).removeprefix(f"{copy}: ").partition("; run `")[0]
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        problem = f"its runs cannot be compared ({error})"
    else:
        return
    raise DataError(f"{title}: {problem}; {REMEDY}")
