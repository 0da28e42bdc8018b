"""The manifest of a vectorized dataset: sizes, digests, and facts from its reader; and splits that match it."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feedforward.config.schema import Dataset
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError
from feedforward.data.splits import Split


def settings_digest(dataset: Dataset) -> str:
    """SHA-256 (hex) of the parameters that determine what `vectorize` makes of the files."""
    reader = dataset.reader.model_dump(mode="json")
    return atomic_files.digest({"reader": reader, "labels": list(dataset.labels), "task": dataset.task})


def load(name: str) -> dict[str, Any]:
    """Read the manifest of the vectorized dataset `name`.

    Raises:
        DataError: the manifest is missing or damaged.
    """
    path = paths.vectorized(name) / "manifest.json"
    try:
        manifest: dict[str, Any] = atomic_files.read_json(path)
        [manifest[key] for key in ("data_digest", "features", "train", "test")]  # KeyError if one is missing
        [int(manifest["samples"][part]) for part in ("train", "test")]
        return manifest
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"no key {error}" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); run `dvc repro vectorize`") from None


def load_current(name: str, dataset: Dataset) -> dict[str, Any]:
    """Read the manifest, and check that the dataset was vectorized with its current `reader`, `labels` and `task`.

    A manifest of an earlier version does not record them, and passes.

    Raises:
        DataError: see `load`; or the dataset was vectorized with other parameters.
    """
    manifest = load(name)
    if manifest.get("settings", settings_digest(dataset)) != settings_digest(dataset):
        raise DataError(
            f"{name}: `reader`, `labels` or `task` in params.yaml have changed since the dataset was vectorized; run"
            " `feedforward run`"
        )
    return manifest


def load_unchanged(name: str, data_digest: str) -> dict[str, Any]:
    """Read the manifest, and check that the data are still those with this digest, for which a job was planned.

    Raises:
        DataError: see `load`; or the dataset was vectorized again with another result.
    """
    manifest = load(name)
    if manifest["data_digest"] != data_digest:
        problem = "was vectorized again while this process was running, and its data have changed"
        raise DataError(f"{name}: {problem}; run the command again")
    return manifest


def load_split(name: str, part: str, manifest: Mapping[str, Any] | None = None) -> Split:
    """Load the `train` or `test` split of a vectorized dataset, and check its content against the manifest.

    The digest of a split is computed once per process, unless its files change. manifest: default: the current one.

    Raises:
        DataError: a file is missing, damaged, or differs from what `vectorize` wrote.
    """
    folder = paths.vectorized(name) / part
    split = Split.load(folder)
    statuses = [file.stat() for file in sorted(folder.iterdir())]
    stamp = tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in statuses)
    if _digest(folder, stamp) != (manifest or load(name))[part]:
        raise DataError(f"{folder}: differs from what was vectorized; run `dvc repro --force vectorize`")
    return split


@functools.lru_cache(maxsize=16)
def _digest(folder: Path, _: tuple[tuple[int, int, int], ...]) -> str:
    return Split.load(folder).digest()
