"""Pictures as people make them → pixels as the training images have them."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from pictures import encoded, framed, stroke
from PIL import Image

from feedforward.data.readers import image_preprocessing
from feedforward.data.readers.image_preprocessing import Framing

DIGITS = Framing(28, 28, 20, (14.0, 14.0))
RED_ON_CREAM = (np.array([250, 245, 220]), np.array([160, 20, 30]))


def test_the_framing_of_digits_is_measured() -> None:
    found = image_preprocessing.framing(framed(50))
    assert (found.height, found.width, found.box) == (28, 28, 20)
    assert np.allclose(found.centre, 14, atol=0.5)


def test_images_that_fill_their_frame_have_no_box() -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (20, 28, 28)).astype(np.uint8)
    assert image_preprocessing.framing(pixels).box is None


def test_no_image_at_all_has_a_framing_too() -> None:
    assert image_preprocessing.framing(np.zeros((3, 4, 5), np.uint8)) == Framing(4, 5, None, (1.5, 2.0))


@pytest.mark.parametrize("turned", [lambda a: a, lambda a: 255 - a])
def test_a_training_image_stays_as_it_is_to_the_bit_also_when_inverted(turned) -> None:
    for image in framed(20):
        np.testing.assert_array_equal(image_preprocessing.encode(encoded(turned(image)), DIGITS).reshape(28, 28), image)


@pytest.mark.parametrize("size", [(28, 28), (90, 60), (480, 640), (1200, 900)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM"])
def test_any_size_and_format_lands_in_the_box_with_its_mass_in_the_middle(size: tuple[int, int], kind: str) -> None:
    found = image_preprocessing.encode(encoded(stroke(*size), kind), DIGITS).reshape(28, 28)
    rows, columns = np.nonzero(found > 50)
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
    weights = found / found.sum()
    assert abs(float(weights.sum(1) @ np.arange(28)) - 14) <= 1
    assert abs(float(weights.sum(0) @ np.arange(28)) - 14) <= 1
    assert found.max() == 255


def test_polarity_colour_depth_and_transparency_make_no_difference() -> None:
    light = stroke(200, 160)
    ink = light[..., None] / 255
    colour = (RED_ON_CREAM[0] * (1 - ink) + RED_ON_CREAM[1] * ink).astype(np.uint8)
    black_on_nothing = np.dstack([np.zeros((*light.shape, 3), np.uint8), light])
    white_on_nothing = np.dstack([np.full((*light.shape, 3), 255, np.uint8), light])
    palette = io.BytesIO()
    Image.fromarray(light).convert("P").save(palette, "PNG", transparency=0)
    expected = image_preprocessing.encode(encoded(light), DIGITS)
    for content in (
        encoded(255 - light),
        encoded(colour),
        encoded(black_on_nothing),
        encoded(white_on_nothing),
        encoded(light.astype(np.uint16) * 257),
        encoded(light > 0),
        palette.getvalue(),
    ):
        assert np.abs(image_preprocessing.encode(content, DIGITS).astype(int) - expected).max() <= 3


def test_a_noisy_photograph_is_still_the_stroke() -> None:
    light = stroke(300, 300)
    photo = 200 - 0.6 * light + np.random.default_rng(0).normal(0, 5, light.shape)
    found = image_preprocessing.encode(encoded(photo.clip(0, 255).astype(np.uint8)), DIGITS)
    assert np.abs(found.astype(int) - image_preprocessing.encode(encoded(light), DIGITS)).mean() < 6


def test_without_a_box_the_whole_picture_is_fitted() -> None:
    found = image_preprocessing.encode(encoded(stroke(100, 50)), Framing(20, 20, None, (9.5, 9.5))).reshape(20, 20)
    assert not found[:, :5].any()
    assert not found[:, 15:].any()
    assert found[:, 5:15].any()


def png_of(width: int, height: int) -> bytes:
    """The head of a PNG that claims a size, and no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_the_pixels_of_a_picture_are_those_that_pillow_would_decode() -> None:
    small, large = png_of(30, 20), png_of(3000, 2000)
    head = slice(8, 33)  # the chunk that says the size; Pillow believes the last one
    for content in (small, large, small[:33] + large[head] + small[33:], encoded(stroke(40, 50), "JPEG")):
        with Image.open(io.BytesIO(content)) as picture:
            assert image_preprocessing.pixels(content) == picture.width * picture.height
    for content in (b"", small[:20]):
        with pytest.raises(ValueError, match="picture"):
            image_preprocessing.pixels(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must be a picture"),
        (b"not a picture", "must be a picture"),
        (b"%PDF-1.7 or another thing", "must be a picture"),
        (encoded(stroke(40, 40))[:60], "cannot be read"),
        (png_of(60_000, 60_000), "must have at most 16777216 pixels"),
        (png_of(2000, 2000), "cannot be read"),
        (encoded(np.full((30, 30), 255, np.uint8)), "empty sheet"),
        (encoded(np.zeros((30, 30), np.uint8)), "empty sheet"),
        (encoded(np.full((1, 1), 7, np.uint8)), "empty sheet"),
    ],
)
def test_what_is_no_picture_or_shows_nothing_is_refused_in_a_line(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        image_preprocessing.encode(content, DIGITS)
    assert "\n" not in str(caught.value)


def test_damaged_pictures_never_raise_anything_else() -> None:
    random = np.random.default_rng(3)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "PPM"):
        whole = encoded(stroke(40, 40), kind)
        for _ in range(60):
            broken = bytearray(whole[: random.integers(1, len(whole) + 1)])
            for _ in range(random.integers(0, 6)):
                broken[random.integers(len(broken))] = random.integers(256)
            with contextlib.suppress(ValueError):
                assert image_preprocessing.encode(bytes(broken), DIGITS).shape == (784,)
