"""Raw samples as a user gives them → rows of features as the network was trained on.

An encoder travels with its model as plain values and files: `settings()` and `files()` leave it, `load` makes it again.
"""

import base64
import binascii
import contextlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Reader
from feedforward.core.errors import DataError, InputError
from feedforward.data.readers import columns, idx, image_preprocessing, tokenizer
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.image_preprocessing import Framing
from feedforward.data.splits import Features, MultiHot, Split

VOCABULARY, COLUMNS = "vocabulary.txt", "columns.json"
FEW_TEXTS = 4  # up to here plain Python is faster than columns
QUICK_PIXELS = 2**18  # 512 × 512: some three milliseconds
MEASURED_IMAGES = 5000  # enough to see how they are framed
_BLANKS = str.maketrans(tokenizer.FILTERS, " " * len(tokenizer.FILTERS))
_NO_LETTERS = tokenizer.FILTERS + " "
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")


class Encoder(Protocol):
    """What turns raw samples into features; `takes` says which kind of sample."""

    takes: str

    @property
    def columns(self) -> int:
        """Number of features."""

    def check(self, sample: Any, field: str) -> Any:
        """The sample as `encode` takes it, from a JSON value or from the bytes of a file; InputError names `field`."""

    def encode(self, samples: Sequence[Any]) -> Features:
        """(samples, columns) of samples that were checked."""

    def settings(self) -> dict[str, Any]:
        """JSON values that `load` makes it from again."""

    def files(self) -> dict[str, bytes]:
        """Files that `load` needs besides."""


def quick(encoder: Encoder, samples: Sequence[Any]) -> bool:
    """Whether samples of a few kilobytes in total are checked and encoded in milliseconds.

    Pictures may not be: a few kilobytes can hold millions of pixels.
    """
    return encoder.takes != "image" or picture_pixels(samples) <= QUICK_PIXELS


def picture_pixels(samples: Sequence[Any]) -> int:
    """How many pixels the encoded pictures among `samples` have according to their headers."""
    total = 0
    for sample in samples:
        if isinstance(sample, bytes | str):
            with contextlib.suppress(ValueError):  # not a picture: `check` says so
                total += image_preprocessing.pixels(_encoded(sample))
    return total


@dataclass(frozen=True)
class TextEncoder:
    """Texts → multi-hot words."""

    vocabulary: tokenizer.Vocabulary
    takes = "text"

    @property
    def columns(self) -> int:
        """Number of features."""
        return self.vocabulary.columns

    def check(self, sample: Any, field: str) -> str:
        """The text; bytes are taken for UTF-8, where what is not becomes U+FFFD.

        Raises:
            InputError: no text, or one without a word.
        """
        if isinstance(sample, bytes):
            sample = sample.decode("utf-8", "replace")
        if not isinstance(sample, str):
            raise InputError(field, f"must be a text, got {_kind(sample)}")
        text: str = sample
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()  # half a surrogate pair becomes a question mark
        if not text.strip(_NO_LETTERS):
            raise InputError(field, "must hold at least one word, got an empty text")
        return text

    def encode(self, samples: Sequence[str]) -> MultiHot:
        """(texts, columns); see words.encode."""
        if len(samples) > FEW_TEXTS:
            return tokenizer.encode(samples, self.vocabulary)
        rows = [sorted({tokenizer.START, *self.columns_of(self.split(text))}) for text in samples]
        indptr = np.cumsum([0, *map(len, rows)])
        return MultiHot(indptr, np.array([column for row in rows for column in row], np.uint16), self.columns)

    def split(self, text: str) -> list[str]:
        """The words of a text, in order, as words.encode splits them."""
        lower = text.lower()
        if not lower.isascii():
            lower = lower.encode("utf-8", "replace").decode()
        return [word for word in lower.translate(_BLANKS).split(" ") if word]

    def columns_of(self, split: Sequence[str]) -> list[int]:
        """The column of each word; words.DROPPED for those that have none of their own."""
        known = self.vocabulary.column_of
        return [known.get(word, tokenizer.DROPPED) for word in split]

    def settings(self) -> dict[str, Any]:
        """JSON values."""
        return {"kind": "words", "columns": self.columns}

    def files(self) -> dict[str, bytes]:
        """The vocabulary, one word a line."""
        return {VOCABULARY: "".join(f"{word}\n" for word in self.vocabulary.words).encode()}


@dataclass(frozen=True)
class ImageEncoder:
    """Pictures → rows of pixels."""

    frame: Framing
    takes = "image"

    @property
    def columns(self) -> int:
        """Number of features."""
        return self.frame.height * self.frame.width

    def check(self, sample: Any, field: str) -> npt.NDArray[np.uint8]:
        """A row of pixels, from an encoded picture (bytes, base64 or a data URL) or from rows of gray levels 0–255.

        Raises:
            InputError: no picture, or an empty sheet.
        """
        try:
            return self.row(_gray(sample, field))
        except ValueError as error:
            raise InputError(field, str(error)) from None

    def row(self, levels: image_preprocessing.Levels) -> npt.NDArray[np.uint8]:
        """A row of pixels: the ink, placed as the training images have it."""
        return image_preprocessing.place(image_preprocessing.ink(levels), self.frame).reshape(-1)

    def encode(self, samples: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
        """(pictures, columns) uint8."""
        return np.stack(samples) if samples else np.empty((0, self.columns), np.uint8)

    def settings(self) -> dict[str, Any]:
        """JSON values."""
        return {"kind": "pixels", **asdict(self.frame)}

    def files(self) -> dict[str, bytes]:
        """None."""
        return {}


@dataclass(frozen=True)
class ScaledEncoder(ImageEncoder):
    """Pictures → rows of pixels, scaled as the reader of image folders does; of the frame only its size counts."""

    def row(self, levels: image_preprocessing.Levels) -> npt.NDArray[np.uint8]:
        """A row of pixels."""
        return image_preprocessing.scaled(levels, self.frame.height, self.frame.width)

    def settings(self) -> dict[str, Any]:
        """JSON values."""
        return {"kind": "scaled pixels", "height": self.frame.height, "width": self.frame.width}


@dataclass(frozen=True)
class RowEncoder:
    """Rows of a table → numbers and one-hot categories."""

    found: Columns
    takes = "row"

    @property
    def columns(self) -> int:
        """Number of features."""
        return len(self.found.names)

    def check(self, sample: Any, field: str) -> dict[str, float | str]:
        """The columns of a row, from an object or its JSON text; others are ignored, `null` and "" are missing.

        Raises:
            InputError: no object, a column is missing, or holds no number where it must.
        """
        if isinstance(sample, str | bytes):
            try:
                sample = json.loads(sample)
            except (ValueError, RecursionError):
                raise InputError(
                    field, 'must be a row as JSON, such as {"column": 1.5}, got a text that is none'
                ) from None
        if not isinstance(sample, dict):
            raise InputError(field, f"must be a row (an object of columns), got {_kind(sample)}")
        row: dict[str, float | str] = {}
        for name, _, _ in self.found.numeric:
            row[name] = _number(_cell(sample, name, field), f"{field}.{name}")
        for name, _ in self.found.categorical:
            value = _cell(sample, name, field)
            row[name] = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        return row

    def encode(self, samples: Sequence[Mapping[str, float | str]]) -> npt.NDArray[np.float32]:
        """(rows, columns) float32."""
        numbers = {n: np.array([float(row[n]) for row in samples], np.float64) for n, _, _ in self.found.numeric}
        texts = {name: [str(row[name]) for row in samples] for name, _ in self.found.categorical}
        return self.found.encode(numbers, texts, len(samples))

    def settings(self) -> dict[str, Any]:
        """JSON values."""
        return {"kind": "columns"}

    def files(self) -> dict[str, bytes]:
        """Means, deviations and categories of the training rows."""
        return {COLUMNS: self.found.to_json()}


def _cell(sample: Mapping[str, Any], name: str, field: str) -> Any:
    if name not in sample:
        raise InputError(field, f"must have a column {name!r}, got {', '.join(map(str, sample))[:200] or 'none'}")
    value = sample[name]
    if isinstance(value, list | dict):
        raise InputError(f"{field}.{name}", f"must be a number or a text, got {_kind(value)}")
    return value


def _number(value: Any, field: str) -> float:
    """The number; NaN where it is missing."""
    if value is None or value == "":
        return math.nan
    try:
        number = math.inf if isinstance(value, bool) else float(value)
    except (ValueError, OverflowError):
        number = math.inf
    if not math.isfinite(number):
        raise InputError(field, f"must be a finite number, got {str(value)[:40]!r}")
    return number


def _gray(sample: Any, field: str) -> image_preprocessing.Levels:
    """Gray levels of an encoded picture, or as they are given."""
    if isinstance(sample, bytes | str):
        return image_preprocessing.read(_encoded(sample))
    if isinstance(sample, list | tuple):
        return _levels(sample)
    raise InputError(field, f"must be a picture (base64, or rows of gray levels), got {_kind(sample)}")


def _encoded(sample: bytes | str) -> bytes:
    if isinstance(sample, bytes):
        return sample
    text = _DATA_URL.sub("", sample[:64], count=1) + sample[64:]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be a picture in base64, got a text that is none") from None


def _levels(rows: Sequence[Any]) -> image_preprocessing.Levels:
    widths = {len(row) if isinstance(row, list | tuple) else -1 for row in rows}
    if len(widths) != 1 or min(widths) < 1 or len(rows) * max(widths) > image_preprocessing.MAX_PIXELS:
        raise ValueError("must be rows of equally many gray levels")
    flat = [level for row in rows for level in row]
    if not all(type(level) in (int, float) for level in flat):
        raise ValueError("gray levels must be numbers")
    if not all(math.isfinite(level) for level in flat if type(level) is float):
        raise ValueError("gray levels must be finite numbers")
    if min(flat) < 0 or max(flat) > 255:
        raise ValueError(f"gray levels must be from 0 to 255, got {str(min(flat))[:20]} to {str(max(flat))[:20]}")
    levels = np.array(flat, np.float32).reshape(len(rows), -1)
    return levels.astype(np.uint8) if (levels % 1 == 0).all() else levels  # as in an encoded picture


def _kind(value: Any) -> str:
    names = {"str": "a text", "list": "a list", "dict": "an object", "NoneType": "null", "bool": "true or false"}
    return names.get(type(value).__name__, "a number")


# --- make ------------------------------------------------------------------------------------


def of_dataset(reader: Reader, vectorized: Path, files: Mapping[str, Path]) -> Encoder:
    """The encoder of a data set that was vectorized; `files` maps a raw file's key to its path, where it is at hand.

    Images are measured on the training split.

    Raises:
        DataError: the files are missing or damaged, or the features are no pictures.
    """
    if reader.kind == "labeled_text":
        return TextEncoder(tokenizer.load_vocabulary(vectorized / VOCABULARY, reader.num_words))
    if reader.kind == "table":
        try:
            return RowEncoder(columns.from_json((vectorized / COLUMNS).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{vectorized / COLUMNS}: cannot be read ({error}); run `dvc repro vectorize`") from None
    if reader.kind == "image_folder":
        return _scaled(reader.height, reader.width)
    features = Split.load(vectorized / "train").features
    if isinstance(features, MultiHot):
        raise DataError(f"{vectorized}: must hold pixels, got words; run `dvc repro vectorize`")
    height, width = _shape(files.get(reader.train.features), features.shape[1])
    pixels = np.asarray(features[:MEASURED_IMAGES]).reshape(-1, height, width).astype(np.uint8)
    return ImageEncoder(image_preprocessing.framing(pixels))


def _scaled(height: int, width: int) -> ScaledEncoder:
    return ScaledEncoder(Framing(height, width, None, ((height - 1) / 2, (width - 1) / 2)))


def _shape(path: Path | None, pixels: int) -> tuple[int, int]:
    """Height and width: as the raw file says where it is at hand, else of a square, else of one row."""
    if path is not None and path.exists():
        sides = idx.read_array(path).shape[1:]
        if len(sides) == 2 and sides[0] * sides[1] == pixels:
            return int(sides[0]), int(sides[1])
    side = round(pixels**0.5)
    return (side, side) if side * side == pixels else (1, pixels)


def load(settings: Mapping[str, Any], files: Mapping[str, bytes]) -> Encoder:
    """The encoder that left these settings and files.

    Raises:
        DataError: they are not those of an encoder.
    """
    try:
        if settings["kind"] == "words":
            text = files[VOCABULARY].decode()
            vocabulary = tokenizer.Vocabulary(tuple(text.split("\n")[:-1]), int(settings["columns"]))
            if len(vocabulary.words) > vocabulary.columns - tokenizer.RANK_OFFSET - 1:
                raise ValueError(f"{len(vocabulary.words)} words do not fit into {vocabulary.columns} columns")
            return TextEncoder(vocabulary)
        if settings["kind"] == "pixels":
            row, column = (float(value) for value in settings["centre"])
            box = None if settings["box"] is None else int(settings["box"])
            return ImageEncoder(Framing(int(settings["height"]), int(settings["width"]), box, (row, column)))
        if settings["kind"] == "scaled pixels":
            return _scaled(int(settings["height"]), int(settings["width"]))
        if settings["kind"] == "columns":
            return RowEncoder(columns.from_json(files[COLUMNS]))
        raise ValueError(f"unknown kind {settings['kind']!r}")
    except (KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"the model's preprocessing cannot be read ({error}); promote it again") from None


def translate(features: Features, made_by: Encoder, wanted: Encoder) -> Features:
    """Features of one encoder as another would have made them from the same samples.

    Of texts: words move to the columns that they have in the other vocabulary, words without one count as dropped.
    A word that only the other vocabulary knows was dropped before and stays so. Of rows: with the other's means,
    deviations and categories.

    Raises:
        DataError: the two take different kinds of samples.
    """
    if made_by == wanted:
        return features
    if isinstance(made_by, RowEncoder) and isinstance(wanted, RowEncoder) and not isinstance(features, MultiHot):
        numbers, texts = made_by.found.decode(features)
        absent = {n for n, *_ in (*wanted.found.numeric, *wanted.found.categorical)} - {*numbers, *texts}
        if not absent:
            return wanted.found.encode(numbers, texts, len(features))
    if not (isinstance(made_by, TextEncoder) and isinstance(wanted, TextEncoder) and isinstance(features, MultiHot)):
        raise DataError("features of different preprocessing cannot be compared; promote a run of the same data")
    column_of = np.full(made_by.columns, tokenizer.DROPPED)
    column_of[: tokenizer.RANK_OFFSET] = np.arange(tokenizer.RANK_OFFSET)
    for word, column in made_by.vocabulary.column_of.items():
        column_of[column] = wanted.vocabulary.column_of.get(word, tokenizer.DROPPED)
    rows = np.repeat(np.arange(len(features)), np.diff(features.indptr))
    keys = np.unique(rows * wanted.columns + column_of[np.asarray(features.indices)])
    indptr = np.searchsorted(keys, np.arange(len(features) + 1) * wanted.columns)
    return MultiHot(indptr, (keys % wanted.columns).astype(np.uint16), wanted.columns)
