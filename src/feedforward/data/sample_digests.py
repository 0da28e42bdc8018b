"""Short digests of raw samples. They identify a sample even if it was vectorized with another vocabulary.

Four bytes are enough where a mistake only leaves out a sample: among a million samples, one in 4,000 shares its digest
with another.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.core import paths
from feedforward.core.errors import DataError

ShortDigests = npt.NDArray[np.uint32]


def shorten(digests: npt.NDArray[np.uint8]) -> ShortDigests:
    """The short digests for SHA-256 digests of shape (samples, 32)."""
    return np.ascontiguousarray(digests[:, :4]).view(">u4")[:, 0].astype(np.uint32)


def of_split(name: str, part: Literal["train", "test"], samples: int) -> ShortDigests:
    """The first four bytes of the SHA-256 of each sample of a part, in its order. samples: their number.

    Raises:
        DataError: the profile cannot be read, or does not have one row per sample.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = paths.vectorized(name) / "profile.parquet"
    remedy = "run `dvc repro --force vectorize`"
    try:
        column = pq.read_table(path, columns=["digest"], filters=[("split", "==", part)])["digest"]
        digests = np.array([int(digest[:8], 16) for digest in column.to_pylist()], np.uint32)
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); {remedy}") from None
    if len(digests) != samples:
        raise DataError(f"{path}: must have one row per sample of `{part}` ({samples}), got {len(digests)}; {remedy}")
    return digests
