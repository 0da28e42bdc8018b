"""The size of an encoded picture is read from its header, as Pillow reads it."""

import io

import pytest
from pictures import encoded, png_claiming, stroke
from PIL import Image

from feedforward.data.readers import image_decoding


def test_pixel_count_matches_the_picture_decoded_by_pillow() -> None:
    small, large = png_claiming(30, 20), png_claiming(3000, 2000)
    ihdr = slice(8, 33)  # the IHDR chunk, which contains the size; if there are two, Pillow uses the second
    for content in (small, large, small[:33] + large[ihdr] + small[33:], encoded(stroke(40, 50), "JPEG")):
        with Image.open(io.BytesIO(content)) as picture:
            assert image_decoding.pixel_count(content) == picture.width * picture.height
    for content in (b"", small[:20]):
        with pytest.raises(ValueError, match="image"):
            image_decoding.pixel_count(content)


def test_error_without_a_message_is_reported_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ValueError, match="cannot be read as an image: MemoryError"):
        image_decoding.read(encoded(stroke(8, 8)))
