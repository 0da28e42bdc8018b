"""The metrics of a run, checked by arithmetic."""

import pytest

from feedforward.experiments import evaluation

CURVES = {
    "loss": [0.9, 0.5, 0.2],
    "accuracy": [0.5, 0.8, 0.9],
    "cross_entropy": [0.8, 0.4, 0.1],
    "val_loss": [0.7, 0.6, 0.9],
    "val_accuracy": [0.6, 0.7, 0.65],
    "val_cross_entropy": [0.6, 0.5, 0.8],
}
MEASURED = {"best_cross_entropy": 0.35, "best_accuracy": 0.85}


def test_metrics_are_taken_from_the_best_and_the_last_epoch() -> None:
    assert evaluation.summarize(CURVES, MEASURED) == pytest.approx(
        {
            "best_epoch": 2,
            "best_val_cross_entropy": 0.5,
            "best_val_accuracy": 0.7,
            "best_cross_entropy": 0.35,
            "best_accuracy": 0.85,
            "generalization_gap": 0.5 - 0.35,  # both without dropout
            "last_val_cross_entropy": 0.8,
            "last_val_accuracy": 0.65,
            "last_accuracy": 0.9,
            "last_cross_entropy": 0.1,
            "rise": 0.8 - 0.5,
            "slope": 0.8 - 0.5,  # there is one epoch after the minimum
        }
    )


def test_best_epoch_is_chosen_by_cross_entropy_not_by_penalized_loss() -> None:
    assert evaluation.summarize(CURVES | {"val_loss": [0.9, 0.8, 0.1]}, MEASURED)["best_epoch"] == 2


def test_the_first_of_equally_good_epochs_is_the_best_epoch() -> None:
    assert evaluation.summarize(CURVES | {"val_cross_entropy": [0.5, 0.5, 0.5]}, MEASURED)["best_epoch"] == 1


def test_slope_is_fitted_after_the_minimum() -> None:
    curves = {name: [0.9, 0.3, 0.35, 0.4, 0.45] for name in CURVES}
    metrics = evaluation.summarize(curves, MEASURED)
    assert (metrics["slope"], metrics["rise"]) == pytest.approx((0.05, 0.15))


def test_slope_is_undefined_if_no_epoch_follows_the_minimum() -> None:
    metrics = evaluation.summarize(CURVES | {"val_cross_entropy": [0.9, 0.5, 0.3]}, MEASURED)
    assert metrics["rise"] == 0
    assert "slope" not in metrics


def test_calibration_metrics_are_the_last_values_of_the_calibration_curves() -> None:
    curves = CURVES | {"calibration/ece": [0.02, 0.05, 0.09], "calibration/brier": [0.3, 0.25, 0.2]}
    metrics = evaluation.summarize(curves, MEASURED)
    assert (metrics["last_calibration_error"], metrics["last_brier_score"]) == (0.09, 0.2)
    assert "last_calibration_error" not in evaluation.summarize(CURVES, MEASURED)


def test_a_run_without_validation_has_no_best_epoch() -> None:
    curves = {name: values for name, values in CURVES.items() if not name.startswith("val_")}
    assert evaluation.summarize(curves, {}) == {"last_accuracy": 0.9, "last_cross_entropy": 0.1}
