"""Intervals and tests against published tables, against SciPy and statsmodels, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from feedforward.analysis import intervals


def test_t_interval_matches_the_published_quantile() -> None:
    # t(0.975, 4 degrees of freedom) = 2.776; the values 1…5 have a standard error of sqrt(2.5 / 5)
    found = intervals.estimate([1, 2, 3, 4, 5])
    assert found is not None
    assert (found.n, found.mean) == (5, 3)
    assert found.sd == pytest.approx(math.sqrt(2.5))
    assert found.high == pytest.approx(3 + 2.776 * math.sqrt(0.5), abs=1e-3)
    assert found.low == pytest.approx(6 - found.high)


def test_one_value_has_a_mean_and_no_interval() -> None:
    assert intervals.estimate([0.3]) == intervals.Estimate(1, 0.3, None, None, None)
    assert intervals.estimate([]) is None
    assert intervals.p_value([0.3]) is None


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_intervals_cover_the_truth_as_often_as_they_promise(n: int) -> None:
    values = np.random.default_rng(n).normal(0.29, 0.01, (2000, n))
    found = [intervals.estimate(row) for row in values]
    covered = np.mean([e.low <= 0.29 <= e.high for e in found if e and e.low is not None and e.high is not None])
    assert 0.93 <= covered <= 0.97


def test_p_value_is_that_of_the_paired_t_test() -> None:
    left, right = np.random.default_rng(0).normal(size=(2, 7))
    assert intervals.p_value(left - right) == pytest.approx(stats.ttest_rel(left, right).pvalue)


def test_equal_values_fall_back_on_the_sign_test() -> None:
    assert intervals.p_value([4.0, 4.0, 4.0]) == pytest.approx(stats.binomtest(3, 3).pvalue)
    assert intervals.p_value([0.0, 0.0, 0.0]) == 1.0
    # 2 ** (1 - 6) is the first below 0.05
    assert intervals.further_seeds([4.0, 4.0, 4.0], 0.0, 0.05) == 3


def test_holm_matches_its_worked_example() -> None:
    # Holm (1979): the smallest of four p-values counts four times, the next three times, …; never falling
    found = intervals.holm([0.01, 0.04, 0.03, 0.005])
    assert [c.p for c in found if c] == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.slow
def test_holm_is_that_of_statsmodels() -> None:
    noise = np.random.default_rng(4)
    for tests in range(1, 10):
        p_values = (noise.random(tests) ** 4).tolist()
        rejected, adjusted, *_ = multipletests(p_values, method="holm")
        found = intervals.holm(p_values)
        assert [c.p for c in found if c] == pytest.approx(adjusted)
        assert [c.p <= 0.05 for c in found if c] == rejected.tolist()


def test_a_test_that_was_impossible_costs_the_others_nothing() -> None:
    found = intervals.holm([0.03, None])
    assert found[1] is None
    assert found[0] == intervals.Corrected(0.03, pytest.approx(0.05))
    assert intervals.holm([None]) == [None]


def test_interval_at_holms_level_decides_as_holms_p_does() -> None:
    noise = np.random.default_rng(1)
    decisions = set()
    for _ in range(100):
        family = [noise.normal(shift, 1.0, 5) for shift in (0.0, 1.0, 2.0, 3.0)]
        for values, corrected in zip(family, intervals.holm([intervals.p_value(v) for v in family]), strict=True):
            assert corrected is not None
            found = intervals.estimate(values, 1 - corrected.level)
            assert found is not None
            assert found.low is not None
            assert found.high is not None
            assert (corrected.p <= 0.05) == (found.low > 0 or found.high < 0)
            decisions.add(corrected.p <= 0.05)
    assert decisions == {True, False}


def test_holm_keeps_the_chance_of_any_false_finding() -> None:
    values = np.random.default_rng(2).normal(size=(4000, 6, 5))
    p_values = stats.ttest_1samp(values, 0.0, axis=2).pvalue
    wrong = np.mean(
        [any(c is not None and c.p <= 0.05 for c in intervals.holm(family.tolist())) for family in p_values]
    )
    assert 0.04 <= wrong <= 0.06


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_further_seeds_are_those_of_the_power_of_the_t_test(level: float) -> None:
    values = [-0.5, 0.2, 1.0, 1.5, -0.2]  # mean 0.4, sd 0.83: an effect of about a half
    more = intervals.further_seeds(values, 0.0, level)
    assert more is not None
    effect = np.mean(values) / np.std(values, ddof=1)
    assert TTestPower().power(effect, 5 + more, level) >= 0.8 > TTestPower().power(effect, 4 + more, level)
    simulated = np.random.default_rng(3).normal(effect, 1.0, (4000, 5 + more))
    power = np.mean(stats.ttest_1samp(simulated, 0.0, axis=1).pvalue < level)
    assert power == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("scale", [1e-3, 0.3, 3.0, 1e3])
def test_further_seeds_survive_any_size_of_effect(scale: float) -> None:
    values = (np.array([1.0, 1.1, 0.9, 1.2]) * scale).tolist()
    assert intervals.further_seeds(values, 0.0, 0.0001) in range(1, 10)


def test_further_seeds_that_nobody_would_train_are_not_promised() -> None:
    assert intervals.further_seeds([1.0, -1.0, 1e-6], 0.0, 0.05) is None
    assert intervals.further_seeds([1.0, -1.0], 0.0, 0.05) is None
    assert intervals.further_seeds([1.0], 0.0, 0.05) is None
