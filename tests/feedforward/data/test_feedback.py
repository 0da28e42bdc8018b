"""Samples from users: which are added to the snapshot, which are refused, and where they are added."""

import base64
import hashlib
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import own_data
import own_tables
import pyarrow.parquet as pq
import pytest
from prepared_data import file_digests, images, prepare, put_images, put_texts, reviews, store_correction
from raw_files import REVIEWS

from feedforward.config.schema import Dataset, Retraining
from feedforward.core import append_only_log, atomic_files, paths
from feedforward.core.errors import DataError
from feedforward.data import drift, feedback, feedback_features, preparation, validation_split
from feedforward.data.feedback_features import Cache
from feedforward.data.readers import encoders
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.readers.tokenizer import Vocabulary
from feedforward.data.splits import MultiHot, Split
from feedforward.retraining import policy


def test_valid_samples_are_added_once_and_invalid_ones_are_counted(root: Path) -> None:
    put_texts(root)
    prepare("reviews", reviews())
    assert feedback.read("reviews") == []
    store_correction("reviews", "positive", "good fun, good größe")
    store_correction("reviews", "positive", "good fun, good größe")
    store_correction("reviews", "great", "a film")
    store_correction("reviews", "negative", "never seen", digest="0" * 64)
    store_correction("reviews", "negative", "bad")  # is in the test split
    store_correction("reviews", "negative", "both")
    store_correction("reviews", "positive", "both")
    store_correction("reviews", "negative", "no " * 20)
    append_only_log.append(paths.incoming("reviews"), {"label": "negative"})
    intake = feedback.examine("reviews", reviews())
    assert [entry["text"] for entry in intake.new] == ["good fun, good größe"]
    assert intake.refused == {
        "damaged": 2, "given two labels": 2, "already in the data": 1, "too short or too long": 1, "unknown label": 1,
    }  # fmt: skip
    assert feedback.take("reviews", reviews(), collect=False) == 0
    assert [feedback.take("reviews", reviews(), collect=True) for _ in range(2)] == [1, 0]
    before = paths.collected("reviews").read_bytes()
    store_correction("reviews", "negative", "bad and bad")
    assert feedback.take("reviews", reviews(), collect=True) == 1
    assert paths.collected("reviews").read_bytes().startswith(before)
    assert set(feedback.read("reviews")[0]) == {"label", "digest", "text"}


def spellings(text: str) -> list[str]:
    """Texts with the same words."""
    other = [f"{text}\n", f"  {text}", text.upper(), f"{text}!!", text.replace(" ", ",\u00a0"), f"„{text}“"]
    return [*other, *{unicodedata.normalize("NFD", text)} - {text}]


@pytest.mark.proves("A text that differs from a test text only in case, punctuation or spaces is never trained on")
def test_other_spellings_of_texts_in_the_data_are_recognized(root: Path) -> None:
    put_texts(root)
    prepare("reviews", reviews())
    bounds = reviews().expectations.model_copy(update={"raw_length": (1, 100)})
    dataset = reviews().model_copy(update={"expectations": bounds})
    texts = [content.decode() for name, content in REVIEWS.items() if name.endswith(".txt")]
    variants = sorted({spelling for text in texts for spelling in spellings(text)})
    for text in variants:
        store_correction("reviews", "positive", text)
    samples = feedback.samples("reviews", dataset)
    assert len(samples) == len(variants)
    assert not [sample.entry["text"] for sample in samples if sample.problem is None]


def test_other_spellings_of_a_sample_are_repeats_and_contradict_other_labels(root: Path) -> None:
    put_texts(root)
    prepare("reviews", reviews())
    text, *others = "good fun, käse", *spellings("good fun, käse")
    for spelling in (text, *others):
        store_correction("reviews", "positive", spelling)
    intake = feedback.examine("reviews", reviews())
    assert [entry["text"] for entry in intake.new] == [text]
    assert intake.refused == {"already submitted": len(others)}
    store_correction("reviews", "negative", "good fun, KÄSE.")
    assert feedback.examine("reviews", reviews()).refused == {"given two labels": len(others) + 2}


@pytest.mark.proves("A sample that users could disguise as a new one before is removed from the training data")
def test_a_collected_sample_with_the_words_of_a_test_text_is_removed(root: Path) -> None:
    put_texts(root)
    prepare("reviews", reviews())
    store_correction("reviews", "positive", "good fun")
    store_correction("reviews", "positive", "BAD!\n")  # `bad` is in the test split
    entries = list(append_only_log.read(paths.incoming("reviews")))
    append_only_log.extend(paths.collected("reviews"), entries)
    preparation.vectorize("reviews", reviews(), collect=True)
    assert feedback.take("reviews", reviews(), collect=True) == 0
    assert [entry["text"] for entry in feedback.read("reviews")] == ["good fun"]


def test_samples_are_encoded_once_until_the_data_change(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    encode = TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda self, texts: (encoded.extend(texts), encode(self, texts))[1])
    put_texts(root)
    prepare("reviews", reviews())
    store_correction("reviews", "positive", "good fun")
    cache = Cache()

    def texts_encoded_now() -> list[str]:
        encoded.clear()
        samples = feedback.samples("reviews", reviews(), cache)
        assert not any(sample.problem for sample in samples)
        return list(encoded)

    assert [texts_encoded_now(), texts_encoded_now()] == [["good fun"], []]
    store_correction("reviews", "negative", "bad and bad")
    assert texts_encoded_now() == ["bad and bad"]
    manifest = paths.vectorized("reviews") / "manifest.json"
    atomic_files.write_json(manifest, atomic_files.read_json(manifest) | {"data_digest": "0" * 64})
    assert texts_encoded_now() == ["good fun", "bad and bad"]


def test_nothing_is_added_before_the_dataset_is_vectorized(root: Path) -> None:
    store_correction("reviews", "positive", "good fun")
    assert feedback.take("reviews", reviews(), collect=True) == 0
    assert paths.collected("reviews").is_file()
    assert feedback.read("reviews") == []


def test_training_data_are_unchanged_if_feedback_is_off(root: Path) -> None:
    put_texts(root)
    before = file_digests(prepare("reviews", reviews()))
    store_correction("reviews", "positive", "good fun, so good")
    feedback.take("reviews", reviews(), collect=True)
    preparation.vectorize("reviews", reviews())
    assert file_digests(paths.vectorized("reviews")) == before


@pytest.mark.parametrize("take", ["first", "last"])
def test_samples_are_added_to_the_training_split_opposite_the_held_out_samples(root: Path, take: str) -> None:
    put_texts(root)
    dataset = reviews()
    config = dataset.training.validation.model_copy(update={"take": take, "samples": 1})
    dataset = dataset.model_copy(update={"training": dataset.training.model_copy(update={"validation": config})})
    original = Split.load(prepare("reviews", dataset) / "train")
    before = validation_split.hold_out(original, dataset)[1].to_split()
    store_correction("reviews", "positive", "good fun, unheard of")
    store_correction("reviews", "negative", "bad a a")
    feedback.take("reviews", dataset, collect=True)
    preparation.vectorize("reviews", dataset, collect=True)
    folder = paths.vectorized("reviews")
    train, manifest = Split.load(folder / "train"), atomic_files.read_json(folder / "manifest.json")
    assert manifest["collected"] == 2
    assert manifest["samples"] == {"train": 5, "test": 2}
    assert manifest["train"] == train.digest() != original.digest()
    training, validation = (part.to_split() for part in validation_split.hold_out(train, dataset))
    assert validation.digest() == before.digest()
    added = slice(-2, None) if take == "first" else slice(0, 2)
    assert isinstance(training.features, MultiHot)
    # columns of the existing vocabulary: 1 starts a text, 2 replaces unknown words, `bad` is the most frequent word
    assert [np.flatnonzero(row).tolist() for row in training.features.dense()[added]] == [[1, 2, 7, 9], [1, 4, 5]]
    assert training.labels[added].tolist() == [1, 0]


def pictures(root: Path) -> Dataset:
    """Put the files of an image dataset in place, and return the dataset with bounds that samples of 4 × 4 meet."""
    put_images(root)
    dataset = images()
    expectations = dataset.expectations.model_copy(update={"raw_length": (16, 16), "nonzero_features": (1, 16)})
    return dataset.model_copy(update={"expectations": expectations})


def test_samples_of_more_than_256_classes_are_encoded(root: Path) -> None:
    dataset = reviews().model_copy(update={"labels": tuple(f"class {number}" for number in range(300))})
    entry = {"text": "good fun", "label": "class 299", "digest": hashlib.sha256(b"good fun").hexdigest()}
    encoder = TextEncoder(Vocabulary(("good", "fun"), 12))
    part = feedback_features.part([entry], dataset, encoder)
    assert part.split.labels.tolist() == [299]


def test_picture_samples_are_added_to_the_training_split(root: Path) -> None:
    dataset = pictures(root)
    prepare("digits", dataset)
    pixels = np.arange(16, dtype=np.uint8)
    store_correction("digits", "7", pixels=pixels, height=4, width=4)
    store_correction("digits", "7", pixels=np.arange(20, dtype=np.uint8), height=4, width=5)
    store_correction("digits", "7", pixels=np.zeros(16, np.uint8), height=4, width=4)
    assert feedback.examine("digits", dataset).refused == {
        "too few or too many non-zero pixels": 1,
        "wrong size": 1,
    }
    bounds = dataset.expectations.model_copy(update={"nonzero_features": (0, 16), "value": (0, 14)})
    assert feedback.examine("digits", dataset.model_copy(update={"expectations": bounds})).refused == {
        "pixel values out of bounds": 1,
        "too few or too many non-zero pixels": 1,  # `empty` allows none of them
        "wrong size": 1,
    }
    feedback.take("digits", dataset, collect=True)
    preparation.vectorize("digits", dataset, collect=True)
    train = Split.load(paths.vectorized("digits") / "train")
    assert len(train) == 31
    assert train.features[0].tolist() == pixels.tolist()  # at the start, because the last samples are held out
    assert train.labels[0] == 7


@pytest.mark.proves("Users' images are recognized in data from image files, and their sizes cause no drift")
def test_images_of_class_folders_are_compared_as_the_network_receives_them(
    tmp_path: Path, prepare: own_tables.Prepare
) -> None:
    source = own_data.picture_folder(tmp_path / "digits")
    _, dataset = prepare(source)
    encoder = encoders.of_dataset(dataset.reader, paths.vectorized("own"))
    for number in range(10):
        [image] = source.glob(f"*/{number:04}.png")
        pixels = encoder.check(image.read_bytes(), "sample")
        store_correction("own", dataset.labels[0], pixels=pixels)
        store_correction("own", dataset.labels[0], pixels=np.maximum(pixels, 1))  # a new image
    intake = feedback.examine("own", dataset)
    assert intake.refused == {"already in the data": 10}
    assert len(intake.new) == 10
    comparison = policy._compare("own", dataset, intake.new, Retraining())
    [length_distance] = [distance for distance in comparison.distances.others if distance.name == drift.LENGTH]
    assert length_distance.value == 0
    assert feedback.take("own", dataset, collect=True) == 10
    preparation.vectorize("own", dataset, collect=True)
    lengths = pq.read_table(paths.vectorized("own") / "profile.parquet", columns=["raw_length"])["raw_length"]
    assert set(lengths.to_pylist()) == {encoder.feature_count}


def test_collected_images_of_another_size_are_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = pictures(root)
    prepare("digits", dataset)
    store_correction("digits", "7", pixels=np.arange(16, dtype=np.uint8), height=4, width=4)
    feedback.take("digits", dataset, collect=True)
    collected = paths.collected("digits").read_text()
    changed = json.loads(collected.splitlines()[-1])
    changed |= {"pixels": base64.b64encode(bytes(20)).decode(), "digest": hashlib.sha256(bytes(20)).hexdigest()}
    paths.collected("digits").write_text(collected + json.dumps(changed) + "\n")
    preparation.vectorize("digits", dataset, collect=True)
    assert "images of users that are left out, because they do not have 16 pixels: 1" in caplog.text
    assert json.loads((paths.vectorized("digits") / "manifest.json").read_text())["collected"] == 1
    assert len(Split.load(paths.vectorized("digits") / "train")) == 31


@pytest.mark.parametrize("change", [{"text": "other"}, {"text": 5}, {"label": ["positive"]}, {"digest": "x"}])
def test_a_changed_snapshot_is_reported(root: Path, change: dict[str, Any]) -> None:
    put_texts(root)
    prepare("reviews", reviews())
    store_correction("reviews", "positive", "good fun")
    assert feedback.take("reviews", reviews(), collect=True) == 1
    [entry] = feedback.read("reviews")
    append_only_log.append(paths.collected("reviews"), entry | change)
    with pytest.raises(DataError, match=r"reviews\.jsonl: a sample was changed; restore the file with `dvc checkout`"):
        preparation.vectorize("reviews", reviews(), collect=True)
