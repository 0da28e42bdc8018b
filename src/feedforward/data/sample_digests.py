"""Digests of raw samples. They identify a sample even if it was vectorized with another vocabulary.

Short digests have four bytes, which are enough where a mistake only leaves out a sample: among a million samples, one
in 4,000 shares its short digest with another.
"""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.core import paths
from feedforward.core.errors import DataError

PROFILE = "profile.parquet"
REMEDY = "run `dvc repro --force vectorize`"
ShortDigests = npt.NDArray[np.uint32]


def shorten(digests: npt.NDArray[np.uint8]) -> ShortDigests:
    """The short digests for SHA-256 digests of shape (samples, 32)."""
    return np.ascontiguousarray(digests[:, :4]).view(">u4")[:, 0].astype(np.uint32)


def of_split(name: str, part: Literal["train", "test"], samples: int) -> ShortDigests:
    """The first four bytes of the SHA-256 of each sample of a part, in its order. samples: their number.

    Raises:
        DataError: the profile cannot be read, or does not have one row per sample.
    """
    folder = paths.vectorized(name)
    digests = np.array([int(digest[:8], 16) for digest in _read(folder, part)], np.uint32)
    if len(digests) != samples:
        problem = f"must have one row per sample of `{part}` ({samples}), got {len(digests)}"
        raise DataError(f"{folder / PROFILE}: {problem}; {REMEDY}")
    return digests


def of_test_samples(folder: Path) -> str:
    """SHA-256 (hex) that identifies all test samples and their order. folder: of the vectorized dataset.

    Raises:
        DataError: the profile cannot be read.
    """
    return hashlib.sha256("\n".join(_read(folder, "test")).encode()).hexdigest()


def _read(folder: Path, part: Literal["train", "test"]) -> list[str]:
    """The SHA-256 (hex) of each raw sample of a part, in its order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        column = pq.read_table(folder / PROFILE, columns=["digest"], filters=[("split", "==", part)])["digest"]
        digests: list[str] = column.to_pylist()
        bytes.fromhex("".join(digests))  # raises an error unless all are hexadecimal digits
        return digests
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{folder / PROFILE}: cannot be read ({error}); {REMEDY}") from None
