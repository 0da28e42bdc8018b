"""The inputs of a stage that DVC runs: they must stay as they are until the stage ends.

DVC records parameters and dependencies only after a stage has ended. If somebody edits params.yaml, code or data in the
meantime, DVC would record the new inputs together with results of the old ones, and would take these results as current
from then on.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feedforward.config import yaml_reader
from feedforward.core import paths
from feedforward.core.errors import DataError
from pipelines.dvc_parameters import find, with_item

SHOWN = 3  # changed inputs that a message names


@contextlib.contextmanager
def unchanged(stage: str, argument: str) -> Iterator[None]:
    """Check at the end of the block that the inputs that dvc.yaml lists for a stage are as they were at its start.

    argument: the item of the stage's matrix; empty if it has none.

    Raises:
        DataError: an input has changed, so DVC must not record the results.
    """
    before = _inputs(stage, argument)
    yield
    after = _inputs(stage, argument)
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if changed:
        names = ", ".join(changed[:SHOWN]) + (f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else "")
        raise DataError(
            f"{names}: changed while this stage was running, so its results are not recorded; run the command again"
        )


def _inputs(stage: str, argument: str) -> dict[str, Any]:
    """The parameters of a stage, and the size and time of modification of each file that it depends on."""
    root = paths.root()
    definition = yaml_reader.read(root / "dvc.yaml")["stages"][stage]
    params = yaml_reader.read(root / "params.yaml")
    keys = [with_item(key, argument) for key in definition.get("params") or ()]
    files = [file for path in definition.get("deps") or () for file in _files(root / with_item(path, argument))]
    return {f"params.yaml ({key})": find(params, key) for key in keys} | {
        str(file.relative_to(root)): (status.st_size, status.st_mtime_ns) for file, status in files
    }


def _files(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files at or below a path, as far as they exist; without code that Python or Numba compiled during a run."""
    files = [path] if path.is_file() else path.rglob("*")
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file, file.stat()
