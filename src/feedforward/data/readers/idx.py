"""Reader for grayscale images in idx files (MNIST's format): features are the pixels, uint8, row by row."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import IdxPair, IdxReader
from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.data.readers.reading import Part, Reading, check_rows, image_part, order

UNSIGNED_BYTE = 8  # the idx code of the only element type that is read
OTHER_TYPES = {9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}


def read(config: IdxReader, files: Mapping[str, Path]) -> Reading:
    """Read both splits; training samples are shuffled with `shuffle_seed`, test samples stay in file order.

    Raises:
        DataError: a file is missing or damaged, the numbers of images and labels differ, or a label is not among
            `classes`.
    """

    def parts() -> Iterator[Part]:
        yield _part("train", config.train, files, config)
        yield _part("test", config.test, files, config)

    height, width = _size(read_array(files[config.train.features]))
    return Reading(parts(), facts={"height": height, "width": width})


def samples(config: IdxReader, files: Mapping[str, Path], rows: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
    """The test images in the given rows, shape (height, width)."""
    images = read_array(files[config.test.features])
    check_rows(rows, len(images))
    return [np.asarray(images[row]).reshape(_size(images)) for row in rows]


def column_names(_vectorized: Path) -> Callable[[int], str]:
    """Names of the feature columns: numbered pixels."""
    return lambda column: f"pixel {column}"


def recorded_size(vectorized: Path, pixels: int) -> tuple[int, int]:
    """Height and width of a vectorized dataset's images, according to its manifest; their product must be `pixels`.

    Raises:
        DataError: the manifest does not contain them, because it is damaged or was written by release 0.2.
    """
    path = vectorized / "manifest.json"
    try:
        manifest = atomic_files.read_json(path)
        height, width = int(manifest["height"]), int(manifest["width"])
        if height * width != pixels:
            raise ValueError(f"{height} × {width} are not {pixels} pixels")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: the size of the images cannot be read ({error}); run `dvc repro vectorize`") from None
    return height, width


def _size(images: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width of the images in a file. Plain rows of pixels are squares if possible, else one pixel high."""
    if images.ndim == 3:
        return images.shape[1], images.shape[2]
    pixels = int(np.prod(images.shape[1:]))
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else (1, pixels)


def read_array(path: Path) -> npt.NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, memory-mapped, in the shape that its header gives.

    Raises:
        DataError: the file is missing, or its magic number, element type or size is wrong.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(4 + 4 * 255)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); fetch it again") from None
    start, shape = _layout(header, size, path)
    return np.memmap(path, np.uint8, "r", start, shape)


def parse(content: bytes, path: Path) -> npt.NDArray[np.uint8]:
    """Parse the bytes of an idx file like `read_array`; messages name `path`.

    Raises:
        DataError: see `read_array`.
    """
    start, shape = _layout(content[: 4 + 4 * 255], len(content), path)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _layout(header: bytes, size: int, path: Path) -> tuple[int, tuple[int, ...]]:
    """The offset of the first element in an idx file, and the shape of its array."""
    remedy = "correct the source, then fetch it again"
    magic = header[:4]
    if len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in OTHER_TYPES:
        raise DataError(f"{path}: has elements of type {OTHER_TYPES[magic[2]]}, expected unsigned bytes; convert it")
    if len(magic) < 4 or magic[:3] != bytes([0, 0, UNSIGNED_BYTE]) or not magic[3]:
        found = "a web page" if header.lstrip()[:1] == b"<" else magic.hex() or "nothing"
        raise DataError(
            f"{path}: not an idx file of unsigned bytes: begins with {found},"
            f" expected 000008 and the number of dimensions; {remedy}"
        )
    start = 4 + 4 * magic[3]
    dimensions = header[4:start]
    shape = tuple(int.from_bytes(dimensions[k : k + 4], "big") for k in range(0, len(dimensions), 4))
    expected = start + int(np.prod(shape, dtype=object))
    if len(dimensions) != 4 * magic[3] or size != expected:
        raise DataError(f"{path}: expected {expected} bytes according to the header, got {size}; {remedy}")
    if not all(shape):
        raise DataError(f"{path}: contains no samples (shape {shape}); {remedy}")
    return start, shape


def _part(name: Literal["train", "test"], pair: IdxPair, files: Mapping[str, Path], config: IdxReader) -> Part:
    images, labels = read_array(files[pair.features]), read_array(files[pair.labels])
    for key, array, ranks in ((pair.features, images, (2, 3)), (pair.labels, labels, (1,))):
        if array.ndim not in ranks:
            raise DataError(f"{files[key]}: expected {' or '.join(map(str, ranks))} dimensions, got {array.ndim}")
    if len(images) != len(labels):
        raise DataError(
            f"{files[pair.features]}: {len(images)} images, but {len(labels)} labels in {files[pair.labels]};"
            " correct the source, then fetch again"
        )
    if config.classes is not None:
        labels = _renumber(labels, config.classes, files[pair.labels])
    rows = order(len(labels), config.shuffle_seed if name == "train" else None)
    return image_part(name, images.reshape(len(images), -1)[rows], labels[rows])


def _renumber(labels: npt.NDArray[np.uint8], classes: Sequence[int], path: Path) -> npt.NDArray[np.uint8]:
    """Convert labels to class numbers, which count from 0 in the order of `classes`."""
    class_of_label = np.full(256, -1)
    class_of_label[list(classes)] = np.arange(len(classes))
    renumbered = class_of_label[labels]
    if renumbered.min() < 0:
        raise DataError(f"{path}: label {int(labels[renumbered.argmin()])} is not among reader.classes in params.yaml")
    return renumbered.astype(np.uint8)
