"""Pictures of any size, format and polarity are normalized like the training images."""

import contextlib
import io

import numpy as np
import pytest
from pictures import centered_strokes, encoded, png_claiming, stroke
from PIL import Image

from feedforward.data.readers import image_preprocessing
from feedforward.data.readers.image_preprocessing import ImageGeometry

DIGITS = ImageGeometry(28, 28, 20, (14.0, 14.0))
CREAM, RED = np.array([250, 245, 220]), np.array([160, 20, 30])


def test_geometry_is_measured_from_digit_images() -> None:
    geometry = image_preprocessing.measure_geometry(centered_strokes(50))
    assert (geometry.height, geometry.width, geometry.box) == (28, 28, 20)
    assert np.allclose(geometry.center, 14, atol=0.5)


def test_images_that_fill_their_frame_have_no_box() -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (20, 28, 28)).astype(np.uint8)
    assert image_preprocessing.measure_geometry(pixels).box is None


def test_blank_images_have_a_geometry_without_a_box() -> None:
    assert image_preprocessing.measure_geometry(np.zeros((3, 4, 5), np.uint8)) == ImageGeometry(4, 5, None, (1.5, 2.0))


@pytest.mark.parametrize("invert", [lambda a: a, lambda a: 255 - a])
def test_a_training_image_is_reproduced_exactly_even_if_inverted(invert) -> None:
    for image in centered_strokes(20):
        np.testing.assert_array_equal(image_preprocessing.encode(encoded(invert(image)), DIGITS).reshape(28, 28), image)


@pytest.mark.parametrize("size", [(28, 28), (90, 60), (480, 640), (1200, 900)])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM"])
def test_pictures_of_any_size_and_format_fit_the_box_and_are_centered(size: tuple[int, int], file_format: str) -> None:
    pixels = image_preprocessing.encode(encoded(stroke(*size), file_format), DIGITS).reshape(28, 28)
    rows, columns = np.nonzero(pixels > 50)
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
    weights = pixels / pixels.sum()
    assert abs(float(weights.sum(1) @ np.arange(28)) - 14) <= 1
    assert abs(float(weights.sum(0) @ np.arange(28)) - 14) <= 1
    assert pixels.max() == 255


def test_polarity_color_depth_and_transparency_make_no_difference() -> None:
    light = stroke(200, 160)
    alpha = light[..., None] / 255
    color = (CREAM * (1 - alpha) + RED * alpha).astype(np.uint8)
    black_on_transparent = np.dstack([np.zeros((*light.shape, 3), np.uint8), light])
    white_on_transparent = np.dstack([np.full((*light.shape, 3), 255, np.uint8), light])
    palette = io.BytesIO()
    Image.fromarray(light).convert("P").save(palette, "PNG", transparency=0)
    expected = image_preprocessing.encode(encoded(light), DIGITS)
    for content in (
        encoded(255 - light),
        encoded(color),
        encoded(black_on_transparent),
        encoded(white_on_transparent),
        encoded(light.astype(np.uint16) * 257),
        encoded(light > 0),
        palette.getvalue(),
    ):
        difference = np.abs(image_preprocessing.encode(content, DIGITS).astype(int) - expected)
        assert difference.max() <= 3  # of 255 gray levels, because colors are rounded


def test_noise_in_a_photograph_is_removed() -> None:
    light = stroke(300, 300)
    photo = 200 - 0.6 * light + np.random.default_rng(0).normal(0, 5, light.shape)
    pixels = image_preprocessing.encode(encoded(photo.clip(0, 255).astype(np.uint8)), DIGITS)
    assert np.abs(pixels.astype(int) - image_preprocessing.encode(encoded(light), DIGITS)).mean() < 6


def test_the_whole_picture_is_scaled_if_there_is_no_box() -> None:
    pixels = image_preprocessing.encode(encoded(stroke(100, 50)), ImageGeometry(20, 20, None, (9.5, 9.5))).reshape(
        20, 20
    )
    assert not pixels[:, :5].any()
    assert not pixels[:, 15:].any()
    assert pixels[:, 5:15].any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be an image"),
        (b"not a picture", "must be an image"),
        (b"%PDF-1.7 or another thing", "must be an image"),
        (encoded(stroke(40, 40))[:60], "cannot be read"),
        (png_claiming(60_000, 60_000), "must have at most 16777216 pixels"),
        (png_claiming(1, 2**24), "65536 on a side, got"),
        (png_claiming(2000, 2000), "cannot be read"),
        (encoded(np.full((30, 30), 255, np.uint8)), "is blank"),
        (encoded(np.zeros((30, 30), np.uint8)), "is blank"),
        (encoded(np.full((1, 1), 7, np.uint8)), "is blank"),
    ],
)
def test_invalid_and_blank_pictures_are_rejected_with_a_one_line_message(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        image_preprocessing.encode(content, DIGITS)
    assert "\n" not in str(caught.value)


def test_damaged_pictures_raise_only_value_errors() -> None:
    rng = np.random.default_rng(3)
    for file_format in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "PPM"):
        valid = encoded(stroke(40, 40), file_format)
        for _ in range(60):
            broken = bytearray(valid[: rng.integers(1, len(valid) + 1)])
            for _ in range(rng.integers(0, 6)):
                broken[rng.integers(len(broken))] = rng.integers(256)
            with contextlib.suppress(ValueError):
                assert image_preprocessing.encode(bytes(broken), DIGITS).shape == (784,)
