"""Error analysis: cases that can be computed by hand, and the bounded size of the results."""

import json

import networks
import numpy as np
import pytest
from synthetic_predictions import predictions

from feedforward.models import error_analysis, metrics
from feedforward.models.error_analysis import FALSE_POSITIVE_RATES, RECALLS

SOFTMAX = networks.network([3, 3], ["softmax"])
SIGMOID = networks.network([3, 1], ["sigmoid"])
LINEAR = networks.network([3, 1], ["linear"])
TRUTHS = np.array([True, False, True, False, True])
SCORES = np.array([0.9, 0.8, 0.7, 0.7, 0.1])


def test_class_scores_are_computed_from_the_confusion_matrix() -> None:
    logits = np.log(np.eye(3)[[0, 0, 1, 1, 2]] + 0.1).astype(np.float32)
    errors = error_analysis.analyze(SOFTMAX, logits, np.array([0, 1, 1, 2, 2], np.uint8))
    assert errors["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    first, second, third = errors["labels"]
    assert (first["precision"], first["recall"], first["support"]) == (0.5, 1.0, 1)
    assert (second["precision"], second["recall"], second["f1"]) == (0.5, 0.5, 0.5)
    assert (third["precision"], third["recall"]) == (1.0, 0.5)


def test_a_roc_curve_passes_through_the_points_of_its_thresholds() -> None:
    curve = error_analysis.roc(TRUTHS, SCORES)
    true_positive_rates = dict(zip(FALSE_POSITIVE_RATES.tolist(), curve.tolist(), strict=True))
    assert true_positive_rates[0.0] == pytest.approx(1 / 3)  # the highest score belongs to a positive sample
    assert true_positive_rates[1.0] == 1
    assert np.interp(0.5, FALSE_POSITIVE_RATES, curve) == pytest.approx(1 / 3, abs=0.03)
    assert (np.diff(curve) >= 0).all()


def test_precision_at_a_recall_uses_the_threshold_that_reaches_it() -> None:
    curve = error_analysis.precision_recall(TRUTHS, SCORES)
    expected = np.select([RECALLS <= 1 / 3, RECALLS <= 2 / 3], [1, 2 / 4], 3 / 5)
    np.testing.assert_allclose(curve, expected)
    assert error_analysis.average_precision(TRUTHS, SCORES) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)


@pytest.mark.parametrize(("classes", "network"), [(3, SOFTMAX), (2, SIGMOID)])
def test_the_area_below_the_roc_curve_is_the_auc(classes: int, network: object) -> None:
    logits, labels = predictions(classes, seed=1)
    logits = logits.astype(np.float32)
    errors = error_analysis.analyze(network, logits, labels)  # type: ignore[arg-type]
    area = np.trapezoid(errors["roc"][1], errors["roc"][0])
    assert area == pytest.approx(metrics.measure(network, logits, labels)["auc"], abs=2e-3)  # type: ignore[arg-type]
    assert sum(map(sum, errors["confusion"])) == len(labels)
    assert len(json.dumps(errors)) < 6000


def test_multilabel_errors_have_scores_per_label_and_no_confusion_matrix() -> None:
    network = networks.network([3, 2], ["sigmoid"])
    logits = np.array([[2, -1], [1, 1], [-1, -2]], np.float32)
    errors = error_analysis.analyze(network, logits, np.array([[1, 0], [0, 1], [0, 0]], np.uint8))
    assert [label["precision"] for label in errors["labels"]] == [0.5, 1.0]
    assert [label["auc"] for label in errors["labels"]] == [1.0, 1.0]
    assert "confusion" not in errors


def test_a_class_without_samples_has_no_curve() -> None:
    errors = error_analysis.analyze(SIGMOID, np.array([[1.0], [-1.0]], np.float32), np.array([0, 0], np.uint8))
    assert errors["labels"][1]["auc"] is None
    assert "roc" not in errors
    json.dumps(errors, allow_nan=False)


def test_residuals_are_in_the_units_of_the_target() -> None:
    values = np.linspace(-1, 1, 1000, dtype=np.float32)
    errors = error_analysis.analyze(LINEAR, values[:, None], values + 0.1, mean=50.0, scale=20.0)
    bins, points = errors["residuals"]["bins"], errors["residuals"]["points"]
    assert len(bins) == error_analysis.BINS
    assert len(points) == error_analysis.POINTS
    for row in bins:
        assert row[2:] == pytest.approx([2.0] * 6, rel=1e-4)  # each prediction is 0.1 × 20 too low
    assert (bins[0][1], bins[-1][1]) == pytest.approx((31, 69), abs=0.1)  # mean predictions in the bins of 30 to 70
    assert len(json.dumps(errors)) < 10_000


def test_confusion_matrix_is_omitted_for_many_classes() -> None:
    classes = error_analysis.MAX_CLASSES + 1
    network = networks.network([3, classes], ["softmax"])
    errors = error_analysis.analyze(network, np.eye(classes, dtype=np.float32), np.arange(classes))
    assert "confusion" not in errors
    assert len(errors["labels"]) == classes
