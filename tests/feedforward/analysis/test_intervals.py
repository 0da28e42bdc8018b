"""Intervals and significance tests, checked against published tables, SciPy and simulations."""

import doctest
import math

import numpy as np
import pytest
from scipy import stats

from feedforward.analysis import intervals


def test_t_interval_matches_the_published_quantile() -> None:
    # t(0.975, 4 degrees of freedom) = 2.776; the values 1…5 have a standard error of sqrt(2.5 / 5)
    estimate = intervals.estimate([1, 2, 3, 4, 5])
    assert estimate is not None
    assert (estimate.n, estimate.mean, estimate.median, estimate.iqm) == (5, 3, 3, 3)
    assert estimate.sd == pytest.approx(math.sqrt(2.5))
    assert estimate.high == pytest.approx(3 + 2.776 * math.sqrt(0.5), abs=1e-3)
    assert estimate.low == pytest.approx(6 - estimate.high)


def test_one_value_has_a_mean_and_no_interval() -> None:
    assert intervals.estimate([0.3]) == intervals.Estimate(1, 0.3, median=0.3, iqm=0.3)
    assert intervals.estimate([]) is None
    assert intervals.p_value([0.3]) is None


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_intervals_cover_the_truth_at_their_confidence(n: int) -> None:
    values = np.random.default_rng(n).normal(0.29, 0.01, (2000, n))
    estimates = [intervals.estimate(row) for row in values]
    covered = np.mean([e.low <= 0.29 <= e.high for e in estimates if e and e.low is not None and e.high is not None])
    assert 0.93 <= covered <= 0.97


def test_interval_for_new_data_has_the_variance_of_nadeau_and_bengio() -> None:
    values = [0.28, 0.30, 0.29, 0.31, 0.27]
    estimate = intervals.estimate(values, overlap=10_000 / 15_000)
    assert estimate is not None
    assert estimate.new_high is not None
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) * math.sqrt(1 / 5 + 2 / 3)
    assert estimate.new_high - estimate.mean == pytest.approx(half)


def test_sampling_error_widens_the_interval() -> None:
    # With 25,000 test reviews, an accuracy of 0.88 has a standard error of 0.0021, however many seeds there are
    estimate = intervals.estimate([0.880, 0.8801, 0.8799, 0.880], sampling_error=0.0021)
    assert estimate is not None
    assert estimate.high is not None
    assert estimate.high - estimate.mean == pytest.approx(1.96 * 0.0021, rel=0.01)


def test_interval_with_sampling_error_covers_the_true_value() -> None:
    rng, covered = np.random.default_rng(5), []
    for _ in range(1500):
        shared = rng.normal(0, 0.002)  # error of the test split, shared by all seeds
        estimate = intervals.estimate(0.88 + shared + rng.normal(0, 0.002, 5), sampling_error=0.002)
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        covered.append(estimate.low <= 0.88 <= estimate.high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_p_value_matches_the_paired_t_test() -> None:
    left, right = np.random.default_rng(0).normal(size=(2, 7))
    assert intervals.p_value(left - right) == pytest.approx(stats.ttest_rel(left, right).pvalue)


@pytest.mark.proves("A p-value does not jump when the differences of all seeds are equal or nearly equal")
def test_p_value_is_continuous_when_all_seeds_agree() -> None:
    """Five differences of 7 epochs give nearly the same p-value as four differences of 7 and one of 7.001."""
    constant, nearly_constant = [
        intervals.p_value([7.0] * 4 + [last_value], resolution=1.0) for last_value in (7.0, 7.001)
    ]
    assert constant == pytest.approx(nearly_constant, rel=0.01)
    assert constant is not None
    assert constant < 0.05
    assert intervals.p_value([0.0, 0.0, 0.0]) == 1.0


def test_values_that_coincide_in_steps_are_not_certain() -> None:
    """Two seeds with the same accuracy on 64 samples may differ by less than one sample."""
    equal = intervals.estimate([0.75, 0.75], overlap=0.25, resolution=1 / 64)
    assert equal is not None
    # 0.0405 = 12.706 · (1 / 64) / √12 / √2: the t interval of two seeds with the variance of rounding
    assert (equal.low, equal.high) == (pytest.approx(0.75 - 0.0405, abs=1e-4), pytest.approx(0.75 + 0.0405, abs=1e-4))
    assert equal.new_low is not None
    assert equal.new_low < 0.75 - 0.04
    assert intervals.estimate([0.5, 0.75], resolution=1 / 64) == intervals.estimate([0.5, 0.75])


@pytest.mark.proves("Values that coincide because they were cut off give no certainty, however few the seeds are")
@pytest.mark.parametrize("mean", [-1.0, 0.0, 0.5])
@pytest.mark.parametrize("n", [4, 10, 20])
def test_intervals_of_cut_off_values_miss_the_truth_in_at_most_five_percent(n: int, mean: float) -> None:
    """Normal values below 0 count as 0, like the rise of a loss that is lowest at the last epoch."""
    truth = mean * stats.norm.cdf(mean) + stats.norm.pdf(mean)
    values = np.maximum(0, np.random.default_rng(n).normal(mean, 1, (1000, n)))
    estimates = [e for row in values if (e := intervals.estimate(row)) and e.low is not None and e.high is not None]
    assert sum(not e.low <= truth <= e.high for e in estimates) / 1000 <= 0.05  # type: ignore[operator]
    assert intervals.p_value([0.3, 0.3, 0.3]) == 1


def test_intervals_end_at_the_bounds_of_a_share() -> None:
    share = intervals.estimate([0.98, 0.99, 1.0], overlap=0.25, sampling_error=0.05, bounds=intervals.SHARE)
    assert share is not None
    assert (share.high, share.new_high) == (1, 1)
    assert intervals.over_samples(0.02, 0.05, intervals.SHARE) == (0, pytest.approx(0.118, abs=1e-4))


def test_interquartile_mean_ignores_a_seed_that_failed() -> None:
    assert intervals.interquartile_mean([0.28, 0.28, 0.28, 9.0]) == pytest.approx(0.28)
    values = np.random.default_rng(0).normal(size=16).tolist()
    assert intervals.interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_superiority_matches_the_mann_whitney_statistic() -> None:
    left, right = np.random.default_rng(3).normal(size=(2, 9)).round(1)
    u = stats.mannwhitneyu(left, right).statistic
    assert intervals.superiority(left, right) == pytest.approx(u / 81)


def test_docstring_examples_pass() -> None:
    assert doctest.testmod(intervals).failed == 0
