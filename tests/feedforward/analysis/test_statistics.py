"""Definitions of the statistics of a run."""

import dataclasses
import math
from typing import Any, get_args

import numpy as np
import pytest
from scipy import stats
from synthetic_runs import synthetic_runs

from feedforward.analysis import statistics
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import StatisticName, load_params
from feedforward.core.errors import DataError
from feedforward.models import error_analysis, metrics, sampling_errors
from feedforward.models.numpy_network import Layer, Network


def run_with(seed: int = 0, **metrics: float) -> RunResult:
    return RunResult("d", "a", seed, "fair", "replica", {}, metrics, "0" * 64)


def test_params_name_every_statistic() -> None:
    assert set(get_args(StatisticName)) == set(statistics.STATISTICS)


def test_sample_selects_runs_by_role_and_drops_undefined_values() -> None:
    runs = [run_with(seed=1), run_with(slope=0.1)]
    runs.append(dataclasses.replace(runs[1], role="final", seed=2))
    assert statistics.sample(runs, "a", "slope") == {0: pytest.approx(0.1)}
    assert statistics.sample(runs, "a", "test_loss") == {}


def test_two_runs_with_the_same_seed_are_rejected() -> None:
    with pytest.raises(DataError, match="seed 0 is listed twice"):
        statistics.sample([run_with(rise=1.0), run_with(rise=1.0)], "a", "rise")


def test_overlap_is_defined_only_if_every_seed_is_known_to_draw_its_own_split() -> None:
    samples = {"train": 15_000, "validation": 10_000}
    runs = [dataclasses.replace(run_with(seed), samples=samples) for seed in range(2)]
    assert statistics.overlap(runs) == pytest.approx(2 / 3)
    assert statistics.overlap([*runs, run_with(seed=2)]) is None
    assert statistics.overlap([dataclasses.replace(run, protocol="lecture") for run in runs]) is None


@pytest.mark.proves("The interval of a sweep's trial does not depend on the other trials")
def test_estimates_do_not_depend_on_the_sample_counts_of_other_variants() -> None:
    runs = [
        dataclasses.replace(
            run_with(seed, best_val_accuracy=0.8 + seed / 100), variant=variant, samples={"train": n, "validation": 100}
        )
        for variant, n in (("a", 1000), ("b", 100))
        for seed in range(3)
    ]
    alone = [statistics.summarize([run for run in runs if run.variant == name], [name]) for name in "ab"]
    assert statistics.summarize(runs, "ab") == alone[0] | alone[1]


def test_interval_of_a_final_model_includes_the_sampling_error_if_it_was_measured() -> None:
    finals = [
        RunResult("d", "a", s, "fair", "final", {}, {"test_accuracy": 0.88 + s / 1e5, "test_accuracy_se": 0.002}, "0")
        for s in range(3)
    ]
    without_error = [
        dataclasses.replace(run, metrics={"test_accuracy": run.metrics["test_accuracy"]}) for run in finals
    ]
    wide, narrow = (statistics.summarize(runs, ["a"])["a"]["test_accuracy"] for runs in (finals, without_error))
    assert wide.high is not None
    assert narrow.high is not None
    assert wide.high - wide.mean == pytest.approx(1.96 * 0.002, rel=0.01)
    assert narrow.high - narrow.mean < 0.0001


def test_accuracies_have_the_step_size_of_the_smallest_split() -> None:
    runs = [dataclasses.replace(run_with(n), samples={"train": 200, "validation": n}) for n in (50, 40)]
    assert statistics.resolution(runs, "best_val_accuracy") == 1 / 40
    assert statistics.resolution(runs, "test_accuracy") == 0  # there is no final run
    assert statistics.resolution(runs, "best_epoch") == 1


@pytest.mark.parametrize("name", [name for name, entry in statistics.STATISTICS.items() if entry.role == "final"])
def test_every_test_metric_has_a_sampling_error_in_its_interval(name: str) -> None:
    runs = [
        RunResult("d", "a", s, "fair", "final", {}, {name: 0.9 + s / 1e6, f"{name}_se": 0.1}, "0") for s in range(3)
    ]
    estimate = statistics.summarize(runs, ["a"])["a"][name]
    assert estimate.low == pytest.approx(0.9 - 1.96 * 0.1, abs=1e-4)
    assert estimate.high == (pytest.approx(1.096, abs=1e-4) if name in ("test_loss", "test_mae") else 1)


def test_intervals_of_losses_end_at_0() -> None:
    runs = [run_with(seed, best_val_cross_entropy=value) for seed, value in enumerate((0.01, 0.2))]
    estimate = statistics.summarize(runs, ["a"])["a"]["best_val_cross_entropy"]
    assert estimate.low == 0


@pytest.mark.parametrize(
    ("name", "least", "greatest"), [("rise", 0, None), ("last_brier_score", 0, 2), ("best_epoch", 1, 5)]
)
def test_intervals_end_at_the_values_that_are_possible(name: str, least: float, greatest: float | None) -> None:
    curves = {"cross_entropy": [0.5] * 5}
    runs = [dataclasses.replace(run_with(k, **{name: value}), curves=curves) for k, value in enumerate((1.1, 1.9))]
    estimate = statistics.summarize(runs, ["a"])["a"][name]
    assert estimate.low == least
    assert estimate.high == (greatest or pytest.approx(1.5 + 12.706 * 0.4, abs=1e-3))


def test_early_stopping_hides_the_last_possible_epoch() -> None:
    runs = [
        dataclasses.replace(run_with(k, best_epoch=epoch), curves={"cross_entropy": [0.5] * (epoch + 2)})
        for k, epoch in enumerate((3, 9))
    ]
    estimate = statistics.summarize(runs, ["a"])["a"]["best_epoch"]
    assert estimate.high is not None
    assert estimate.high > 11


@pytest.mark.proves("Values that coincide because they were cut off give no certainty, however few the seeds are")
@pytest.mark.parametrize(("epochs", "low"), [(12, 9 - 0.717), (9, None)])  # 0.717 = 4.303 / √12 / √3
def test_equal_overfit_epochs_have_no_interval_if_they_are_the_last_epoch(epochs: int, low: float | None) -> None:
    curves = {"cross_entropy": [0.5] * epochs}
    runs = [dataclasses.replace(run_with(k, best_epoch=9), curves=curves) for k in range(3)]
    estimate = statistics.summarize(runs, ["a"])["a"]["best_epoch"]
    assert estimate.low == (low and pytest.approx(low, abs=1e-3))
    assert (estimate.high is None) == (low is None)


def test_select_returns_the_runs_of_one_protocol() -> None:
    params = load_params()
    runs = synthetic_runs(params, range(2)) + synthetic_runs(params, range(2), protocol="lecture")
    dataset = next(iter(params.datasets))
    assert {run.protocol for run in statistics.select(runs, dataset)} == {"fair"}


def final_runs(labels: np.ndarray, outputs: np.ndarray, activation: str, error: float, rng: Any) -> list[RunResult]:
    """Return three final runs, measured like real ones, whose outputs differ by normal errors."""
    network = Network(1.0, (Layer(np.zeros((1, 1), np.float32), np.zeros(1, np.float32), activation),))
    runs = []
    for seed in range(3):
        logits = (outputs + rng.normal(0, error, len(outputs))).astype(np.float32)[:, None]
        values = metrics.measure(network, logits, labels)
        errors = sampling_errors.measure(network, logits, labels)
        measured = {f"test_{k}": v for k, v in values.items()} | {f"test_{k}_se": v for k, v in errors.items()}
        details = error_analysis.analyze(network, logits, labels)
        runs.append(
            RunResult("d", "a", seed, "fair", "final", {}, measured, "0", samples={"test": len(labels)}, errors=details)
        )
    return runs


@pytest.mark.slow
@pytest.mark.proves("Intervals of AUC and R² hold for few test samples, too")
@pytest.mark.parametrize(("samples", "positive"), [(50, 5), (100, 5), (1000, 10)])
def test_intervals_of_auc_cover_the_truth_with_few_positive_samples(samples: int, positive: int) -> None:
    rng, covered, truth = np.random.default_rng(samples), 0, float(stats.norm.cdf(0.5 / math.sqrt(2)))
    labels = (np.arange(samples) < positive).astype(np.uint8)
    for _ in range(300):
        runs = final_runs(labels, rng.normal(0, 1, samples) + 0.5 * labels, "sigmoid", 0.05, rng)
        estimate = statistics.summarize(runs, ["a"])["a"]["test_auc"]
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
    assert covered / 300 >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [10, 20])
def test_intervals_of_r2_cover_the_truth_with_few_samples(samples: int) -> None:
    rng, covered = np.random.default_rng(samples), 0
    for _ in range(400):
        values = rng.normal(0, 1, samples)
        runs = final_runs(values, 0.5 * values + rng.normal(0, 0.3, samples), "linear", 0.02, rng)
        estimate = statistics.summarize(runs, ["a"])["a"]["test_r2"]
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 1 - 0.25 - 0.09 <= estimate.high
    assert covered / 400 >= 0.9  # R² is skewed: 91 % with 10 samples


def test_degrees_of_freedom_follow_from_the_smaller_side_of_each_class() -> None:
    def degrees(*supports: int, **errors: Any) -> float:
        rows = {"labels": [{"support": n} for n in supports], **errors}
        run = RunResult("d", "a", 0, "fair", "final", {}, {}, "0", samples={"test": 100}, errors=rows)
        return statistics.degrees_of_freedom([run], "test_auc")

    assert degrees(95, 5, confusion=[]) == pytest.approx(4)
    assert degrees(5) == degrees(95) == pytest.approx(4)
    assert degrees(50, 50) == pytest.approx(98)  # two labels
    assert degrees(99, 1, confusion=[]) == 0
    assert degrees() == degrees(0, 100) == math.inf
    run = RunResult("d", "a", 0, "fair", "final", {}, {}, "0", samples={"test": 12})
    assert [statistics.degrees_of_freedom([run], f"test_{name}") for name in ("loss", "accuracy")] == [11, math.inf]


def test_an_auc_with_a_single_positive_sample_may_be_anything() -> None:
    labels = (np.arange(40) == 3).astype(np.uint8)
    runs = final_runs(labels, np.random.default_rng(0).normal(0, 1, 40), "sigmoid", 0.1, np.random.default_rng(1))
    estimate = statistics.summarize(runs, ["a"])["a"]["test_auc"]
    assert (estimate.low, estimate.high) == (0, 1)
