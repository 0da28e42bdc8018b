"""Encoders turn raw samples from users into features, and are stored and restored with their model."""

import base64
import dataclasses
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import centered_strokes, encoded, png_claiming, stroke
from PIL import Image

from feedforward.config.schema import IdxPair, IdxReader, TextReader
from feedforward.core import atomic_files
from feedforward.core.errors import DataError, InputError
from feedforward.data.readers import encoders, tokenizer
from feedforward.data.readers.columns import Columns, measure
from feedforward.data.readers.image_encoder import ImageEncoder, ScaledEncoder
from feedforward.data.readers.image_preprocessing import ImageGeometry
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.splits import MultiHot, Split
from feedforward.serving.handlers import QUICK_BYTES

TEXT_ENCODER = TextEncoder(tokenizer.Vocabulary(("the", "a", "film", "don't", "größe", "bad"), 20))
IMAGE_ENCODER = ImageEncoder(ImageGeometry(28, 28, 20, (14.0, 14.0)))


@settings(max_examples=100, deadline=None)
@given(st.text() | st.text("the a film.don't BAD\n\t\u00a0\u0130ÖGRÖẞE,é\ud800 -_’“\u0308"))
def test_a_text_is_encoded_the_same_alone_and_in_a_batch(text: str) -> None:
    batch = tokenizer.encode([text], TEXT_ENCODER.vocabulary)
    single = TEXT_ENCODER.encode([text])
    assert isinstance(single, MultiHot)
    np.testing.assert_array_equal(single.indptr, batch.indptr)
    np.testing.assert_array_equal(single.indices, batch.indices)


def test_a_small_body_with_a_large_picture_does_not_count_as_quick() -> None:
    small, large = encoded(stroke(280, 280)), io.BytesIO()
    Image.new("1", (3000, 3000), 1).save(large, "PNG")
    assert len(large.getvalue()) < QUICK_BYTES
    assert encoders.is_quick(IMAGE_ENCODER, [small, base64.b64encode(small).decode(), [[0, 255]]])
    assert not encoders.is_quick(IMAGE_ENCODER, [small] * 5)  # more than 512 × 512 pixels together
    assert not encoders.is_quick(IMAGE_ENCODER, [large.getvalue()])
    assert encoders.is_quick(IMAGE_ENCODER, ["not a picture"])  # `check` refuses it immediately
    assert encoders.is_quick(TEXT_ENCODER, ["a film"])


def test_small_and_large_batches_are_encoded_the_same() -> None:
    texts = ["The film", "a BAD, bad film!", "größe", "unknown words"]
    for count in (1, 4, 5, 9):
        batch = (texts * 3)[:count]
        expected = tokenizer.encode(batch, TEXT_ENCODER.vocabulary)
        np.testing.assert_array_equal(TEXT_ENCODER.encode(batch).indices, expected.indices)
        np.testing.assert_array_equal(TEXT_ENCODER.encode(batch).indptr, expected.indptr)


def test_words_of_a_text_keep_their_order_and_have_columns() -> None:
    words = TEXT_ENCODER.split("The film: THE film!? never")
    assert words == ["the", "film", "the", "film", "never"]
    assert TEXT_ENCODER.columns_of(words) == [4, 6, 4, 6, tokenizer.DROPPED]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("", "at least one word"),
        (" \n\t ", "at least one word"),
        ("!!! ... ???", "at least one word"),
        (7, "must be text, got a number"),
        (math.nan, "must be text, got a number"),
        (None, "must be text, got null"),
        (["a"], "must be text, got a list"),
        ({"text": "a"}, "must be text, got an object"),
        (True, "must be text, got true or false"),
    ],
)
def test_error_for_a_sample_that_is_not_text_names_the_field(sample: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TEXT_ENCODER.check(sample, "samples.3")
    assert caught.value.field == "samples.3"


def test_unusual_texts_are_encoded() -> None:
    assert TEXT_ENCODER.check(b"gr\xf6\xdfe film", "f") == "größe film"
    for text in ("a\x00film", "\u202efilm\u202c", "x" * 10**6, "film\ud800"):
        assert TEXT_ENCODER.encode([TEXT_ENCODER.check(text, "f")]).shape == (1, 20)


def test_a_picture_may_be_bytes_base64_a_data_url_or_gray_levels() -> None:
    pixels = stroke(40, 40)
    content = encoded(pixels)
    text = base64.b64encode(content).decode()
    expected = IMAGE_ENCODER.check(content, "f")
    assert expected.shape == (784,)
    for sample in (text, f"data:image/png;base64,{text}", pixels.tolist(), [[float(v) for v in row] for row in pixels]):
        np.testing.assert_array_equal(IMAGE_ENCODER.check(sample, "f"), expected)
    assert IMAGE_ENCODER.encode([expected, expected]).shape == (2, 784)


@pytest.mark.slow
@pytest.mark.proves("A local picture may be as large as one in a training set; a picture in a request may not")
@pytest.mark.parametrize("encoder", [IMAGE_ENCODER, ScaledEncoder(IMAGE_ENCODER.geometry)], ids=["framed", "scaled"])
def test_a_local_picture_may_be_as_large_as_one_in_a_training_set(encoder: encoders.Encoder) -> None:
    pixels = np.zeros((4097, 4096), np.uint8)
    pixels[1000:3000, 1500:2500] = 255
    content = encoded(pixels, "PNG", compress_level=1)
    np.testing.assert_array_equal(encoder.check(pixels, "f"), encoder.check(content, "f"))
    for sample in (base64.b64encode(content).decode(), [[0] * 4096] * 4097):
        with pytest.raises(InputError, match="must have at most 16777216"):
            encoder.check(sample, "f")
    with pytest.raises(InputError, match="must have at most 67108864 pixels"):
        encoder.check(png_claiming(8193, 8192), "f")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("not base64!", "base64"),
        (base64.b64encode(b"text").decode(), "must be an image"),
        ("", "must be an image"),
        ([[0, math.nan], [1, 2]], "finite"),
        ([[0, math.inf], [1, 2]], "finite"),
        ([[0, 256], [1, 2]], "from 0 to 255, got 0 to 256"),
        ([[0, -1], [1, 2]], "from 0 to 255, got -1 to 2"),
        ([[0, 255], [1]], "of the same length"),
        ([[]], "of the same length"),
        ([], "of the same length"),
        ([1, 2, 3], "of the same length"),
        ([["a", "b"]], "must be numbers"),
        ([[True, False]], "must be numbers"),
        ([[10**400, 1]], "from 0 to 255, got 1 to 1000"),
        ([[7, 7], [7, 7]], "is blank"),
        (3, "got a number"),
        (None, "got null"),
    ],
)
def test_error_for_a_sample_that_is_not_a_picture_names_the_field(sample: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        IMAGE_ENCODER.check(sample, "samples.0")
    assert caught.value.field == "samples.0"


@pytest.mark.parametrize("encoder", [TEXT_ENCODER, IMAGE_ENCODER])
def test_an_encoder_is_restored_from_its_settings_and_files(encoder: encoders.Encoder) -> None:
    settings = atomic_files.canonical_json(encoder.settings())
    restored = encoders.load(json.loads(settings), encoder.files())
    assert restored == encoder
    assert restored.feature_count == encoder.feature_count


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({}, {}),
        ({"kind": "os.system"}, {}),
        ({"kind": "words", "columns": 10}, {}),
        ({"kind": "words", "columns": 5}, {"vocabulary.txt": b"a\nb\nc\n"}),
        ({"kind": "words", "columns": 10}, {"vocabulary.txt": b"\xff\n"}),
        ({"kind": "pixels", "height": 2, "width": 2, "box": None, "centre": 3}, {}),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, object], files: dict[str, bytes]) -> None:
    with pytest.raises(DataError, match="preprocessing cannot be read"):
        encoders.load(settings, files)


def test_encoder_of_a_dataset_is_created_from_its_vectorized_files(tmp_path: Path) -> None:
    pair = IdxPair(features="images.gz", labels="labels.gz")
    reader = IdxReader(kind="idx", train=pair, test=pair)
    pixels = centered_strokes(40)[:, :, 2:26]
    Split(pixels.reshape(40, -1), np.zeros(40, np.uint8)).save(tmp_path / "train")
    atomic_files.write_json(tmp_path / "manifest.json", {"height": 28, "width": 24}, "vectorize")
    encoder = encoders.of_dataset(reader, tmp_path)
    assert isinstance(encoder, ImageEncoder)
    assert (encoder.geometry.height, encoder.geometry.width, encoder.geometry.box) == (28, 24, 20)

    text_reader = TextReader(kind="labeled_text", file="f", train="t", test="t", classes=("a", "b"), num_words=9)
    (tmp_path / "vocabulary.txt").write_text("the\nfilm\n")
    assert encoders.of_dataset(text_reader, tmp_path) == TextEncoder(tokenizer.Vocabulary(("the", "film"), 9))


@pytest.mark.parametrize("facts", [{}, {"height": "many", "width": 24}, {"height": 24, "width": 24}])
def test_the_size_of_images_is_never_guessed(tmp_path: Path, facts: dict[str, object]) -> None:
    pair = IdxPair(features="images.gz", labels="labels.gz")
    Split(np.zeros((4, 28 * 24), np.uint8), np.zeros(4, np.uint8)).save(tmp_path / "train")
    atomic_files.write_json(tmp_path / "manifest.json", facts, "vectorize")
    with pytest.raises(DataError, match=r"size of the images cannot be read .* run `dvc repro vectorize`"):
        encoders.of_dataset(IdxReader(kind="idx", train=pair, test=pair), tmp_path)


@pytest.mark.parametrize("text", ["the film, the FILM", "not a good film", "film", "not good not good", "-"])
def test_word_pairs_are_encoded_stored_and_translated_consistently(text: str) -> None:
    encoder = TextEncoder(tokenizer.Vocabulary(("film", "the", "the film", "not", "not good", "good film"), 12))
    restored = encoders.load(encoder.settings(), encoder.files())
    assert restored == encoder
    single, batch = restored.encode([text]), tokenizer.encode([text], encoder.vocabulary)
    assert isinstance(single, MultiHot)
    np.testing.assert_array_equal(single.indices, batch.indices)
    words_only = TextEncoder(tokenizer.Vocabulary(("the", "film", "not"), 9))
    assert encoders.lacking(words_only, encoder) == "it uses 3 words or word pairs that have no column in the data"
    assert encoders.lacking(encoder, words_only) is None
    np.testing.assert_array_equal(
        encoders.translate(batch, encoder, words_only).indices,  # type: ignore[union-attr]
        words_only.encode([text]).indices,
    )


def test_pixels_are_kept_for_an_encoder_of_the_same_kind_and_size_and_refused_for_any_other() -> None:
    pixels = np.zeros((2, IMAGE_ENCODER.feature_count), np.uint8)
    geometry = IMAGE_ENCODER.geometry
    shifted = ImageEncoder(dataclasses.replace(geometry, center=(1.0, 1.0)))
    assert encoders.translate(pixels, IMAGE_ENCODER, shifted) is pixels
    for other in (ImageEncoder(dataclasses.replace(geometry, height=2)), ScaledEncoder(geometry)):
        with pytest.raises(DataError, match="features from different preprocessing cannot be compared"):
            encoders.translate(pixels, IMAGE_ENCODER, other)


def test_features_are_translated_into_another_vocabulary() -> None:
    other_encoder = TextEncoder(tokenizer.Vocabulary(("film", "bad", "good", "the"), 12))
    texts = ["the bad film", "a film don't größe", "the the unknown", "bad"]
    translated = encoders.translate(TEXT_ENCODER.encode(texts), TEXT_ENCODER, other_encoder)
    expected = other_encoder.encode(texts)
    assert isinstance(translated, MultiHot)
    np.testing.assert_array_equal(translated.indptr, expected.indptr)
    np.testing.assert_array_equal(translated.indices, expected.indices)
    features = TEXT_ENCODER.encode(texts)
    assert encoders.translate(features, TEXT_ENCODER, TEXT_ENCODER) is features
    with pytest.raises(DataError, match="cannot be compared"):
        encoders.translate(features, TEXT_ENCODER, IMAGE_ENCODER)


@pytest.mark.proves("Equal numbers in a table stay equal after data with another mean have been vectorized")
@given(st.lists(st.integers(-999, 999), min_size=2, max_size=20), st.integers(-3, 3), st.integers(-9, 9))
def test_decimal_numbers_are_translated_exactly(numbers: list[int], places: int, added: int) -> None:
    values = np.array([float(f"{number}e{-places}") for number in numbers])
    with_another = np.append(values, float(f"{added}e{-places}"))
    earlier, later = (RowEncoder(measure({"size": cells}, {})) for cells in (values, with_another))
    rows = [{"size": value} for value in values.tolist()]
    translated = encoders.translate(earlier.encode(rows), earlier, later)
    np.testing.assert_array_equal(translated, later.encode(rows))


def test_rows_are_not_translated_if_the_type_of_a_column_differs() -> None:
    numeric = RowEncoder(Columns((("size", 0.0, 1.0), ("grade", 2.0, 1.0)), ()))
    categorical = RowEncoder(Columns((("size", 0.0, 1.0),), (("grade", ("1", "2")),)))
    assert encoders.lacking(numeric, numeric) is None
    assert encoders.lacking(numeric, categorical) == "it reads the column grade as categorical, but the data do not"
    for source, target in ((numeric, categorical), (categorical, numeric)):
        with pytest.raises(DataError, match="features from different preprocessing cannot be compared"):
            encoders.translate(np.zeros((1, source.feature_count), np.float32), source, target)
