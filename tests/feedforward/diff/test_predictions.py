"""Comparison of two models' predictions, on samples that can be checked by hand."""

import numpy as np
import pytest

from feedforward.core.errors import DataError
from feedforward.diff import predictions
from feedforward.diff.sides import Answers, Kind


def answers(kind: Kind, outputs: object, truth: object, labels: tuple[str, ...] = ("sad", "glad")) -> Answers:
    texts = [f"text {row}" for row in range(100)]
    return Answers(labels, kind, np.array(outputs), np.array(truth), "data", lambda rows: [texts[row] for row in rows])


def test_samples_are_sorted_by_changed_label_then_by_largest_difference() -> None:
    a = answers("class", [[0.9, 0.1], [0.52, 0.48], [0.8, 0.2], [0.3, 0.7]], [0, 0, 1, 1])
    b = answers("class", [[0.6, 0.4], [0.49, 0.51], [0.8, 0.2], [0.31, 0.69]], [0, 0, 1, 1])
    compared = predictions.compare("notes", a, b)
    assert (compared.samples, compared.different) == (4, 1)
    assert compared.largest_gap == pytest.approx(0.3)
    assert [example.row for example in compared.examples] == [1, 0, 3], "row 2 is the same"
    first = compared.examples[0]
    assert (first.input, first.truth, first.a.answer, first.b.answer) == ("text 1", "sad", "sad", "glad")
    assert first.b.probabilities == {"glad": 0.51, "sad": 0.49}


def test_at_most_ten_samples_are_shown() -> None:
    probabilities = np.linspace(0.0, 0.4, 30)
    a = answers("class", np.stack([1 - probabilities, probabilities], 1), np.zeros(30, int))
    b = answers("class", np.stack([probabilities, 1 - probabilities], 1), np.zeros(30, int))
    compared = predictions.compare("notes", a, b)
    assert compared.different == 30
    assert [example.row for example in compared.examples] == list(range(10)), "the largest gaps first"


def test_multilabel_and_regression_predictions_are_compared() -> None:
    labels = ("even", "loop", "high")
    a = answers("labels", [[0.9, 0.2, 0.1], [0.9, 0.9, 0.1]], [[1, 0, 0], [1, 1, 0]], labels)
    b = answers("labels", [[0.9, 0.2, 0.2], [0.1, 0.2, 0.1]], [[1, 0, 0], [1, 1, 0]], labels)
    compared = predictions.compare("traits", a, b)
    assert compared.different == 1
    assert [(e.row, e.truth, e.a.answer, e.b.answer) for e in compared.examples] == [
        (1, "even, loop", "even, loop", "none"),
        (0, "even", "even", "even"),
    ]
    first, second = (answers("value", [[12.5], [value]], [12.0, 8.0], ("price",)) for value in (7.0, 9.0))
    compared = predictions.compare("prices", first, second)
    assert (compared.different, compared.largest_gap) == (1, 2.0)
    assert [(e.row, e.truth, e.a.answer, e.b.answer, e.a.probabilities) for e in compared.examples] == [
        (1, "8", "7", "9", {})
    ]


def test_predictions_for_different_samples_or_labels_are_not_compared() -> None:
    a = answers("class", [[0.9, 0.1]], [0])
    for b in (answers("class", [[0.9, 0.1]], [1]), answers("class", [[0.9, 0.1]], [0], ("no", "yes"))):
        with pytest.raises(DataError, match="the models have different"):
            predictions.compare("notes", a, b)


def test_pictures_are_described_by_their_size() -> None:
    assert predictions.shorten([np.zeros((28, 28), np.uint8)], 60) == ["image of 28 × 28 pixels"]
