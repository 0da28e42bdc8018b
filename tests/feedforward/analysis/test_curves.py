"""Mean curves over seeds, and the range shown on the vertical axis."""

import dataclasses

import numpy as np
import pytest
from synthetic_runs import Shape, replica_run

from feedforward.analysis.curves import Band, mean_band, shown_range
from feedforward.analysis.intervals import estimate
from feedforward.analysis.run_result import RunResult


def run_with(val_cross_entropy: list[float], seed: int = 0) -> RunResult:
    return RunResult("d", "a", seed, "fair", "replica", {"val_cross_entropy": val_cross_entropy}, {}, "0" * 64)


def test_band_agrees_with_the_interval_of_each_epoch() -> None:
    runs = [replica_run("d", "a", seed, 6, Shape(0.3, 1.5, 0.02)) for seed in range(4)]
    band = mean_band(runs, "a", "val_cross_entropy")
    assert band is not None
    assert band.low is not None
    third_epoch = estimate(run.curves["val_cross_entropy"][2] for run in runs)
    assert third_epoch is not None
    assert (band.n, band.mean[2], band.low[2]) == (4, pytest.approx(third_epoch.mean), pytest.approx(third_epoch.low))
    assert band.epochs.tolist() == [1, 2, 3, 4, 5, 6]


def test_band_of_one_seed_is_its_curve() -> None:
    band = mean_band([run_with([0.5, 0.4])], "a", "val_cross_entropy")
    assert band is not None
    assert band.low is None
    assert band.mean.tolist() == [0.5, 0.4]
    assert mean_band([run_with([0.5])], "a", "loss") is None


def test_band_of_an_accuracy_ends_at_1() -> None:
    runs = [dataclasses.replace(run_with([]), seed=seed, curves={"val_accuracy": [0.9 + seed / 10]}) for seed in (0, 1)]
    band = mean_band(runs, "a", "val_accuracy")
    assert band is not None
    assert band.low is not None
    assert band.high is not None
    # 12.706 is the 97.5 % quantile of Student's t with one degree of freedom
    assert (band.low.tolist(), band.high.tolist()) == ([pytest.approx(0.95 - 12.706 * 0.05, abs=1e-3)], [1.0])


@pytest.mark.parametrize(
    ("curve", "least", "greatest"), [("val_cross_entropy", 0, np.inf), ("calibration/brier", 0, 2)]
)
def test_bands_end_at_the_values_that_are_possible(curve: str, least: float, greatest: float) -> None:
    runs = [dataclasses.replace(run_with([]), seed=seed, curves={curve: [0.1 + seed]}) for seed in (0, 1)]
    band = mean_band(runs, "a", curve)
    assert band is not None
    assert band.low is not None
    assert band.high is not None
    # 12.706 is the 97.5 % quantile of Student's t with one degree of freedom
    assert (band.low[0], band.high[0]) == (least, pytest.approx(min(greatest, 0.6 + 12.706 * 0.5), abs=1e-3))


def test_band_of_a_negative_calibration_part_starts_at_its_mean() -> None:
    runs = [dataclasses.replace(run_with([]), seed=s, curves={"calibration/calibration": [s - 0.6]}) for s in (0, 1)]
    band = mean_band(runs, "a", "calibration/calibration")
    assert band is not None
    assert band.low is not None
    assert band.low.tolist() == band.mean.tolist() == [pytest.approx(-0.1)]


def test_band_ends_with_the_shortest_curve() -> None:
    band = mean_band([run_with([0.5, 0.4]), run_with([0.5, 0.4, 0.3], 1)], "a", "val_cross_entropy")
    assert band is not None
    assert len(band.epochs) == 2


def test_a_very_wide_band_hardly_stretches_the_range_shown() -> None:
    narrow = Band(3, np.arange(1, 4), np.array([0.6, 0.3, 0.4]), np.full(3, 0.28), np.full(3, 0.62))
    wide = Band(3, np.arange(1, 4), np.array([0.5, 0.4, 0.5]), np.full(3, -9.0), np.full(3, 9.0))
    assert shown_range([narrow]) == (0.28, 0.62)
    # the range of the means, 0.3 to 0.6, extended by 15 % of its width
    assert shown_range([narrow, wide]) == (pytest.approx(0.255), pytest.approx(0.645))
    single_seed = Band(1, np.arange(1, 3), np.array([0.6, 0.3]), None, None)
    assert shown_range([single_seed]) == (0.3, 0.6)
    assert shown_range([]) == (0.0, 1.0)
