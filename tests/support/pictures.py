"""Pictures of digit-like strokes in several sizes and formats."""

import io
import struct
import zlib
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
    """Draw a thick light stroke with a corner, at a random position on a dark background."""
    rng = np.random.default_rng(seed)
    sheet = np.zeros((height, width), np.uint8)
    side = min(height, width)
    top = rng.integers(side // 20, side // 4)
    left = rng.integers(side // 10, max(side // 4, side // 10 + 1))
    pen = max(side // 12, 1)
    sheet[top : top + side // 2, left : left + pen] = 255
    sheet[top : top + pen, left : left + side // 3] = 255
    return sheet


def centered_strokes(samples: int, side: int = 28, box: int = 20) -> Pixels:
    """Draw strokes as high as a box, with the center of mass in the middle of the image, like MNIST's digits.

    The shape is (samples, side, side).
    """
    images = np.zeros((samples, side, side), np.uint8)
    for index in range(samples):
        width = 6 + index % 8
        drawing = np.zeros((box, width), np.uint8)
        drawing[:, : 3 + index % 3] = 255
        drawing[index % 5 : index % 5 + 3] = 200
        total = drawing.sum(dtype=float)
        top = round(side / 2 - float(drawing.sum(1) @ np.arange(box)) / total)
        left = round(side / 2 - float(drawing.sum(0) @ np.arange(width)) / total)
        images[index, top : top + box, left : left + width] = drawing
    return images


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG without pixels whose header claims this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
