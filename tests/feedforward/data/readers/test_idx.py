"""The idx reader: images and labels are read unchanged, and the error for a damaged file names the remedy."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from raw_files import idx, sha256

from feedforward.config.schema import IdxPair, IdxReader
from feedforward.core.errors import DataError
from feedforward.data.readers import reading
from feedforward.data.readers.idx import read_array

RNG = np.random.default_rng(0)
IMAGES = {"train": RNG.integers(0, 256, (7, 3, 4), np.uint8), "test": RNG.integers(0, 256, (5, 3, 4), np.uint8)}
LABELS = {"train": np.arange(7, dtype=np.uint8), "test": np.arange(5, dtype=np.uint8)}


def config(shuffle_seed: int | None = None) -> IdxReader:
    train, test = (IdxPair(features=f"{name} images", labels=f"{name} labels") for name in ("train", "test"))
    return IdxReader(kind="idx", train=train, test=test, shuffle_seed=shuffle_seed)


@pytest.fixture
def files(tmp_path):
    paths = {}
    for name in ("train", "test"):
        for kind, array in (("images", IMAGES[name]), ("labels", LABELS[name])):
            paths[f"{name} {kind}"] = tmp_path / f"{name}-{kind}"
            paths[f"{name} {kind}"].write_bytes(idx(array))
    return paths


def test_images_become_rows_of_pixels(files):
    content = reading.read(config(), files)
    assert content.vocabulary is None
    parts = list(content.parts)
    assert [part.name for part in parts] == ["train", "test"]
    for part in parts:
        assert part.split.features.dtype == part.split.labels.dtype == np.uint8
        np.testing.assert_array_equal(part.split.features, IMAGES[part.name].reshape(-1, 12))
        np.testing.assert_array_equal(part.split.labels, LABELS[part.name])
        assert part.raw_lengths.tolist() == [12] * len(part.split)
        assert [digest.tobytes().hex() for digest in part.digests] == [sha256(image) for image in IMAGES[part.name]]


def test_a_seed_shuffles_only_the_training_samples(files):
    train, test = reading.read(config(3), files).parts
    order = np.random.default_rng(3).permutation(7)
    assert order.tolist() != sorted(order)
    np.testing.assert_array_equal(train.split.labels, LABELS["train"][order])
    np.testing.assert_array_equal(train.split.features, IMAGES["train"].reshape(-1, 12)[order])
    assert [digest.tobytes().hex() for digest in train.digests] == [sha256(image) for image in IMAGES["train"][order]]
    np.testing.assert_array_equal(test.split.labels, LABELS["test"])


@settings(deadline=None)
@given(arrays.arrays(np.uint8, arrays.array_shapes(max_dims=4)))
def test_any_uint8_array_is_read_unchanged(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(idx(array))
    np.testing.assert_array_equal(read_array(path), array)


VALID = idx(IMAGES["train"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (VALID[:3], "begins with 000008"),
        (VALID[:9], "according to the header"),
        (VALID[:-1], "expected 100 bytes according to the header, got 99"),
        (VALID + b"?", "expected 100 bytes according to the header, got 101"),
        (b"\0\0\x0d" + VALID[3:], "elements of type float32"),
        (b"\0\0\x08\0", "not an idx file"),  # no dimensions
        (b"<!DOCTYPE html>", "begins with a web page"),
        (b"\x1f\x8b" + VALID, "begins with 1f8b"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "according to the header"),
        (b"\0\0\x08\xff" + b"\xff" * 4 * 255, "according to the header"),
        (idx(np.zeros((0, 3, 4))), "no samples"),
    ],
)
def test_error_for_a_damaged_file_names_the_remedy(tmp_path, content, message):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_array(path)
    assert message in str(caught.value)
    assert re.search(r"correct the source, then fetch it again|convert it", str(caught.value))
    assert "\n" not in str(caught.value)


def test_error_names_the_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"images: cannot be read .*fetch it again"):
        read_array(tmp_path / "images")


def test_images_and_labels_must_have_the_same_length(files):
    files["train labels"].write_bytes(idx(LABELS["test"]))
    with pytest.raises(DataError, match="7 images, but 5 labels"):
        list(reading.read(config(), files).parts)


def test_images_instead_of_labels_are_rejected(files):
    files["train labels"].write_bytes(idx(IMAGES["train"]))
    with pytest.raises(DataError, match="train-labels: expected 1 dimensions, got 3"):
        list(reading.read(config(), files).parts)
