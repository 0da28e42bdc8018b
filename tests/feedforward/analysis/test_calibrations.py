"""Calibration and errors across seeds: means, intervals, and the share of the rise in loss that scaling removes."""

import dataclasses

import networks
import numpy as np
import pytest
from small_data import params
from synthetic_predictions import complete, predictions
from synthetic_runs import synthetic_runs

from feedforward.analysis import calibrations, errors_over_seeds, intervals
from feedforward.analysis.run_result import RunResult
from feedforward.models import sampling_errors

CLASSES = {"tones": 3, "notes": 2}


def runs(dataset: str = "notes", seeds: int = 3) -> list[RunResult]:
    return [run for run in complete(synthetic_runs(params(), range(seeds)), CLASSES) if run.dataset == dataset]


def with_losses(run: RunResult, losses: list[float], scaled_losses: list[float]) -> RunResult:
    curves = {"val_cross_entropy": losses, "calibration/refinement": scaled_losses}
    return dataclasses.replace(run, curves=run.curves | curves)


def test_summary_measures_the_share_of_the_loss_rise_that_scaling_removes() -> None:
    originals = [run for run in runs() if run.variant == "original" and run.role == "replica"]
    rising = [with_losses(run, [0.5, 0.3, 0.5 + k / 10], [0.4, 0.3, 0.34 + k / 100]) for k, run in enumerate(originals)]
    [summary] = calibrations.summarize(rising, ["original", "absent"])
    assert summary.rise.mean == pytest.approx(0.3)
    assert summary.scaled_rise.mean == pytest.approx(0.05)
    assert summary.removed is not None
    assert summary.removed.mean == pytest.approx(1 - 0.05 / 0.3)
    assert summary.removed.low is not None
    assert summary.removed.low < summary.removed.mean
    flat = [with_losses(run, [0.5, 0.3, 0.5 + k / 10], [0.4, 0.3, 0.3]) for k, run in enumerate(originals)]
    [summary] = calibrations.summarize(flat, ["original"])  # scaling may leave a small rise in another seed
    assert summary.removed is not None
    assert (summary.removed.mean, summary.removed.low) == (1, None)
    falling = [with_losses(run, [0.5, 0.4, 0.3], [0.4, 0.35, 0.3]) for run in originals]
    assert calibrations.summarize(falling, ["original"])[0].removed is None
    uncertain = [with_losses(run, [0.5, 0.3, 0.3 + k / 5], [0.4, 0.3, 0.9]) for k, run in enumerate(originals)]
    [summary] = calibrations.summarize(uncertain, ["original"])
    assert (summary.rise.low, summary.removed) == (0, None)
    cut_off = [
        with_losses(run, [0.5, 0.3, 0.3 + max(0, k - 1) / 10], [0.4, 0.3, 0.3]) for k, run in enumerate(originals)
    ]
    [summary] = calibrations.summarize(cut_off, ["original"])  # two of three seeds have no rise
    assert (summary.rise.low, summary.removed) == (None, None)


def test_scaling_lowers_the_calibration_error_and_moves_the_diagram_toward_the_diagonal() -> None:
    summary = calibrations.summarize(runs(), ["original"])[0]
    assert summary.scaled_ece.mean < summary.ece.mean / 3
    last, scaled = summary.diagrams["last"], summary.diagrams["last_scaled"]
    assert np.abs(scaled.accuracy - scaled.confidence).mean() < np.abs(last.accuracy - last.confidence).mean() / 2
    assert scaled.low is not None
    assert (scaled.low <= scaled.accuracy).all()


def test_runs_without_calibration_or_errors_have_no_summary() -> None:
    plain = [run for run in synthetic_runs(params(), range(2)) if run.dataset == "notes"]
    assert calibrations.summarize(plain, ["original"]) == []
    assert errors_over_seeds.summarize(plain) is None


def test_error_summary_averages_over_seeds() -> None:
    finals = [run for run in runs("tones") if run.role == "final"]
    errors = errors_over_seeds.summarize(finals)
    assert errors is not None
    assert errors.n == 3
    assert errors.confusion is not None
    np.testing.assert_allclose(errors.confusion, np.mean([run.errors["confusion"] for run in finals], axis=0))
    assert errors.labels[0]["auc"].n == 3
    assert errors.roc is not None
    assert errors.roc.low is not None
    assert (errors.roc.low <= errors.roc.mean).all()


@pytest.mark.proves("The metrics of each class have intervals over seeds and test samples, also if all seeds are equal")
def test_scores_of_equal_seeds_account_for_the_test_samples() -> None:
    logits, labels = predictions(2, 0)
    network = networks.network([3, 1], ["sigmoid"])
    final = next(run for run in runs() if run.role == "final")
    errors = sampling_errors.measure(network, logits.astype(np.float32), labels)
    metrics = final.metrics | {"test_auc_se": errors["auc"]}
    equal = [dataclasses.replace(final, seed=seed, metrics=metrics, samples={"test": len(labels)}) for seed in (0, 1)]
    summary = errors_over_seeds.summarize(equal)
    assert summary is not None
    for name, estimate in summary.labels[1].items():
        assert estimate.low is not None
        assert estimate.low < estimate.mean - 0.005, name
    row = final.errors["labels"][1]
    assert errors_over_seeds._standard_errors(row, len(labels), None)["f1"] == pytest.approx(errors["f1"], rel=1e-6)
    # Hanley and McNeil's formula is close to DeLong's estimate
    assert errors_over_seeds._standard_errors(row, len(labels), None)["auc"] == pytest.approx(errors["auc"], rel=0.15)
    expected = intervals.estimate([row["f1"]] * 2, sampling_error=errors["f1"], resolution=1 / len(labels))
    assert expected is not None
    assert summary.labels[1]["f1"].low == pytest.approx(expected.low)
    assert summary.roc is not None
    assert summary.roc.low is not None
    assert (summary.roc.low < summary.roc.mean)[1:].all()
    unpredicted = row | {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    rare = [dataclasses.replace(run, errors={"labels": [unpredicted] * 2}) for run in equal]
    summary = errors_over_seeds.summarize(rare)
    assert summary is not None
    assert (summary.labels[0]["precision"].low, summary.labels[0]["f1"].high) == (None, None)


def test_the_most_confused_classes_come_first() -> None:
    matrix = np.array([[9.0, 1.0, 0.0], [5.0, 9.0, 2.0], [0.0, 0.0, 9.0]])
    assert errors_over_seeds.most_confused(matrix, 2) == [(1, 0, 5.0), (1, 2, 2.0)]
    assert errors_over_seeds.most_confused(np.eye(3), 5) == []
