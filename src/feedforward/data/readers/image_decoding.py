"""Decode images (PNG, JPEG, …) to gray levels, with limits on the number of pixels and on the work per pixel."""

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Gray = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8] | Gray  # gray levels 0–255, (height, width); uint8 takes a quarter of the memory

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
MAX_PIXELS = 2**24  # 4096 × 4096; of an image in a request
MAX_TRAINING_PIXELS = 2**26  # 8192 × 8192, more than most cameras take; of an image in a dataset or local file
MAX_SIDE = 2**16  # about JPEG's limit; resizing 1 × 16M pixels would take seconds
STRIP = 64  # number of rows of a transparent image that are converted at a time
ORIENTATION = 0x0112  # EXIF
MAGIC, HEADER = b"\x89PNG\r\n\x1a\n", b"IHDR"  # of a PNG file
# Parts that take Pillow much longer than other bytes: each costs a pass over the pixels or the file, or unpacks to a
# thousand times its size. Columns: how the file starts, the bytes that stand for a part, its name, and how many of them
# a file may contain. The bytes are counted without a regular expression, which would take ten times as long and keep
# all other threads waiting.
COSTLY_PARTS = (
    ((b"\xff\xd8",), (b"\xff\xda\0",), "scans", 100),  # a progressive JPEG has about 10
    ((b"\xff\xd8",), (b"Exif\0\0",), "Exif segments", 100),
    ((b"\x89PNG",), (b"iCCP", b"iTXt", b"zTXt"), "compressed texts and color profiles", 16),
    ((b"P1", b"P2", b"P3"), (b"#",), "comments", 100),
)


def pixel_count(content: bytes) -> int:
    """The number of pixels in an encoded image, according to its header.

    Raises:
        ValueError: the content is not an image in a known format, its header is damaged, or it exceeds MAX_PIXELS,
            MAX_SIDE or COSTLY_PARTS and is not a PNG file (for PNG files, `read` checks these limits).
    """
    if content.startswith(MAGIC) and content.find(HEADER) == 12 and content.count(HEADER) == 1 and len(content) >= 24:
        width, height = struct.unpack_from(">II", content, 16)  # the same as Pillow reads, in a fiftieth of the time
        return int(width * height)
    with _open(content) as picture:
        return picture.width * picture.height


def check_size(content: bytes) -> None:
    """Check that an image is not too large for a request, according to its header; raises as `read` does."""
    with _open(content):
        pass


def read(content: bytes, max_pixels: int = MAX_PIXELS) -> Levels:
    """Gray levels 0–255, shape (height, width).

    Transparent pixels become white if what is visible is dark, otherwise black.

    Raises:
        ValueError: the content is not an image in a known format, is damaged, exceeds `max_pixels`, MAX_SIDE or
            COSTLY_PARTS, or has a gray level that is not finite.
    """
    with _open(content, max_pixels) as picture:
        ImageOps.exif_transpose(picture, in_place=True)
        return _to_gray(picture)


@contextlib.contextmanager
def _open(content: bytes, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    _check_costly_parts(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about large images, which are rejected below
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > max_pixels or max(width, height) > MAX_SIDE:
                    limits = f"at most {max_pixels} pixels and {MAX_SIDE} on a side"
                    raise ValueError(f"must have {limits}, got {width} × {height}")
                yield picture
    except UnidentifiedImageError:
        raise ValueError(f"must be an image ({', '.join(FORMATS)}), got {_content_kind(content)}") from None
    except Image.DecompressionBombError:
        raise ValueError(f"must have at most {max_pixels} pixels") from None
    except (OSError, SyntaxError, EOFError, ArithmeticError, MemoryError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)  # a MemoryError has no text
        raise ValueError(f"cannot be read as an image: {reason[:100]}") from None


def _check_costly_parts(content: bytes) -> None:
    for starts, parts, name, most in COSTLY_PARTS:
        if content.startswith(starts) and (count := sum(content.count(part) for part in parts)) > most:
            raise ValueError(f"must have at most {most} {name}, got {count}")


def _content_kind(content: bytes) -> str:
    if not content:
        return "an empty file (0 bytes)"
    return "a web page" if content.lstrip()[:1] == b"<" else "something else"


def size_of(path: Path) -> tuple[int, int]:
    """The (height, width) of an image, with EXIF orientation applied; reads only the header of an image.

    Raises:
        ValueError: the file is not an image, is damaged, or is far too large.
        OSError: the file cannot be read.
    """
    try:
        with Image.open(path, formats=FORMATS) as picture:
            is_turned = picture.getexif().get(ORIENTATION) in (5, 6, 7, 8)
            return picture.size if is_turned else (picture.height, picture.width)
    except UnidentifiedImageError:
        raise ValueError(f"is not an image: {_content_kind(path.read_bytes()[:64])}") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"is too large: {(str(error).splitlines() or [''])[0][:100]}") from None
    except (SyntaxError, ValueError, EOFError, ArithmeticError) as error:
        raise ValueError(f"is a damaged image: {(str(error).splitlines() or [''])[0][:100]}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"is a damaged image: {(str(error).splitlines() or [''])[0][:100]}") from None


def _to_gray(picture: Image.Image) -> Levels:
    if picture.mode.startswith(("I", "F")):  # more than 8 bits, which Pillow would clip
        # the largest level that the mode allows, not the largest in this image, so that all images have the same scale
        white = 1.0 if picture.mode.startswith("F") else 65535.0
        levels = np.asarray(picture, np.float32)
        if not np.isfinite(levels).all():
            raise ValueError("gray levels must be finite numbers")
        return np.asarray(np.clip(levels * (255 / white), 0, 255), np.float32)
    if picture.has_transparency_data and picture.mode != "RGBA":
        picture = picture.convert("RGBA")
    if "A" not in picture.getbands() or picture.getchannel("A").getextrema() == (255, 255):
        return np.asarray(picture if picture.mode == "L" else picture.convert("L"))
    return _on_background(picture)


def _on_background(picture: Image.Image) -> Gray:
    """Gray levels of an RGBA image on white or black. To save memory, channels are converted to floats in strips."""
    gray, alpha = np.empty((2, picture.height, picture.width), np.float32)
    for top in range(0, picture.height, STRIP):
        rows = slice(top, min(top + STRIP, picture.height))
        channels = np.asarray(picture.crop((0, top, picture.width, rows.stop)), np.float32)
        gray[rows] = channels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
        alpha[rows] = channels[..., 3] / 255
    gray *= alpha
    visible_mean = float(gray.sum() / max(float(alpha.sum()), 1e-6))
    if visible_mean < 128:
        gray += np.float32(255) * (1 - alpha)
    return gray
