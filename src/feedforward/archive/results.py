"""The comparison of the runs in an archive, computed from their results before the archive is unpacked."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from feedforward.analysis import findings, run_result
from feedforward.analysis.findings import Findings
from feedforward.archive.reading import REMEDY
from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files
from feedforward.core.errors import DataError, ParamsError

MAX_RESULT_BYTES = 2**26  # per protocol: enough for five thousand runs of the shipped datasets
PARAMS = "params.yaml"

T = TypeVar("T")


def compare(source: Path, files: Mapping[str, bytes], show: Callable[[Sequence[Findings]], T]) -> dict[str, T]:
    """Call `show` with the findings of each protocol; return its results, by protocol.

    source: name of the archive, for messages. files: the archive's content.

    Raises:
        ParamsError: this release cannot read the archive's params.yaml.
        DataError: the archive lacks params.yaml or results, or the results cannot be compared.
    """
    names = {protocol: f"data/trained/{protocol}.json" for protocol in ("fair", "lecture")}
    available = {protocol: name for protocol, name in names.items() if name in files}
    if PARAMS not in files or not available:
        raise DataError(f"{source}: contains no {PARAMS if available else 'results'}; {REMEDY}")
    with tempfile.TemporaryDirectory() as folder:
        params = _params(source, files[PARAMS], Path(folder) / PARAMS)
        return {
            protocol: _compare(f"{source}: {name}", files[name], Path(folder) / f"{protocol}.json", params, show)
            for protocol, name in available.items()
        }


def _params(source: Path, content: bytes, copy: Path) -> Params:
    copy.write_bytes(content)
    try:
        return load_params(copy)
    except ParamsError as error:
        raise ParamsError([f"{source}: {problem}" for problem in error.problems]) from None


def _compare(title: str, content: bytes, copy: Path, params: Params, show: Callable[[Sequence[Findings]], T]) -> T:
    if len(content) > MAX_RESULT_BYTES:
        raise DataError(f"{title}: must have at most {MAX_RESULT_BYTES} bytes, got {len(content)}; {REMEDY}")
    copy.write_bytes(content)
    try:
        atomic_files.canonical_json(atomic_files.read_json(copy))  # refuses NaN and infinity
        with np.errstate(over="raise"):
            return show(findings.find(run_result.load(copy), params, copy.stem))
    except DataError as error:  # its remedy, to run a stage, does not apply to an archive
        problem = str(error).removeprefix(f"{copy}: ").partition("; run `")[0]
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        problem = f"its runs cannot be compared ({error})"
    raise DataError(f"{title}: {problem}; {REMEDY}")
