"""Encode table columns as features: numbers in standard deviations from their mean, categories one-hot.

Means, deviations and categories come from the training rows and are stored with the model as JSON, together with the
decimal sign and the spellings of missing values, so that a row sent years later is read and encoded like the training
rows. A missing number becomes the mean; for an unknown category, all features of its column are 0.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.core import atomic_files
from feedforward.data.readers.cells import Decimal

MAX_CATEGORIES = 1000  # per column
LARGEST = (
    1e6  # standard deviations from the mean, to which numbers are limited; far larger ones overflow in the network
)
EQUAL = 1e-12  # relative difference of numbers that count as equal, because it may be due to rounding

Numbers = Mapping[str, npt.NDArray[np.float64]]  # by column; NaN: missing
Texts = Mapping[str, Sequence[str] | npt.NDArray[np.object_]]  # by column; empty: missing


@dataclass(frozen=True)
class Columns:
    """The columns of a table, and how they are encoded.

    numeric: (name, mean, standard deviation); if all values are equal, 1 is used as the standard deviation.
    categorical: (name, sorted categories). decimal, missing: how cells are read; see `cells`. grouped: the numeric
    columns in whose training cells points or commas separate thousands; dates: those whose training cells are dates;
    None: unknown, as in versions of release 0.2.
    """

    numeric: tuple[tuple[str, float, float], ...]
    categorical: tuple[tuple[str, tuple[str, ...]], ...]
    decimal: Decimal = "."
    missing: tuple[str, ...] = ()
    grouped: tuple[str, ...] | None = None
    dates: tuple[str, ...] | None = None

    @property
    def names(self) -> list[str]:
        """The names of the features."""
        numeric = [name for name, _, _ in self.numeric]
        return numeric + [f"{name}={value or '(missing)'}" for name, values in self.categorical for value in values]

    def encode(self, numbers: Numbers, texts: Texts, rows: int) -> npt.NDArray[np.float32]:
        """Encode rows: float32, shape (rows, features)."""
        features = np.zeros((rows, len(self.names)), np.float32)
        for k, (name, mean, scale) in enumerate(self.numeric):
            standardized = np.clip((numbers[name] - mean) / scale, -LARGEST, LARGEST)
            features[:, k] = np.where(np.isnan(standardized), 0.0, standardized)
        start = len(self.numeric)
        for name, values in self.categorical:
            codes = {value: k for k, value in enumerate(values)}
            indices = np.fromiter((codes.get(value, -1) for value in texts[name]), np.int64, rows)
            known = np.flatnonzero(indices >= 0)
            features[known, start + indices[known]] = 1
            start += len(values)
        return features

    def decode(self, features: npt.NDArray[np.generic]) -> tuple[Numbers, Texts]:
        """Inverse of `encode`: the numbers and texts, as far as features determine them.

        A missing number becomes the mean, an unknown category "\\0". Numbers are rounded, so that equal cells are equal
        again, whatever means and deviations they were encoded with. A number is restored exactly unless it was clipped,
        or has digits below a 100,000th of the standard deviation or, if larger, of its distance from the mean.
        """
        matrix = np.asarray(features, np.float64)
        numbers = {
            name: _round(matrix[:, k] * scale + mean, scale * np.maximum(1, np.abs(matrix[:, k])))
            for k, (name, mean, scale) in enumerate(self.numeric)
        }
        texts, start = {}, len(self.numeric)
        for name, values in self.categorical:
            part, start = matrix[:, start : start + len(values)], start + len(values)
            texts[name] = [values[row.argmax()] if row.any() else "\0" for row in part]
        return numbers, texts

    def to_json(self) -> bytes:
        """The columns as JSON; equal columns produce the same bytes."""
        content: dict[str, Any] = {"numeric": self.numeric, "categorical": self.categorical}
        spelling = {"decimal": self.decimal, "missing": self.missing} if self.missing or self.decimal != "." else {}
        recorded = {"grouped": self.grouped, "dates": self.dates}
        content |= spelling | {key: names for key, names in recorded.items() if names is not None}
        return (atomic_files.canonical_json(content) + "\n").encode()


def _round(values: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round each value to a power of ten of at most a 100,000th of its size, which exceeds the error of a float32."""
    exponents = np.clip(np.floor(np.log10(sizes)) - 5, -300, 300)
    units, factors = 10.0 ** np.maximum(exponents, 0), 10.0 ** np.maximum(-exponents, 0)  # one of them is 1
    rounded: npt.NDArray[np.float64] = np.rint(values * factors / units) * units / factors
    return rounded


def measure(
    numbers: Numbers,
    texts: Texts,
    decimal: Decimal = ".",
    missing: Sequence[str] = (),
    grouped: Sequence[str] = (),
    dates: Sequence[str] = (),
) -> Columns:
    """Measure means, deviations and categories on the training rows.

    Raises:
        ValueError: a column has no number at all, or more than MAX_CATEGORIES categories.
    """
    numeric = []
    for name, values in numbers.items():
        known = values[~np.isnan(values)]
        if not len(known):
            raise ValueError(f"column {name!r} has no number in the training rows")
        numeric.append((name, *mean_and_scale(known)))
    categorical = []
    for name, categories in texts.items():
        distinct = tuple(sorted(set(categories)))
        if len(distinct) > MAX_CATEGORIES:
            raise ValueError(
                f"column {name!r} has {len(distinct)} categories; at most {MAX_CATEGORIES} can be one-hot encoded"
            )
        categorical.append((name, distinct))
    return Columns(tuple(numeric), tuple(categorical), decimal, tuple(missing), tuple(grouped), tuple(dates))


def mean_and_scale(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation of at least one number; 1 instead of the latter if all are equal but for rounding.

    Numbers are first divided by a power of two, so that squares neither overflow nor become 0; this changes no digit.
    """
    exponent = np.frexp(np.abs(values).max())[1]
    scaled = np.ldexp(values, -exponent)
    mean, scale = (float(np.ldexp(figure, exponent)) for figure in (scaled.mean(), scaled.std()))
    return mean, scale if scale > EQUAL * abs(mean) else 1.0


def from_json(content: bytes) -> Columns:
    """Load columns that `to_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: the content is not such JSON.
    """
    stored: dict[str, Any] = json.loads(content)
    numeric = tuple((str(name), float(mean), float(scale)) for name, mean, scale in stored["numeric"])
    if not all(np.isfinite((mean, scale)).all() and scale > 0 for _, mean, scale in numeric):
        raise ValueError("means and deviations must be finite, and deviations positive")
    decimal, missing = stored.get("decimal", "."), tuple(map(str, stored.get("missing", ())))
    if decimal not in (".", ","):
        raise ValueError("the decimal sign must be a point or a comma")
    categorical = tuple((str(name), tuple(map(str, values))) for name, values in stored["categorical"])
    grouped, dates = (tuple(map(str, stored[key])) if key in stored else None for key in ("grouped", "dates"))
    return Columns(numeric, categorical, decimal, missing, grouped, dates)
