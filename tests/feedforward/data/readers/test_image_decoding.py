"""The size of an encoded picture is read from its header, as Pillow reads it; the work of decoding it is limited."""

import io
import tracemalloc

import numpy as np
import pytest
from pictures import encoded, png_claiming, stroke
from PIL import Image

from feedforward.core.errors import InputError
from feedforward.data.readers import image_decoding
from feedforward.data.readers.image_encoder import ImageEncoder, ScaledEncoder
from feedforward.data.readers.image_preprocessing import ImageGeometry


def test_pixel_count_matches_the_picture_decoded_by_pillow() -> None:
    small, large = png_claiming(30, 20), png_claiming(3000, 2000)
    ihdr = slice(8, 33)  # the IHDR chunk, which contains the size; if there are two, Pillow uses the second
    for content in (small, large, small[:33] + large[ihdr] + small[33:], encoded(stroke(40, 50), "JPEG")):
        with Image.open(io.BytesIO(content)) as picture:
            assert image_decoding.pixel_count(content) == picture.width * picture.height
    for content in (b"", small[:20]):
        with pytest.raises(ValueError, match="image"):
            image_decoding.pixel_count(content)


@pytest.mark.parametrize("encoder", [ImageEncoder, ScaledEncoder])
@pytest.mark.parametrize("level", [np.nan, np.inf, -np.inf])
def test_gray_levels_of_a_picture_that_are_not_finite_are_refused(encoder: type[ImageEncoder], level: float) -> None:
    levels = stroke(40, 40).astype(np.float32) / 255
    geometry = ImageGeometry(28, 28, 20, (14.0, 14.0))
    assert encoder(geometry).check(encoded(levels, "PPM"), "samples.0").shape == (784,)
    levels[20, 20] = level
    with pytest.raises(InputError, match="gray levels must be finite numbers"):
        encoder(geometry).check(encoded(levels, "PPM"), "samples.0")


def test_error_without_a_message_is_reported_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ValueError, match="cannot be read as an image: MemoryError"):
        image_decoding.read(encoded(stroke(8, 8)))


SCAN = b"\xff\xda\0\x08\1\1\0\1\x3f\0"  # ten bytes, for which the decoder visits all pixels once more
TEXT = b"\x00\x00\x00\x0bzTXtk\x00\x00x\x9c\x03\x00\x00\x00\x00\x01)Y{e"  # a PNG chunk with an empty compressed text
EXIF = b"\xff\xe1\0\x0eExif\0\0II*\0\0\0"


@pytest.mark.proves("A small image cannot occupy the service by repeating parts that are slow to decode")
@pytest.mark.parametrize(
    ("content", "position", "part", "name"),
    [
        pytest.param(encoded(stroke(64, 64), "JPEG", progressive=True), -2, SCAN, "scans", id="JPEG scans"),
        pytest.param(encoded(stroke(64, 64), "JPEG"), 2, EXIF, "Exif segments", id="JPEG Exif"),
        pytest.param(encoded(stroke(8, 8)), 33, TEXT, "compressed texts and color profiles", id="PNG"),
        pytest.param(b"P2 2 2 255\n0 0 0 255\n", 11, b"#\n", "comments", id="PGM"),
    ],
)
def test_images_that_repeat_slow_parts_are_refused(content: bytes, position: int, part: bytes, name: str) -> None:
    def with_inserted(count: int) -> bytes:
        return content[:position] + part * count + content[position:]

    assert image_decoding.read(with_inserted(8)).max() == 255
    # "1" and more digits: the inserted parts, and those of the content itself
    with pytest.raises(ValueError, match=f"must have at most [0-9]+ {name}, got 1[0-9]+$"):
        image_decoding.read(with_inserted(1000))


def test_parts_are_counted_without_a_list_of_them() -> None:
    content = b"P1" + b"#" * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"must have at most 100 comments, got 1000000$"):
            image_decoding.read(content)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
