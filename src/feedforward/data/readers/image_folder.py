"""Pictures in class folders (kept as Parquet): features are gray levels, each picture scaled into one size."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import ImageReader
from feedforward.core.errors import DataError
from feedforward.data import archive_members
from feedforward.data.readers import image_preprocessing
from feedforward.data.readers.reading import Part, Reading, drawn, folder_labels, order
from feedforward.data.splits import Split

Found = tuple[str, bytes, int]  # name, content, label


def read(config: ImageReader, files: Mapping[str, Path]) -> Reading:
    """Read both splits.

    Raises:
        DataError: the file is missing or damaged, holds no picture of a split, or one that cannot be read.
    """
    train, test = _splits(config, files)

    def parts() -> Iterator[Part]:
        yield _part("train", [train[row] for row in order(len(train), config.shuffle_seed)], config)
        yield _part("test", test, config)

    return Reading(parts())


def samples(config: ImageReader, files: Mapping[str, Path], rows: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
    """Test pictures of those rows, (height, width), as the network gets them."""
    _, test = _splits(config, files)
    return [_pixels(test[row], config).reshape(config.height, config.width) for row in rows]


def column_names(_vectorized: Path) -> Callable[[int], str]:
    """Pixels have numbers."""
    return lambda column: f"pixel {column}"


def _splits(config: ImageReader, files: Mapping[str, Path]) -> tuple[list[Found], list[Found]]:
    path = files[config.file]
    whole = _labelled(path, config.train, config.classes)
    if config.test is not None:
        return whole, _labelled(path, config.test, config.classes)
    train, test = drawn(len(whole), config)
    return [whole[row] for row in train], [whole[row] for row in test]


def _labelled(path: Path, folder: str, classes: Sequence[str]) -> list[Found]:
    label_of = folder_labels(folder, classes)
    found = [
        (name, content, label_of[name.rpartition("/")[0]])
        for names, contents in archive_members.read(path)
        for name, content in zip(names, contents, strict=True)
        if name.rpartition("/")[0] in label_of
    ]
    if not found:
        raise DataError(f"{path}: no picture in {' or '.join(label_of)}; check `reader` in params.yaml")
    return found


def _pixels(found: Found, config: ImageReader) -> npt.NDArray[np.uint8]:
    try:
        return image_preprocessing.scaled(image_preprocessing.read(found[1]), config.height, config.width)
    except ValueError as error:
        raise DataError(f"{found[0]}: {error}; remove it, then fetch again") from None


def _part(name: Literal["train", "test"], found: Sequence[Found], config: ImageReader) -> Part:
    pixels = np.stack([_pixels(each, config) for each in found])
    labels = np.array([label for _, _, label in found], np.min_scalar_type(len(config.classes) - 1))
    digests = b"".join(hashlib.sha256(content).digest() for _, content, _ in found)
    lengths = np.array([len(content) for _, content, _ in found], np.int64)
    return Part(name, Split(pixels, labels), lengths, np.frombuffer(digests, np.uint8).reshape(-1, 32))
