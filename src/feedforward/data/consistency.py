"""Checks that raw files, vectorized data and the results of their validation belong together.

They can get out of step: `feedforward fetch` replaces only the raw files, and data that failed validation stay in place
so that they can be examined.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import reading
from feedforward.data.sources import download

REMEDY = "run `feedforward run` (in Python: `ff.prepare(params)`)"


def require_valid(name: str, dataset: Dataset) -> None:
    """Check that a dataset may be used for training: that its vectorized data are current, and have passed validation.

    Raises:
        DataError: other files have been fetched since the data were vectorized; the data have not passed validation
            with the current expectations; or see `manifest.load_current`.
    """
    manifest = manifest_file.load_current(name, dataset)
    _require_same_files(paths.raw(name), manifest)
    required = {
        "success": True,
        "data_digest": manifest["data_digest"],
        "expectations": dataset.model_dump(mode="json")["expectations"],
    }
    try:
        summary = atomic_files.read_json(paths.validation(name) / "summary.json")
        is_valid = all(summary[key] == value for key, value in required.items())
    except (OSError, ValueError, TypeError, KeyError):
        is_valid = False
    if not is_valid:
        raise DataError(f"{name}: its data have not passed validation with the current expectations; {REMEDY}")


def raw_samples(
    dataset: Dataset, raw: Path, manifest: Mapping[str, Any], rows: Sequence[int]
) -> list[str | npt.NDArray[np.uint8]]:
    """The raw samples behind the given rows of the vectorized test split, for display; see `reading.samples`.

    raw: folder of raw files. manifest: that of the vectorized data.

    Raises:
        DataError: other files have been fetched since the data were vectorized; or see `reading.samples`.
    """
    _require_same_files(raw, manifest)
    return reading.samples(dataset.reader, download.stored_files(dataset.files, raw), rows)


def _require_same_files(raw: Path, manifest: Mapping[str, Any]) -> None:
    """Check that the files in `raw`, if any were fetched, are those that were vectorized.

    A manifest of an earlier version does not name the files, and so fails this check if any were fetched.
    """
    recorded = download.recorded(raw)
    if recorded and recorded != manifest.get("files"):
        raise DataError(f"{raw}: its files differ from those that were vectorized; {REMEDY}")
