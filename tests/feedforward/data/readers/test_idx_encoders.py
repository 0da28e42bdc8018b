"""An image of the size of the training images reaches the served network as training used those images."""

from pathlib import Path

import numpy as np
import pytest
from pictures import Pixels, centered_strokes, encoded

from feedforward.config.schema import IdxPair, IdxReader, ImageReader
from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.data.readers import encoders
from feedforward.data.readers.image_encoder import ImageEncoder, ScaledEncoder
from feedforward.data.splits import Split

RNG = np.random.default_rng(2)


def moved(images: Pixels, distance: int) -> Pixels:
    """Shift each image by at most this distance, in pixels."""
    shifts = RNG.integers(-distance, distance + 1, (len(images), 2))
    return np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(images, shifts, strict=True)])


STROKES = centered_strokes(60)  # like MNIST's digits
LIGHT_ON_BLACK = {"centered": STROKES, "nearly centered": moved(STROKES, 1)}
OTHERS = {
    "dark on light": 230 - STROKES // 2,
    "light on gray": 60 + STROKES // 2,
    "textures": RNG.integers(60, 190, STROKES.shape).astype(np.uint8),
    "faint": STROKES // 16,
    "blank": 0 * STROKES,
}
CASES = LIGHT_ON_BLACK | OTHERS | {"anywhere": moved(centered_strokes(60, box=10), 6)}


def image_encoder(folder: Path, images: Pixels) -> ImageEncoder:
    """The encoder of a vectorized dataset with these training images, after it was stored and loaded."""
    pair = IdxPair(features="images.gz", labels="labels.gz")
    Split(images.reshape(len(images), -1), np.zeros(len(images), np.uint8)).save(folder / "train")
    size = {"height": images.shape[1], "width": images.shape[2]}
    atomic_files.write_json(folder / "manifest.json", size, "vectorize")
    encoder = encoders.of_dataset(IdxReader(kind="idx", train=pair, test=pair), folder)
    loaded = encoders.load(encoder.settings(), encoder.files())
    assert loaded == encoder
    assert isinstance(loaded, ImageEncoder)
    return loaded


def folder_encoder(folder: Path, images: Pixels) -> ImageEncoder:
    """The encoder of a vectorized image folder with these training images, after it was stored and loaded."""
    Split(images.reshape(len(images), -1), np.zeros(len(images), np.uint8)).save(folder / "train")
    reader = ImageReader(kind="image_folder", file="set", classes=("a", "b"), height=28, width=28)
    encoder = encoders.of_dataset(reader, folder)
    assert encoders.load(encoder.settings(), encoder.files()) == encoder
    assert isinstance(encoder, ScaledEncoder)
    return encoder


def is_kept(encoder: ImageEncoder, image: Pixels, sample: Pixels | None = None) -> bool:
    """Whether the sample (default: the image itself), as rows and as a PNG file, becomes the pixels of the image."""
    sample = image if sample is None else sample
    rows = [encoder.check(content, "") for content in (sample, sample.tolist(), encoded(sample))]
    return all(np.array_equal(row, image.reshape(-1)) for row in rows)


@pytest.mark.proves(
    "A training image of an idx dataset reaches the served network with the pixels that it was trained on"
)
@pytest.mark.parametrize("name", CASES)
def test_a_training_image_is_encoded_as_it_was_trained(tmp_path: Path, name: str) -> None:
    encoder = image_encoder(tmp_path, CASES[name])
    assert [image for image in CASES[name] if not is_kept(encoder, image)] == []


@pytest.mark.proves(
    "An image is neither inverted, stretched nor refused as blank if the training images do not suggest it"
)
@pytest.mark.parametrize("name", OTHERS)
def test_no_image_changes_unless_training_images_are_light_on_black(tmp_path: Path, name: str) -> None:
    encoder = image_encoder(tmp_path, OTHERS[name])
    plain = [np.full((28, 28), level, np.uint8) for level in (0, 9, 255)]
    assert all(is_kept(encoder, image) for image in [*STROKES, *(255 - STROKES), *plain])


@pytest.mark.parametrize(
    ("images", "background"),
    [(STROKES, "dark"), (60 + STROKES // 2, "dark"), (255 - STROKES, None), (230 - STROKES // 2, None)],
    ids=["light on black", "light on gray", "dark on white", "dark on light"],
)
def test_the_background_of_images_that_are_only_scaled_is_stored(
    tmp_path: Path, images: Pixels, background: str | None
) -> None:
    encoder = folder_encoder(tmp_path, images)
    assert encoder.settings().get("background") == background
    assert all(is_kept(encoder, image) for image in [*images, *(255 - images)])


@pytest.mark.parametrize(("name", "background"), [("light on gray", "dark"), ("dark on light", None)])
def test_idx_images_that_are_only_scaled_store_their_background_as_well(
    tmp_path: Path, name: str, background: str | None
) -> None:
    assert image_encoder(tmp_path, OTHERS[name]).settings().get("background") == background


def test_vectorized_images_of_another_size_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images must have 28 × 28 pixels .* got 24 pixels; run `dvc repro vectorize`"):
        folder_encoder(tmp_path, np.zeros((3, 4, 6), np.uint8))


@pytest.mark.parametrize("name", LIGHT_ON_BLACK)
def test_a_dark_drawing_is_inverted_and_framed_if_training_images_are_light_on_black(tmp_path: Path, name: str) -> None:
    encoder = image_encoder(tmp_path, LIGHT_ON_BLACK[name])
    assert all(is_kept(encoder, image, 255 - image) for image in LIGHT_ON_BLACK[name])
    drawing = np.full((120, 200), 255, np.uint8)
    drawing[10:50, 20:30] = 0
    pixels = encoder.check(drawing, "").reshape(28, 28)
    assert pixels.max() == 255
    assert np.ptp(np.nonzero(pixels > 50)[0]) == 19  # rows, from 0


def test_an_encoder_of_images_like_mnists_has_the_settings_that_earlier_releases_stored(tmp_path: Path) -> None:
    assert image_encoder(tmp_path, STROKES).settings() == {
        "kind": "pixels",
        "height": 28,
        "width": 28,
        "box": 20,
        "centre": (14.0, 14.0),
    }
