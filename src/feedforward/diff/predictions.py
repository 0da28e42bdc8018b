"""Where the predictions of two models for the same test samples differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.core.errors import DataError
from feedforward.diff.sides import Answers

EXAMPLES = 10  # maximum number per dataset
LABELS_SHOWN = 3  # the most probable ones


@dataclass(frozen=True)
class Answer:
    """A prediction as text, and the probabilities of the most probable labels (empty for a value)."""

    answer: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Example:
    """A test sample with both predictions. row: row in the test split. input: the sample as text, shortened."""

    row: int
    input: str
    truth: str
    a: Answer
    b: Answer


@dataclass(frozen=True)
class PredictionDiff:
    """How the predictions of two models differ on one dataset.

    different: number of samples with different predictions. largest_gap: the largest difference between probabilities
    (or values). examples: samples with different predictions come first, then those with the largest differences.
    """

    dataset: str
    samples: int
    different: int
    largest_gap: float
    examples: tuple[Example, ...]


def compare(dataset: str, a: Answers, b: Answers) -> PredictionDiff:
    """Compare the predictions; the result has at most EXAMPLES examples.

    Raises:
        DataError: the models have different labels, tasks or test samples.
    """
    if (a.labels, a.kind) != (b.labels, b.kind):
        raise DataError(f"predictions of {dataset}: the models have different labels or tasks")
    if a.source != b.source or not np.array_equal(a.truth, b.truth):
        raise DataError(f"predictions of {dataset}: the models have different test samples")
    gaps = np.abs(a.outputs - b.outputs).max(axis=1)
    differs = _without_probabilities(a) != _without_probabilities(b)
    differs = differs.any(axis=1) if differs.ndim == 2 else differs
    order = np.lexsort((-gaps, ~differs))[:EXAMPLES]
    rows = [int(row) for row in order if gaps[row] > 0]
    inputs = a.show(rows) if rows else []
    examples = [
        Example(row, text, _as_text(a, np.asarray(a.truth[row])), _answer(a, row), _answer(b, row))
        for row, text in zip(rows, inputs, strict=True)
    ]
    return PredictionDiff(dataset, len(gaps), int(differs.sum()), float(gaps.max()), tuple(examples))


def _without_probabilities(answers: Answers) -> npt.NDArray[Any]:
    """Classes or values, shape (samples,), or whether each label is predicted, shape (samples, labels)."""
    if answers.kind == "value":
        return answers.outputs[:, 0]
    return np.asarray(answers.outputs > 0.5 if answers.kind == "labels" else answers.outputs.argmax(axis=1))


def _answer(answers: Answers, row: int) -> Answer:
    text = _as_text(answers, np.asarray(_without_probabilities(answers)[row]))
    if answers.kind == "value":
        return Answer(text, {})
    probabilities = answers.outputs[row]
    top_labels = np.argsort(-probabilities, kind="stable")[:LABELS_SHOWN]
    return Answer(text, {answers.labels[label]: float(probabilities[label]) for label in top_labels})


def _as_text(answers: Answers, value: npt.NDArray[np.generic]) -> str:
    """A prediction or true label as text. value: a class number, a row of 0 and 1, or a number."""
    if answers.kind == "value":
        return f"{float(value):.6g}"
    if answers.kind == "class":
        return answers.labels[int(value)]
    return ", ".join(label for label, holds in zip(answers.labels, value, strict=True) if holds) or "none"


def shorten(samples: Sequence[Any], characters: int) -> list[str]:
    """Each raw sample as one line of at most `characters` characters; an image is described by its size.

    >>> shorten(["a fine<br />film"], 8)
    ['a fine …']
    """
    return [_shorten(sample, characters) for sample in samples]


def _shorten(sample: Any, characters: int) -> str:
    if not isinstance(sample, str):
        return f"image of {' × '.join(map(str, np.shape(sample)))} pixels"
    line = " ".join(sample.replace("<br />", " ").split())
    return line if len(line) <= characters else line[: characters - 1].rsplit(" ", 1)[0] + " …"
