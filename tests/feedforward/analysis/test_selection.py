"""Selection bias of the best of many trials, and the best result to expect from fewer trials."""

import itertools
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedforward.analysis import selection
from feedforward.analysis.intervals import estimate
from feedforward.analysis.selection import Better, ConfirmedTrial


@pytest.mark.slow
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=8), better=st.sampled_from(["lower", "higher"]))
def test_expected_best_is_the_mean_over_all_subsets_of_n_trials(values: list[float], better: Better) -> None:
    best = min if better == "lower" else max
    brute_force = [fmean(map(best, itertools.combinations(values, n))) for n in range(1, len(values) + 1)]
    assert selection.expected_best(values, better) == pytest.approx(brute_force)


def test_expected_best_is_unbiased_unlike_sampling_with_replacement() -> None:
    samples = np.random.default_rng(0).uniform(size=(4000, 6))
    expected = np.mean([selection.expected_best(row, "higher")[2] for row in samples])
    assert expected == pytest.approx(3 / 4, abs=0.01)  # expectation of the largest of three uniform values
    with_replacement = np.mean([np.diff(np.arange(7) ** 3 / 6**3) @ np.sort(row) for row in samples])
    assert with_replacement < 0.73


def test_an_optimistic_search_result_has_a_positive_bias_for_losses_and_scores() -> None:
    fresh = estimate([0.30, 0.32, 0.34])
    assert fresh is not None
    for better, search_result in (("lower", 0.25), ("higher", 0.39)):
        search = estimate([search_result])
        assert search is not None
        bias = ConfirmedTrial("a", search, fresh, better).bias  # type: ignore[arg-type]
        assert bias.mean == pytest.approx(0.07)
        assert bias.low is not None
        assert bias.high is not None
        assert bias.high - bias.low == pytest.approx(fresh.high - fresh.low)  # type: ignore[operator]
        assert bias.low < bias.mean < bias.high


def test_fresh_seeds_measure_the_selection_bias_of_the_best_of_equal_trials() -> None:
    rng, biases = np.random.default_rng(1), []
    for _ in range(300):
        trials = rng.normal(0.3, 0.01, (20, 3))  # 20 trials with the same true loss, three seeds each
        best = estimate(min(trials, key=np.mean))
        fresh = estimate(rng.normal(0.3, 0.01, 3))
        assert best is not None
        assert fresh is not None
        biases.append(ConfirmedTrial("a", best, fresh, "lower").bias.mean)
    # 1.87 is the expected maximum of 20 standard normal values
    assert np.mean(biases) == pytest.approx(1.87 * 0.01 / np.sqrt(3), rel=0.1)


def test_best_so_far_is_the_running_minimum_or_maximum() -> None:
    assert selection.best_so_far([3, 1, 2], "lower") == [3, 1, 1]
    assert selection.best_so_far([3, 1, 4], "higher") == [3, 3, 4]
