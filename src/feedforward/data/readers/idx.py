"""Gray images in idx files (MNIST's format): features are the pixels, uint8, row by row."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import IdxPair, IdxReader
from feedforward.core.errors import DataError
from feedforward.data.readers.reading import Part, Reading, order
from feedforward.data.splits import Split

UNSIGNED_BYTE = 8  # the idx code of the only element type that is read


def read(config: IdxReader, files: Mapping[str, Path]) -> Reading:
    """Read both splits; training samples in the order of `shuffle_seed`, test samples as they come.

    Raises:
        DataError: a file is missing, damaged, or images and labels differ in number.
    """

    def parts() -> Iterator[Part]:
        yield _part("train", config.train, files, config.shuffle_seed)
        yield _part("test", config.test, files, None)

    return Reading(parts())


def samples(config: IdxReader, files: Mapping[str, Path], rows: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
    """Test images of those rows, (height, width); rows of pixels that are no square are shown as a line."""
    images = read_array(files[config.test.features])
    shape = images.shape[1:] if images.ndim == 3 else (1, images.shape[1])
    return [np.asarray(images[row]).reshape(shape) for row in rows]


def column_names(_vectorized: Path) -> Callable[[int], str]:
    """Pixels have numbers."""
    return lambda column: f"pixel {column}"


def read_array(path: Path) -> npt.NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, memory-mapped, in the shape that its header gives.

    Raises:
        DataError: missing, or magic number or exact size are wrong.
    """
    remedy = f"remove {path} and fetch again"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:3] != bytes([0, 0, UNSIGNED_BYTE]) or not magic[3]:
                raise DataError(
                    f"{path}: not an idx file of unsigned bytes: begins with {magic.hex() or 'nothing'},"
                    f" expected 000008 and the number of dimensions; {remedy}"
                )
            sides = file.read(4 * magic[3])
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    shape = tuple(int.from_bytes(sides[at : at + 4], "big") for at in range(0, len(sides), 4))
    start = 4 + 4 * magic[3]
    expected = start + int(np.prod(shape, dtype=object))
    if len(sides) != 4 * magic[3] or size != expected:
        raise DataError(f"{path}: its header asks for {expected} bytes, got {size}; {remedy}")
    if not all(shape):
        raise DataError(f"{path}: holds no samples (shape {shape}); {remedy}")
    return np.memmap(path, np.uint8, "r", start, shape)


def _part(name: Literal["train", "test"], pair: IdxPair, files: Mapping[str, Path], shuffle_seed: int | None) -> Part:
    images, labels = read_array(files[pair.features]), read_array(files[pair.labels])
    for key, array, ranks in ((pair.features, images, (2, 3)), (pair.labels, labels, (1,))):
        if array.ndim not in ranks:
            raise DataError(f"{files[key]}: expected {' or '.join(map(str, ranks))} dimensions, got {array.ndim}")
    if len(images) != len(labels):
        raise DataError(
            f"{files[pair.features]}: {len(images)} images, but {len(labels)} labels in {files[pair.labels]};"
            " remove both and fetch again"
        )
    wanted = order(len(labels), shuffle_seed)
    pixels = images.reshape(len(images), -1)[wanted]
    digests = np.frombuffer(b"".join(hashlib.sha256(row.data).digest() for row in pixels), np.uint8)
    lengths = np.full(len(pixels), pixels.shape[1], np.int64)
    return Part(name, Split(pixels, labels[wanted]), lengths, digests.reshape(-1, 32))
