"""Pictures of a digit-like stroke, and what people make of them: other sizes, colours, formats."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def encoded(pixels: npt.NDArray[np.generic], kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def stroke(height: int, width: int, seed: int = 0) -> Pixels:
    """A thick light hook on dark ground, somewhere on the sheet."""
    random = np.random.default_rng(seed)
    sheet = np.zeros((height, width), np.uint8)
    side = min(height, width)
    top = random.integers(side // 20, side // 4)
    left = random.integers(side // 10, max(side // 4, side // 10 + 1))
    pen = max(side // 12, 1)
    sheet[top : top + side // 2, left : left + pen] = 255
    sheet[top : top + pen, left : left + side // 3] = 255
    return sheet


def framed(samples: int, side: int = 28, box: int = 20) -> Pixels:
    """(samples, side, side): strokes as a data set of digits has them, in a box, their centre of mass in the middle."""
    images = np.zeros((samples, side, side), np.uint8)
    for number in range(samples):
        wide = 6 + number % 8
        drawn = np.zeros((box, wide), np.uint8)
        drawn[:, : 3 + number % 3] = 255
        drawn[number % 5 : number % 5 + 3] = 200
        total = drawn.sum(dtype=float)
        top = round(side / 2 - float(drawn.sum(1) @ np.arange(box)) / total)
        left = round(side / 2 - float(drawn.sum(0) @ np.arange(wide)) / total)
        images[number, top : top + box, left : left + wide] = drawn
    return images
