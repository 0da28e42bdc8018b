"""Short digests of raw samples. They identify a sample even if it was vectorized with another vocabulary.

Four bytes are enough where a mistake only leaves out a sample: among a million samples, one in 4,000 shares its digest
with another.
"""

import numpy as np
import numpy.typing as npt

from feedforward.core import paths
from feedforward.core.errors import DataError

ShortDigests = npt.NDArray[np.uint32]


def of_training_split(name: str, samples: int) -> ShortDigests:
    """The first four bytes of each training sample's SHA-256, in the order of the split, which has `samples` samples.

    Raises:
        DataError: the profile cannot be read, or does not have one row per sample.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = paths.vectorized(name) / "profile.parquet"
    remedy = "run `dvc repro --force vectorize`"
    try:
        column = pq.read_table(path, columns=["digest"], filters=[("split", "==", "train")])["digest"]
        digests = np.array([int(digest[:8], 16) for digest in column.to_pylist()], np.uint32)
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); {remedy}") from None
    if len(digests) != samples:
        raise DataError(f"{path}: must have one row per training sample ({samples}), got {len(digests)}; {remedy}")
    return digests
