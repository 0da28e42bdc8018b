"""Reader for images in class folders (stored as Parquet): gray levels, all images scaled to one size."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import ImageReader
from feedforward.core.errors import DataError
from feedforward.data import collected_files
from feedforward.data.readers import image_decoding, image_preprocessing
from feedforward.data.readers.reading import (
    Part,
    Reading,
    check_rows,
    content_digests,
    draw_test_split,
    image_part,
    label_of_path,
    order,
)

Picture = tuple[str, bytes, int]  # name, content, label


def read(config: ImageReader, files: Mapping[str, Path]) -> Reading:
    """Read both splits.

    Raises:
        DataError: the file is missing or damaged, has no image for a split, or an image cannot be decoded.
    """
    dataset = files[config.file].parent.name
    train, test = _splits(config, files)

    def parts() -> Iterator[Part]:
        yield _part("train", [train[row] for row in order(len(train), config.shuffle_seed)], config, dataset)
        yield _part("test", test, config, dataset)

    return Reading(parts())


def samples(config: ImageReader, files: Mapping[str, Path], rows: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
    """The test images in the given rows, shape (height, width), as the network receives them."""
    _, test = _splits(config, files)
    check_rows(rows, len(test))
    dataset = files[config.file].parent.name
    return [_pixels(test[row], config, dataset).reshape(config.height, config.width) for row in rows]


def column_names(_vectorized: Path) -> Callable[[int], str]:
    """Names of the feature columns: numbered pixels."""
    return lambda column: f"pixel {column}"


def _splits(config: ImageReader, files: Mapping[str, Path]) -> tuple[list[Picture], list[Picture]]:
    path = files[config.file]
    pictures = _read_labeled(path, config.train, config.classes)
    if config.test is not None:
        return pictures, _read_labeled(path, config.test, config.classes)
    labels = np.array([label for _, _, label in pictures])
    train, test = draw_test_split(content_digests(content for _, content, _ in pictures), labels, config)
    return [pictures[row] for row in train], [pictures[row] for row in test]


def _read_labeled(path: Path, folder: str, classes: Sequence[str]) -> list[Picture]:
    codes = {name: code for code, name in enumerate(classes)}
    pictures = [
        (name, content, label_of_path(name, folder, codes))
        for names, contents in collected_files.read(path)
        for name, content in zip(names, contents, strict=True)
    ]
    pictures = [picture for picture in pictures if picture[2] >= 0]
    if not pictures:
        raise DataError(f"{path}: no image below {folder or 'the top'} in {', '.join(classes)}; check `reader`")
    return pictures


def _pixels(picture: Picture, config: ImageReader, dataset: str) -> npt.NDArray[np.uint8]:
    try:
        levels = image_decoding.read(picture[1], image_decoding.MAX_TRAINING_PIXELS)
        return image_preprocessing.letterbox(levels, config.height, config.width)
    except ValueError as error:
        raise DataError(
            f"{picture[0]}: {error}; remove the file from the source, then run `feedforward fetch {dataset}`"
        ) from None


def _part(name: Literal["train", "test"], pictures: Sequence[Picture], config: ImageReader, dataset: str) -> Part:
    pixels = np.stack([_pixels(picture, config, dataset) for picture in pictures])
    labels = np.array([label for _, _, label in pictures], np.min_scalar_type(len(config.classes) - 1))
    return image_part(name, pixels, labels)
