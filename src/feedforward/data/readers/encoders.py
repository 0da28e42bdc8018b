"""Encode raw samples as rows of features, in the form that the network was trained on.

An encoder is stored with its model: `settings()` and `files()` return its plain values and files; `load` restores it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from feedforward.config.schema import Reader
from feedforward.core.errors import DataError
from feedforward.data.readers import columns, idx, image_encoder, image_preprocessing, tokenizer, word_pairs
from feedforward.data.readers.image_encoder import ImageEncoder, ScaledEncoder
from feedforward.data.readers.image_preprocessing import ImageGeometry
from feedforward.data.readers.row_encoder import COLUMNS, RowEncoder
from feedforward.data.readers.text_encoder import VOCABULARY, TextEncoder
from feedforward.data.splits import Features, MultiHot, Split

MEASURED_IMAGES = 5000  # enough to measure the geometry of all training images
LEFT_OUT = -1  # in place of a column: the word pair is left out


class Encoder(Protocol):
    """Turns raw samples into features; `sample_kind` is `text`, `image` or `row`."""

    sample_kind: str

    @property
    def feature_count(self) -> int:
        """Number of features."""

    def check(self, sample: Any, field: str) -> Any:
        """Convert a JSON value or the bytes of a file to the form that `encode` takes; InputError names `field`."""

    def encode(self, samples: Sequence[Any]) -> Features:
        """Encode checked samples as features of shape (samples, features)."""

    def unknown(self, sample: Any) -> list[str]:
        """Parts of a checked sample that do not occur in the training data: words, or `COLUMN=CATEGORY`."""

    def settings(self) -> dict[str, Any]:
        """JSON-serializable values from which `load` restores the encoder."""

    def files(self) -> dict[str, bytes]:
        """Files that `load` also needs, by name."""


def is_quick(encoder: Encoder, samples: Sequence[Any]) -> bool:
    """Whether these samples, a few kilobytes in total, can be checked and encoded within milliseconds.

    Images may take longer: a few kilobytes can contain millions of pixels.
    """
    return encoder.sample_kind != "image" or image_encoder.picture_pixels(samples) <= image_encoder.QUICK_PIXELS


def of_dataset(reader: Reader, vectorized: Path) -> Encoder:
    """The encoder of a vectorized dataset.

    How idx images are encoded is decided by those of the training split, which training uses as they are: the object is
    cut out and framed only if they show light objects on black. Otherwise, an image of their size must not change.

    Raises:
        DataError: a file is missing or damaged, or the features of images are not pixels.
    """
    if reader.kind == "labeled_text":
        return TextEncoder(tokenizer.load_vocabulary(vectorized / VOCABULARY, reader.num_words), reader.text or "")
    if reader.kind == "table":
        try:
            return RowEncoder(columns.from_json((vectorized / COLUMNS).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{vectorized / COLUMNS}: cannot be read ({error}); run `dvc repro vectorize`") from None
    features = Split.load(vectorized / "train").features
    if isinstance(features, MultiHot):
        raise DataError(f"{vectorized}: must contain pixels, got words; run `dvc repro vectorize`")
    count = features.shape[1]
    size = idx.recorded_size(vectorized, count) if reader.kind == "idx" else (reader.height, reader.width)
    if size[0] * size[1] != count:
        expected = f"{size[0]} × {size[1]} pixels (`reader`)"
        raise DataError(f"{vectorized}: images must have {expected}, got {count} pixels; run `dvc repro vectorize`")
    pixels = np.asarray(features[:MEASURED_IMAGES]).reshape(-1, *size).astype(np.uint8)
    if reader.kind == "image_folder" or not image_preprocessing.are_light_on_black(pixels):
        return _scaled_encoder(*size, image_preprocessing.are_on_dark(pixels))
    return ImageEncoder(image_preprocessing.measure_geometry(pixels))


def _scaled_encoder(height: int, width: int, on_dark: bool) -> ScaledEncoder:
    return ScaledEncoder(ImageGeometry(height, width, None, ((height - 1) / 2, (width - 1) / 2)), on_dark)


def load(settings: Mapping[str, Any], files: Mapping[str, bytes]) -> Encoder:
    """Restore an encoder from its settings and files.

    Raises:
        DataError: settings and files do not describe an encoder.
    """
    try:
        if settings["kind"] == "words":
            text = files[VOCABULARY].decode()
            vocabulary = tokenizer.Vocabulary(tuple(text.split("\n")[:-1]), int(settings["columns"]))
            if len(vocabulary.words) > vocabulary.columns - tokenizer.RANK_OFFSET - 1:
                raise ValueError(f"{len(vocabulary.words)} words do not fit into {vocabulary.columns} columns")
            return TextEncoder(vocabulary, str(settings.get("column", "")))
        if settings["kind"] == "pixels":
            row, column = (float(value) for value in settings["centre"])
            box = None if settings["box"] is None else int(settings["box"])
            size, tolerance = (int(settings["height"]), int(settings["width"])), float(settings.get("tolerance", 1))
            return ImageEncoder(ImageGeometry(*size, box, (row, column), tolerance))
        if settings["kind"] == "scaled pixels":
            return _scaled_encoder(
                int(settings["height"]), int(settings["width"]), settings.get("background") == "dark"
            )
        if settings["kind"] == "columns":
            return RowEncoder(columns.from_json(files[COLUMNS]))
        raise ValueError(f"unknown kind {settings['kind']!r}")
    except (KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"the model's preprocessing cannot be read ({error}); promote it again") from None


def lacking(source: Encoder, target: Encoder) -> str | None:
    """Why features of `source` do not suffice for a model with the encoder `target`, as a sentence about the model.

    None if they suffice: `translate` then gives exactly the features that `target` would have produced.
    """
    if isinstance(source, TextEncoder) and isinstance(target, TextEncoder):
        missing = len({*target.vocabulary.words} - {*source.vocabulary.words})
        return f"it uses {missing} words or word pairs that have no column in the data" if missing else None
    if isinstance(source, RowEncoder) and isinstance(target, RowEncoder):
        roles = _roles(source)
        changed = [f"{name} as {role}" for name, role in _roles(target).items() if roles.get(name) != role]
        return f"it reads the column {changed[0]}, but the data do not" if changed else None
    own, current = image_size(target), image_size(source)
    if own and current and own != current:
        return f"it takes images of {own[0]} × {own[1]} pixels, but the data have {current[0]} × {current[1]}"
    if type(source) is not type(target):
        return "it encodes samples differently from how the data were encoded"
    return None


def _roles(encoder: RowEncoder) -> dict[str, str]:
    """Column → `numeric` or `categorical`."""
    numeric = {name: "numeric" for name, _, _ in encoder.measured.numeric}
    return numeric | {name: "categorical" for name, _ in encoder.measured.categorical}


def image_size(encoder: Encoder) -> tuple[int, int] | None:
    """Height and width of the images, in pixels; None if the encoder does not take images."""
    return (encoder.geometry.height, encoder.geometry.width) if isinstance(encoder, ImageEncoder) else None


def translate(features: Features, source: Encoder, target: Encoder) -> Features:
    """Convert features from the encoder `source` to those that `target` would have produced from the same samples.

    Texts: each word moves to its column in the vocabulary of `target`, or counts as dropped if it has none; word pairs
    without a column there are left out. Words that only the vocabulary of `target` contains stay dropped, so the result
    is exact only if `lacking` returns None. Table rows: they are encoded again with the means, deviations and
    categories of `target`. Images: features are pixels, which stay as they are.

    Raises:
        DataError: the features of images or rows lack what `target` needs.
    """
    if source == target:
        return features
    if not (isinstance(source, TextEncoder) and isinstance(target, TextEncoder) and isinstance(features, MultiHot)):
        if problem := lacking(source, target):
            raise DataError(f"features from different preprocessing cannot be compared: {problem}")
        if isinstance(source, RowEncoder) and isinstance(target, RowEncoder) and not isinstance(features, MultiHot):
            return target.measured.encode(*source.measured.decode(features), len(features))
        return features
    column_of = np.full(source.feature_count, tokenizer.DROPPED)
    column_of[: tokenizer.RANK_OFFSET] = np.arange(tokenizer.RANK_OFFSET)
    for word, column in source.vocabulary.column_of.items():
        without_column = LEFT_OUT if word_pairs.SPACE in word else tokenizer.DROPPED
        column_of[column] = target.vocabulary.column_of.get(word, without_column)
    rows, new_columns = np.repeat(np.arange(len(features)), np.diff(features.indptr)), column_of[features.indices]
    keys = np.unique((rows * target.feature_count + new_columns)[new_columns != LEFT_OUT])
    indptr = np.searchsorted(keys, np.arange(len(features) + 1) * target.feature_count)
    return MultiHot(indptr, (keys % target.feature_count).astype(np.uint16), target.feature_count)
