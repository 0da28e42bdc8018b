"""Confidence sequences are valid at every number of seeds, and agree with their p-values and with the martingale."""

import math

import numpy as np
import pytest
from scipy import stats

from feedforward.analysis import comparisons, sequential
from feedforward.analysis.sequential import Interval


def martingale(values: list[float], null: float) -> float:
    """Return the martingale after these values, computed from sums of squares as Wang and Ramdas write it."""
    x, n, c = np.asarray(values) - null, len(values), sequential.PRECISION
    squares = (n + c) * np.sum(x**2)
    return math.sqrt(c / (n + c)) * (squares / (squares - np.sum(x) ** 2)) ** (n / 2)


def test_interval_contains_the_means_that_the_martingale_does_not_reject() -> None:
    values = np.random.default_rng(0).normal(0.3, 1.0, 12).tolist()
    interval = sequential.confidence_sequence(values, 0.05)[-1]
    assert interval.low is not None
    assert interval.high is not None
    accepted = [
        null for null in np.linspace(-3, 3, 601) if all(martingale(values[:n], null) < 20 for n in range(2, 13))
    ]
    assert interval.low == pytest.approx(min(accepted), abs=0.011)
    assert interval.high == pytest.approx(max(accepted), abs=0.011)


@pytest.mark.proves("Intervals for many pairs, which are computed at once, are exactly those of single pairs")
@pytest.mark.parametrize("count", [2, 5, 12, 200])
@pytest.mark.parametrize(("level", "resolution"), [(0.05, 0.0), (1e-6, 1.0)])
def test_latest_intervals_of_many_rows_are_those_of_each_row(count: int, level: float, resolution: float) -> None:
    rows = np.random.default_rng(count).normal(0.3, 1.0, (50, count))
    expected = [sequential.confidence_sequence(row.tolist(), level, resolution)[-1] for row in rows]
    assert sequential.latest(rows, level, resolution) == expected


def test_p_value_is_the_reciprocal_of_the_largest_martingale_value() -> None:
    values = np.random.default_rng(1).normal(1.0, 1.0, 9).tolist()
    largest = max(martingale(values[:n], 0.0) for n in range(2, 10))
    assert sequential.p_value(values) == pytest.approx(1 / largest)
    assert sequential.p_value([1.0]) is None
    assert sequential.p_value([0.0, 0.0, 0.0]) == 1.0


@pytest.mark.parametrize("level", [0.05, 0.05 / 9])
def test_p_value_and_interval_give_the_same_decision(level: float) -> None:
    rng = np.random.default_rng(2)
    decisions = set()
    for _ in range(300):
        values = rng.normal(rng.choice([0.0, 1.0, 3.0]), 1.0, 10).tolist()
        decided = comparisons.sign(sequential.confidence_sequence(values, level)[-1]) != 0
        p = sequential.p_value(values)
        assert p is not None
        assert decided == (p < level)
        decisions.add(decided)
    assert decisions == {True, False}


def test_p_value_and_interval_agree_with_a_sampling_error() -> None:
    rng, decisions = np.random.default_rng(7), set()
    for _ in range(200):
        values = rng.normal(rng.choice([0.0, 1.0, 3.0]), 0.5, 10).tolist()
        error, level = rng.choice([0.05, 0.5]), rng.choice([0.05, 0.05 / 9])
        decided = comparisons.sign(sequential.confidence_sequence(values, level, sampling_error=error)[-1]) != 0
        p = sequential.p_value(values, sampling_error=error)
        assert p is not None
        assert decided == (p < level)
        decisions.add(decided)
    assert decisions == {True, False}
    without_error = sequential.p_value(values)
    assert without_error is not None
    assert sequential.p_value(values, sampling_error=1e-9) == pytest.approx(min(1, 2 * without_error), rel=1e-6)


def test_checking_after_every_seed_keeps_the_error_rate_at_five_percent() -> None:
    rng, excluded = np.random.default_rng(3), 0
    for _ in range(1000):
        [*_, last] = sequential.confidence_sequence(rng.normal(0, 1, 100).tolist(), 0.05)
        excluded += comparisons.sign(last) != 0 or (last.low or 0) > (last.high or 0)
    assert excluded / 1000 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.proves("Values that coincide because they were cut off give no certainty, however few the seeds are")
@pytest.mark.parametrize("mean", [-1.0, 0.0, 0.5])
def test_checking_cut_off_values_keeps_the_error_rate_at_five_percent(mean: float) -> None:
    """Normal values below 0 count as 0, like the rise of a loss that is lowest at the last epoch."""
    truth = mean * stats.norm.cdf(mean) + stats.norm.pdf(mean)
    values = np.maximum(0, np.random.default_rng(8).normal(mean, 1, (1000, 40)))
    intervals = sequential.latest(values, 0.05)
    missed = sum(interval.within(-math.inf, truth) or interval.within(truth, math.inf) for interval in intervals)
    assert missed / 1000 <= 0.05


@pytest.mark.slow
@pytest.mark.proves("Checks after every seed keep the error rate even if all seeds share the error of the test samples")
@pytest.mark.parametrize("level", [0.05, 0.05 / 9])
def test_checking_after_every_seed_keeps_the_error_rate_with_a_shared_error(level: float) -> None:
    rng, excluded, error = np.random.default_rng(9), 0, 0.3
    for _ in range(1000):
        values = (rng.normal(0, error) + rng.normal(0, 1, 300)).tolist()
        [*_, last] = sequential.confidence_sequence(values, level, sampling_error=error)
        excluded += not (last.within(-math.inf, math.inf) and (last.low or 0) <= 0 <= (last.high or 0))
    assert excluded / 1000 <= level + 2 * math.sqrt(level * (1 - level) / 1000)


def test_two_values_have_no_bound_and_intervals_never_grow() -> None:
    history = sequential.confidence_sequence(np.random.default_rng(4).normal(0, 1, 30).tolist(), 0.005)
    assert history[0] == Interval(2, None, None)
    bounds = [(i.low, i.high) for i in history if i.low is not None and i.high is not None]
    assert len(bounds) > 20
    assert bounds == [
        (max(low for low, _ in bounds[: k + 1]), min(h for _, h in bounds[: k + 1])) for k in range(len(bounds))
    ]
    assert sequential.confidence_sequence([1.0], 0.05) == []


def test_constant_values_are_decided_only_after_several_seeds() -> None:
    """Best epochs are integers and often agree; the variance of rounding is added, so that it is never zero."""
    history = sequential.confidence_sequence([7.0] * 8, 0.05, resolution=1.0)
    assert comparisons.sign(history[0]) == 0
    assert comparisons.sign(history[-1]) == 1
    nearly_constant = sequential.confidence_sequence([7.0] * 7 + [7.001], 0.05, resolution=1.0)
    assert nearly_constant[-1].low == pytest.approx(history[-1].low, rel=1e-3)


def test_further_seeds_is_the_smallest_number_that_would_decide() -> None:
    more = sequential.further_seeds(0.5, 1.0, 5, 0.05)
    assert more is not None
    for extra, enough in ((more, True), (more - 1, False)):
        n = np.array([5.0 + extra])
        assert (sequential._half_width(n, 0.05, np.ones(1))[0] < 0.5) == enough
    assert sequential.further_seeds(1e-6, 1.0, 5, 0.05) is None
    assert sequential.further_seeds(0.0, 1.0, 5, 0.05) is None
    assert (sequential.further_seeds(0.5, 1.0, 5, 0.05, sampling_error=0.2) or 0) > more
    assert sequential.further_seeds(0.5, 1.0, 5, 0.05, sampling_error=0.3) is None
    assert sequential.is_limited_by_samples(0.5, 0.05, 0.3)
    assert not sequential.is_limited_by_samples(0.5, 0.05, 0.2)


def test_interval_for_new_data_is_wider() -> None:
    values = np.random.default_rng(5).normal(2, 1, 20).tolist()
    this_data, new_data = sequential.confidence_sequence(values, 0.05)[-1], sequential.inflate(values, 0.05, 2 / 3)
    assert new_data is not None
    assert this_data.low is not None
    assert new_data.low is not None
    assert new_data.low < this_data.low
    assert sequential.inflate([1.0], 0.05, 2 / 3) is None
