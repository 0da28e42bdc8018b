"""Any picture of one thing → a row of pixels as the training images have them: size, place and ink alike.

MNIST's digits fill a box of 20 × 20 pixels and have their centre of mass in the middle of 28 × 28, light on dark. A
network that has seen nothing else needs the same of a photographed or drawn digit. How a data set frames its images
is measured on them, not assumed.
"""

import contextlib
import io
import math
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageOps, UnidentifiedImageError

Gray = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8] | Gray  # gray levels 0–255, (height, width): bytes are a quarter of the work

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
MAX_PIXELS = 2**24  # 4096 × 4096
ORIENTATION = 0x0112  # EXIF
PNG, SIZE = b"\x89PNG\r\n\x1a\n", b"IHDR"
FAINTEST = 24.0  # of 255: less contrast than that is an empty sheet
IN_BOX = 0.2  # of the strongest ink: what is fainter does not make the box larger
ALIKE = 0.95  # share of the training images that must agree on their box
ALL = slice(None)


@dataclass(frozen=True)
class Framing:
    """How images stand in their frame of `height` × `width` pixels.

    box: the longer side of the ink, pixels; None where the images do not agree on one, and fill the frame.
    centre: (row, column) of the ink's centre of mass.
    """

    height: int
    width: int
    box: int | None
    centre: tuple[float, float]


@dataclass(frozen=True)
class Ink:
    """What stands out from the `ground` of a picture, at most by `strongest`; what is fainter than `noise` is none.

    side: 1 where all that differs from the ground is lighter, -1 where all is darker, 0 where there is both.
    """

    levels: Levels
    ground: float
    noise: float
    strongest: float
    side: int

    def strength(self, rows: slice = ALL, columns: slice = ALL) -> Levels:
        """How far each pixel of a part stands out, 0–255."""
        part = self.levels[rows, columns]
        if part.dtype == np.uint8 and self.side and not self.noise:  # then the ground is a level, and bytes are enough
            ground = np.uint8(self.ground)
            return np.asarray(part - ground if self.side > 0 else ground - part)
        found: Gray = np.abs(part - np.float32(self.ground))
        if not self.noise:
            return found
        stretch = self.strongest / (self.strongest - self.noise)
        return np.asarray(np.clip((found - self.noise) * stretch, 0, 255), np.float32)

    def extent(self, share: float) -> tuple[int, int, int, int]:
        """(first row, first column, height, width) of what has more than that share of its strongest."""
        least = self.noise + share * (self.strongest - self.noise)
        low, high = self.ground - least, self.ground + least
        if self.levels.dtype == np.uint8:  # bytes are compared with integers as they are, with floats as floats
            low, high = math.ceil(low), math.floor(high)
        rows, columns = (
            (self.side <= 0 and self.levels.min(axis) < low) | (self.side >= 0 and self.levels.max(axis) > high)
            for axis in (1, 0)
        )
        return _extent(np.asarray(rows), np.asarray(columns))


def framing(images: npt.NDArray[np.uint8]) -> Framing:
    """How these images, (samples, height, width), stand in their frame."""
    inked = [image for image in images if image.any()]
    height, width = images.shape[1:]
    sides = np.array([max(_extent_of(image > 0)[2:]) for image in inked] or [0])
    centres = np.array([_centre(image) for image in inked] or [((height - 1) / 2, (width - 1) / 2)])
    box = int(np.bincount(sides).argmax())
    agree = np.mean(np.abs(sides - box) <= 1) >= ALIKE and 0 < box < max(height, width)
    centre = np.round(np.median(centres, axis=0), 1)
    return Framing(height, width, box if agree else None, (float(centre[0]), float(centre[1])))


def encode(content: bytes, frame: Framing) -> npt.NDArray[np.uint8]:
    """One row of pixels, (height × width,), from an encoded picture of any size, colour and polarity.

    Raises:
        ValueError: it is no picture, too large, or an empty sheet.
    """
    return place(ink(read(content)), frame).reshape(-1)


def scaled(levels: Levels, height: int, width: int) -> npt.NDArray[np.uint8]:
    """One row of pixels, (height × width,): as large as fits, in the middle, on the colour of the corners."""
    if levels.shape != (height, width):
        factor = min(height / levels.shape[0], width / levels.shape[1])
        small = _resized(np.asarray(levels, np.float32), factor)[:height, :width]
        whole = np.full((height, width), np.median(levels[[0, 0, -1, -1], [0, -1, 0, -1]]), np.float32)
        top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
        whole[top : top + small.shape[0], left : left + small.shape[1]] = small
        levels = whole
    row: npt.NDArray[np.uint8] = np.clip(np.round(levels), 0, 255).astype(np.uint8).reshape(-1)
    return row


def pixels(content: bytes) -> int:
    """How many pixels an encoded picture says it has.

    Raises:
        ValueError: it is no picture of a known format, or damaged, as far as was read.
    """
    if content.startswith(PNG) and content.find(SIZE) == 12 and content.count(SIZE) == 1 and len(content) >= 24:
        width, height = struct.unpack_from(">II", content, 16)  # what Pillow would find, at a fiftieth of the time
        return int(width * height)
    with _opened(content) as picture:
        return picture.width * picture.height


def read(content: bytes) -> Levels:
    """Gray levels 0–255, (height, width); what is transparent gets the ground that the picture stands out from.

    Raises:
        ValueError: it is no picture of a known format, damaged, or has more than MAX_PIXELS pixels.
    """
    with _opened(content) as picture:
        ImageOps.exif_transpose(picture, in_place=True)
        return _gray(picture)


@contextlib.contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warning of large pictures; they are refused here
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise ValueError(f"must have at most {MAX_PIXELS} pixels, got {width} × {height}")
                yield picture
    except UnidentifiedImageError:
        raise ValueError(f"must be a picture ({', '.join(FORMATS)}), got {_kind(content)}") from None
    except Image.DecompressionBombError:
        raise ValueError(f"must have at most {MAX_PIXELS} pixels") from None
    except (OSError, SyntaxError, EOFError, ArithmeticError, MemoryError) as error:
        raise ValueError(f"cannot be read as a picture: {str(error).splitlines()[0][:100]}") from None


def _kind(content: bytes) -> str:
    if not content:
        return "an empty file (0 bytes)"
    return "a web page" if content.lstrip()[:1] == b"<" else "something else"


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of a picture as it is shown: turned as its EXIF data say; only its header is read.

    Raises:
        ValueError: it is not a picture. OSError: it cannot be read.
    """
    try:
        with Image.open(path, formats=FORMATS) as picture:
            is_turned = picture.getexif().get(ORIENTATION) in (5, 6, 7, 8)
            return picture.size if is_turned else (picture.height, picture.width)
    except UnidentifiedImageError:
        raise ValueError(f"is not a picture: {_kind(path.read_bytes()[:64])}") from None
    except (Image.DecompressionBombError, SyntaxError, ValueError, EOFError, ArithmeticError) as error:
        raise ValueError(f"is not a picture: {(str(error).splitlines() or [''])[0][:100]}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"is a damaged picture: {(str(error).splitlines() or [''])[0][:100]}") from None


def _gray(picture: Image.Image) -> Levels:
    if picture.mode.startswith(
        ("I", "F")
    ):  # more than eight bits, which Pillow would cut off: one scale for all pictures
        brightest = 1.0 if picture.mode.startswith("F") else 65535.0
        return np.asarray(np.clip(np.asarray(picture, np.float32) * (255 / brightest), 0, 255), np.float32)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    if "A" not in picture.getbands() or picture.getchannel("A").getextrema() == (255, 255):
        return _shared(picture if picture.mode == "L" else picture.convert("L"))
    layers = np.asarray(picture, np.float32)
    gray: Gray = layers[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    alpha = layers[..., 3] / 255
    visible = float((gray * alpha).sum() / max(float(alpha.sum()), 1e-6))
    ground = 255.0 if visible < 128 else 0.0
    return np.asarray(gray * alpha + ground * (1 - alpha), np.float32)


def _shared(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """The levels where the picture has them, read-only; NumPy alone copies them piece by piece, ten times slower."""
    try:
        levels: npt.NDArray[np.uint8] = pa.array(picture).to_numpy(zero_copy_only=True)
    except ValueError:  # a large one lies in several places
        return np.asarray(picture)
    return levels.reshape(picture.height, picture.width)


def ink(levels: Levels) -> Ink:
    """What stands out from the ground: dark on light and light on dark are the same.

    Raises:
        ValueError: nothing stands out.
    """
    if levels.dtype != np.uint8 and not np.isfinite(levels).all():
        raise ValueError("pixels must be finite numbers")
    edge = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    ground, noise = float(edge[0]), 0.0
    if (edge != edge[0]).any():  # no clean sheet
        ground = float(np.median(edge.astype(np.float32)))
        noise = 6 * float(np.median(np.abs(edge - np.float32(ground))))  # four standard deviations of a camera's noise
    lightest, darkest = float(levels.max()), float(levels.min())
    strongest = max(lightest - ground, ground - darkest)
    if strongest < max(FAINTEST, 2 * noise):
        raise ValueError("must show something: it is an empty sheet")
    return Ink(levels, ground, noise, strongest, (lightest > ground) - (darkest < ground))


def place(found: Ink, frame: Framing) -> npt.NDArray[np.uint8]:
    """Ink of any size → (height, width) uint8 as the training images stand there; what stands so already is kept."""
    shape = found.levels.shape
    if shape == (frame.height, frame.width) and _stands(whole := found.strength(), frame):
        return np.round(whole).astype(np.uint8)
    if frame.box is None:
        small = _resized(found.strength(), min(frame.height / shape[0], frame.width / shape[1]))
        top, left = (frame.height - small.shape[0]) // 2, (frame.width - small.shape[1]) // 2
    else:
        row, column, tall, wide = found.extent(IN_BOX)
        part = found.strength(slice(row, row + tall), slice(column, column + wide))
        small = _resized(part, frame.box / max(tall, wide))
        centre = _centre(small)
        top, left = round(frame.centre[0] - centre[0]), round(frame.centre[1] - centre[1])
    return _pasted(small * (255 / max(float(small.max()), 1e-6)), top, left, frame)


def _stands(found: Levels, frame: Framing) -> bool:
    if frame.box is None:
        return True
    row, column = _centre(found)
    near = abs(row - frame.centre[0]) <= 1 and abs(column - frame.centre[1]) <= 1
    return near and abs(max(_extent_of(found > 0)[2:]) - frame.box) <= 1


def _resized(found: Levels, factor: float) -> Gray:
    """Scaled with antialiasing, at least one pixel each way; bytes in whole levels, which takes half the time."""
    height, width = (max(1, round(side * factor)) for side in found.shape)
    picture = Image.fromarray(np.ascontiguousarray(found))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)


def _pasted(small: Gray, top: int, left: int, frame: Framing) -> npt.NDArray[np.uint8]:
    whole = np.zeros((frame.height, frame.width), np.uint8)
    height, width = small.shape
    rows = slice(max(top, 0), min(top + height, frame.height))
    columns = slice(max(left, 0), min(left + width, frame.width))
    whole[rows, columns] = np.round(
        small[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    ).astype(np.uint8)
    return whole


def _extent_of(inked: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(first row, first column, height, width) of what is True."""
    return _extent(np.asarray(inked.any(axis=1)), np.asarray(inked.any(axis=0)))


def _extent(rows: npt.NDArray[np.bool_], columns: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(first row, first column, height, width) of a picture whose rows and columns with ink are True."""
    top, left = int(rows.argmax()), int(columns.argmax())
    return top, left, len(rows) - int(rows[::-1].argmax()) - top, len(columns) - int(columns[::-1].argmax()) - left


def _centre(found: npt.NDArray[np.generic]) -> tuple[float, float]:
    """(row, column) of the centre of mass."""
    rows, columns = (found.sum(axis, np.float64) for axis in (1, 0))
    total = max(float(rows.sum()), math.ulp(0.0))
    return float(rows @ np.arange(len(rows))) / total, float(columns @ np.arange(len(columns))) / total
