"""Columns of a table → features: numbers in standard deviations from their mean, categories one-hot.

Means, deviations and categories are taken from training rows once and then travel as JSON, so that a row given years
later is encoded as those were. A missing number becomes the mean, an unknown category no category.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedforward.core import atomic_files

MOST_CATEGORIES = 1000  # of one column

Numbers = Mapping[str, npt.NDArray[np.float64]]  # by column; NaN: missing
Texts = Mapping[str, Sequence[str]]  # by column; empty: missing


@dataclass(frozen=True)
class Columns:
    """numeric: (name, mean, standard deviation; 1 where all are equal). categorical: (name, categories, sorted)."""

    numeric: tuple[tuple[str, float, float], ...]
    categorical: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def names(self) -> list[str]:
        """What each feature is called."""
        shown = [name for name, _, _ in self.numeric]
        return shown + [f"{name}={value or '(missing)'}" for name, values in self.categorical for value in values]

    def encode(self, numbers: Numbers, texts: Texts, rows: int) -> npt.NDArray[np.float32]:
        """(rows, features) float32."""
        parts = []
        for name, mean, scale in self.numeric:
            standard = (numbers[name] - mean) / scale
            parts.append(np.where(np.isnan(standard), 0.0, standard)[:, None])
        for name, values in self.categorical:
            place = {value: k for k, value in enumerate(values)}
            hot = np.zeros((rows, len(values)))
            for row, value in enumerate(texts[name]):
                if value in place:
                    hot[row, place[value]] = 1
            parts.append(hot)
        return np.concatenate(parts, axis=1).astype(np.float32)

    def decode(self, features: npt.NDArray[np.generic]) -> tuple[Numbers, Texts]:
        """What gave these features, as far as they tell."""
        wide = np.asarray(features, np.float64)
        numbers = {name: wide[:, k] * scale + mean for k, (name, mean, scale) in enumerate(self.numeric)}
        texts, start = {}, len(self.numeric)
        for name, values in self.categorical:
            part, start = wide[:, start : start + len(values)], start + len(values)
            texts[name] = [values[row.argmax()] if row.any() else "\0" for row in part]  # \0: no category has it
        return numbers, texts

    def to_json(self) -> bytes:
        """The same bytes for equal columns."""
        return (atomic_files.canonical_json({"numeric": self.numeric, "categorical": self.categorical}) + "\n").encode()


def measure(numbers: Numbers, texts: Texts) -> Columns:
    """The columns of training rows.

    Raises:
        ValueError: a column has no number at all, or more than MOST_CATEGORIES categories.
    """
    numeric = []
    for name, values in numbers.items():
        known = values[~np.isnan(values)]
        if not len(known):
            raise ValueError(f"column {name!r} holds no number in the training rows")
        scale = float(known.std())
        numeric.append(
            (name, float(known.mean()), scale if scale > 1e-12 * max(1.0, abs(float(known.mean()))) else 1.0)
        )
    categorical = []
    for name, listed in texts.items():
        found = tuple(sorted(set(listed)))
        if len(found) > MOST_CATEGORIES:
            raise ValueError(
                f"column {name!r} has {len(found)} categories, at most {MOST_CATEGORIES} are one-hot encoded"
            )
        categorical.append((name, found))
    return Columns(tuple(numeric), tuple(categorical))


def from_json(content: bytes) -> Columns:
    """What `to_json` left.

    Raises:
        ValueError, KeyError, TypeError: it is not that.
    """
    told = json.loads(content)
    numeric = tuple((str(name), float(mean), float(scale)) for name, mean, scale in told["numeric"])
    if not all(np.isfinite((mean, scale)).all() and scale > 0 for _, mean, scale in numeric):
        raise ValueError("means and deviations must be finite")
    return Columns(numeric, tuple((str(name), tuple(map(str, values))) for name, values in told["categorical"]))
