"""Encode images from users as rows of pixels, in the form that the network was trained on."""

import base64
import binascii
import contextlib
import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.core.errors import InputError
from feedforward.data.readers import image_decoding, image_preprocessing
from feedforward.data.readers.image_decoding import Levels
from feedforward.data.readers.image_preprocessing import ImageGeometry
from feedforward.data.readers.sample_kinds import kind_of

QUICK_PIXELS = 2**18  # 512 × 512; encoding this many pixels takes about 3 ms
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")


@dataclass(frozen=True)
class ImageEncoder:
    """Encodes images as rows of pixels, normalized to the geometry of the training images."""

    geometry: ImageGeometry
    sample_kind = "image"

    @property
    def feature_count(self) -> int:
        """Number of features."""
        return self.geometry.height * self.geometry.width

    def check(self, sample: Any, field: str) -> npt.NDArray[np.uint8]:
        """Convert an encoded image (bytes, base64 or a data URL), or rows of gray levels 0–255, to a row of pixels.

        Rows are lists, or an array of shape (height, width).

        Raises:
            InputError: the sample is not an image, is too large, or is blank.
        """
        try:
            return self.row(_gray_levels(sample, field))
        except ValueError as error:
            raise InputError(field, str(error)) from None

    def row(self, levels: Levels) -> npt.NDArray[np.uint8]:
        """A row of pixels: the foreground, scaled and shifted to the geometry of the training images."""
        return image_preprocessing.normalize(image_preprocessing.find_foreground(levels), self.geometry).reshape(-1)

    def encode(self, samples: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
        """Stack checked images: uint8, shape (images, features)."""
        return np.stack(samples) if samples else np.empty((0, self.feature_count), np.uint8)

    def unknown(self, _sample: npt.NDArray[np.uint8]) -> list[str]:
        """Always empty, because every image consists of gray levels."""
        return []

    def settings(self) -> dict[str, Any]:
        """The settings of this encoder, as JSON-serializable values."""
        height, width, box, center, tolerance = dataclasses.astuple(self.geometry)
        settings = {"kind": "pixels", "height": height, "width": width, "box": box, "centre": center}
        return settings | ({} if tolerance == 1 else {"tolerance": tolerance})  # so that versions keep their digests

    def files(self) -> dict[str, bytes]:
        """No files: always an empty dictionary."""
        return {}


@dataclass(frozen=True)
class ScaledEncoder(ImageEncoder):
    """Scales images to the geometry's size, like the image folder reader; one of this size keeps its pixels.

    The geometry's `box`, `center` and `tolerance` are unused. on_dark: whether the training images have a dark
    background; this does not change any image, but drawings should have it, too.
    """

    on_dark: bool = False

    def row(self, levels: Levels) -> npt.NDArray[np.uint8]:
        """A row of pixels: the whole image, scaled to fit."""
        return image_preprocessing.letterbox(levels, self.geometry.height, self.geometry.width)

    def settings(self) -> dict[str, Any]:
        """The settings of this encoder, as JSON-serializable values."""
        settings = {"kind": "scaled pixels", "height": self.geometry.height, "width": self.geometry.width}
        return settings | ({"background": "dark"} if self.on_dark else {})  # so that versions keep their digests


def picture_pixels(samples: Sequence[Any]) -> int:
    """The total number of pixels in the encoded images among `samples`, according to their headers."""
    total = 0
    for sample in samples:
        if isinstance(sample, bytes | str):
            with contextlib.suppress(ValueError):  # not an image: `check` reports it
                total += image_decoding.pixel_count(_image_bytes(sample))
    return total


def _gray_levels(sample: Any, field: str) -> Levels:
    """Gray levels, from an encoded image or from rows of levels.

    Bytes and arrays come from this machine, so they may be as large as images in a dataset. An image that is the body
    of a request also arrives as bytes; `serving.schemas` holds it to the limit for requests.
    """
    is_local = isinstance(sample, bytes | np.ndarray)
    max_pixels = image_decoding.MAX_TRAINING_PIXELS if is_local else image_decoding.MAX_PIXELS
    if isinstance(sample, bytes | str):
        return image_decoding.read(_image_bytes(sample), max_pixels)
    if isinstance(sample, np.ndarray):
        sample = sample.tolist()
    if isinstance(sample, list | tuple):
        return _levels_from_rows(sample, max_pixels)
    raise InputError(field, f"must be an image (base64, or rows of gray levels), got {kind_of(sample)}")


def _image_bytes(sample: bytes | str) -> bytes:
    if isinstance(sample, bytes):
        return sample
    text = _DATA_URL.sub("", sample[:64], count=1) + sample[64:]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected an image in base64, got invalid base64") from None


def _levels_from_rows(rows: Sequence[Any], max_pixels: int) -> Levels:
    widths = {len(row) if isinstance(row, list | tuple) else -1 for row in rows}
    if len(widths) != 1 or min(widths) < 1:
        raise ValueError("must be rows of gray levels, not empty and all of the same length")
    [width] = widths
    if len(rows) * width > max_pixels or max(len(rows), width) > image_decoding.MAX_SIDE:
        raise ValueError(
            f"must have at most {max_pixels} gray levels and {image_decoding.MAX_SIDE} on a side, got"
            f" {width} × {len(rows)}"
        )
    flat = [level for row in rows for level in row]
    if not all(type(level) in (int, float) for level in flat):
        raise ValueError("gray levels must be numbers")
    if not all(math.isfinite(level) for level in flat if type(level) is float):
        raise ValueError("gray levels must be finite numbers")
    if min(flat) < 0 or max(flat) > 255:
        raise ValueError(f"gray levels must be from 0 to 255, got {str(min(flat))[:20]} to {str(max(flat))[:20]}")
    levels = np.array(flat, np.float32).reshape(len(rows), -1)
    return levels.astype(np.uint8) if (levels % 1 == 0).all() else levels  # the type of most decoded images
