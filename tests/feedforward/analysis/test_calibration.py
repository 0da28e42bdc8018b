"""Calibration: known cases; temperature scaling removes overconfidence without changing a prediction."""

import numpy as np
import pytest

from feedforward.analysis import calibration

NOISE = np.random.default_rng(0)
TRUE_LOGITS = NOISE.normal(0, 1.5, (20_000, 3))
LABELS = np.array([NOISE.choice(3, p=row) for row in calibration.probabilities(TRUE_LOGITS)])


def test_true_probabilities_are_calibrated_and_doubled_logits_are_not() -> None:
    calibrated, confident = (calibration.probabilities(TRUE_LOGITS * scale) for scale in (1, 2))
    assert calibration.expected_error(calibrated, LABELS) < 0.015
    assert calibration.expected_error(confident, LABELS) > 0.08


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_temperature_recovers_the_scale_and_changes_no_prediction(scale: float) -> None:
    logits = TRUE_LOGITS * scale
    temperature = calibration.temperature(logits, LABELS)
    assert temperature == pytest.approx(scale, rel=0.04)
    before, after = calibration.probabilities(logits), calibration.probabilities(logits, temperature)
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert calibration.expected_error(after, LABELS) < 0.015


def test_calibration_and_refinement_add_up_to_the_cross_entropy() -> None:
    parts = calibration.decompose(TRUE_LOGITS * 3, LABELS)
    total = calibration.cross_entropy(calibration.probabilities(TRUE_LOGITS * 3), LABELS)
    assert parts.calibration + parts.refinement == pytest.approx(total)
    assert parts.refinement == pytest.approx(
        calibration.cross_entropy(calibration.probabilities(TRUE_LOGITS), LABELS), rel=1e-3
    )


def test_equal_probabilities_have_the_cross_entropy_and_brier_score_of_chance() -> None:
    p, labels = np.full((4, 10), 0.1), np.arange(4)
    assert calibration.cross_entropy(p, labels) == pytest.approx(np.log(10))
    assert calibration.brier_score(p, labels) == pytest.approx(0.9)


def test_one_logit_is_that_of_class_one() -> None:
    p = calibration.probabilities(np.array([[0.0], [np.log(3)]]))
    assert p.tolist() == [pytest.approx([0.5, 0.5]), pytest.approx([0.25, 0.75])]


def test_confusion_matrix_counts_by_true_and_predicted_class() -> None:
    p = np.eye(3)[[0, 0, 1, 1]]
    matrix = calibration.confusion_matrix(p, np.array([0, 1, 1, 2]))
    assert matrix.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    first, second, third = calibration.class_scores(matrix)
    assert (first.precision, first.recall, first.n) == (0.5, 1.0, 1)
    assert (second.precision, second.recall) == (0.5, 0.5)
    assert (third.precision, third.recall) == (0.0, 0.0)
