"""The manifest of a vectorized dataset: sizes, digests, and facts from its reader."""

from typing import Any

from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError


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
