"""What a run's figures mean, and that comparisons are paired by seed."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
from synthetic_runs import Shape, like_the_lecture, one_run

from feedforward.analysis import statistics
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import StatisticName, load_params
from feedforward.core.errors import DataError


def run_with(val_cross_entropy: list[float], variant: str = "a", seed: int = 0, **metrics: float) -> RunResult:
    curves = {"val_cross_entropy": val_cross_entropy}
    return RunResult("d", variant, seed, "fair", "replica", curves, metrics, "0" * 64)


def test_params_name_every_statistic() -> None:
    assert set(get_args(StatisticName)) == set(statistics.STATISTICS)


def test_slope_is_that_of_the_line_after_the_minimum() -> None:
    assert statistics.slope(run_with([0.9, 0.3, 0.35, 0.4, 0.45])) == pytest.approx(0.05)


def test_slope_is_undefined_where_nothing_follows_the_minimum() -> None:
    assert statistics.slope(run_with([0.9, 0.5, 0.3])) is None
    assert statistics.rise(run_with([0.9, 0.5, 0.3])) == 0
    assert statistics.slope(run_with([])) is None


def test_rise_counts_from_the_lowest_loss_to_the_last() -> None:
    assert statistics.rise(run_with([0.9, 0.3, 0.8, 0.7])) == pytest.approx(0.4)


def test_sample_keeps_to_its_role_and_drops_what_is_undefined() -> None:
    runs = [run_with([0.9, 0.3], seed=1), run_with([0.9, 0.3, 0.4], seed=0)]
    runs.append(dataclasses.replace(runs[1], role="final", seed=2))
    assert statistics.sample(runs, "a", "slope") == {0: pytest.approx(0.1)}
    assert statistics.sample(runs, "a", "test_loss") == {}


def test_two_runs_of_one_seed_are_refused() -> None:
    with pytest.raises(DataError, match="seed 0 stands twice"):
        statistics.sample([run_with([1.0]), run_with([1.0])], "a", "rise")


def test_pairing_takes_out_what_seeds_share() -> None:
    # every seed shifts both variants alike; unpaired, the difference of .01 would drown in it
    luck = np.random.default_rng(0).normal(0, 1, 6)
    runs = [run_with([1.0], "a", s, best_val_cross_entropy=luck[s]) for s in range(6)]
    runs += [run_with([1.0], "b", s, best_val_cross_entropy=luck[s] - 0.01 - 0.001 * (s % 2)) for s in range(5)]
    [found] = statistics.differences(runs, [("b", "a")], "best_val_cross_entropy")
    assert found.estimate.n == 5
    assert found.estimate.mean == pytest.approx(-0.0104)
    assert found.estimate.high is not None
    assert found.estimate.high < 0
    assert found.p is not None
    assert found.p < 0.001


def test_ranking_names_the_best_and_who_cannot_be_told_from_it() -> None:
    noise = np.random.default_rng(1)
    floors = {"clear": 0.5, "close": 0.3001, "best": 0.3}
    runs = [
        run_with([1.0], variant, seed, best_val_cross_entropy=floor + noise.normal(0, 0.003))
        for variant, floor in floors.items()
        for seed in range(5)
    ]
    ranking = statistics.rank(runs, floors, "best_val_cross_entropy")
    assert ranking.order[-1][0] == "clear"
    assert [ranking.order[0][0], *ranking.tied] in (["best", "close"], ["close", "best"])


def test_ranking_of_accuracy_puts_the_highest_first() -> None:
    runs = [run_with([1.0], v, 0, best_val_accuracy=a) for v, a in (("a", 0.8), ("b", 0.9))]
    ranking = statistics.rank(runs, ["a", "b"], "best_val_accuracy")
    assert [variant for variant, _ in ranking.order] == ["b", "a"]
    assert ranking.tied == ["a"]  # one seed each decides nothing


def test_band_agrees_with_the_interval_of_each_epoch() -> None:
    runs = [one_run("d", "a", seed, 6, Shape(0.3, 1.5, 0.02)) for seed in range(4)]
    band = statistics.band(runs, "a", "val_cross_entropy")
    assert band is not None
    assert band.low is not None
    third = statistics.estimate(run.curves["val_cross_entropy"][2] for run in runs)
    assert third is not None
    assert (band.n, band.mean[2], band.low[2]) == (4, pytest.approx(third.mean), pytest.approx(third.low))
    assert band.epochs.tolist() == [1, 2, 3, 4, 5, 6]


def test_band_of_one_seed_is_its_curve() -> None:
    band = statistics.band([run_with([0.5, 0.4])], "a", "val_cross_entropy")
    assert band is not None
    assert band.low is None
    assert band.mean.tolist() == [0.5, 0.4]
    assert statistics.band([run_with([0.5])], "a", "loss") is None


def test_band_goes_as_far_as_all_seeds_do() -> None:
    band = statistics.band([run_with([0.5, 0.4]), run_with([0.5, 0.4, 0.3], seed=1)], "a", "val_cross_entropy")
    assert band is not None
    assert len(band.epochs) == 2


def test_protocols_are_not_mixed() -> None:
    params = load_params()
    both = like_the_lecture(params, range(2)) + like_the_lecture(params, range(2), protocol="lecture")
    name = next(iter(params.datasets))
    assert {run.protocol for run in statistics.select(both, name)} == {"fair"}


def test_one_leaping_seed_does_not_stretch_the_range_shown() -> None:
    calm = statistics.Band(3, np.arange(1, 4), np.array([0.6, 0.3, 0.4]), np.full(3, 0.28), np.full(3, 0.62))
    leap = statistics.Band(3, np.arange(1, 4), np.array([0.5, 0.4, 0.5]), np.full(3, -9.0), np.full(3, 9.0))
    assert statistics.span([calm]) == (0.28, 0.62)
    assert statistics.span([calm, leap]) == (pytest.approx(0.255), pytest.approx(0.645))
    alone = statistics.Band(1, np.arange(1, 3), np.array([0.6, 0.3]), None, None)
    assert statistics.span([alone]) == (0.3, 0.6)
    assert statistics.span([]) == (0.0, 1.0)
