"""Components of variance and their intervals."""

import numpy as np
import pytest
from scipy import stats

from feedforward.analysis.run_result import RunResult
from feedforward.analysis.variance import components


def runs(values: list[float]) -> list[RunResult]:
    return [
        RunResult("d", "a", seed, "fair", "replica", {}, {"best_val_cross_entropy": value}, "0" * 64)
        for seed, value in enumerate(values)
    ]


def test_interval_of_a_standard_deviation_uses_the_chi_square_distribution() -> None:
    values = [0.28, 0.29, 0.31, 0.30, 0.27]
    by_source = components({"order": runs(values), "split": runs([0.3])}, "best_val_cross_entropy")
    assert list(by_source) == ["order"]
    order = by_source["order"]
    assert (order.n, order.sd) == (5, pytest.approx(np.std(values, ddof=1)))
    assert order.low == pytest.approx(order.sd * np.sqrt(4 / stats.chi2.ppf(0.975, 4)))
    assert order.high == pytest.approx(order.sd * np.sqrt(4 / stats.chi2.ppf(0.025, 4)))


@pytest.mark.parametrize(("equal", "has_interval"), [(5, False), (3, False), (2, True)])
def test_values_most_of_which_coincide_have_no_interval(equal: int, has_interval: bool) -> None:
    values = ([4.0] * equal + [5.0, 3.0, 2.0])[:5]
    component = components({"order": runs(values)}, "best_val_cross_entropy")["order"]
    assert component.sd == pytest.approx(np.std(values, ddof=1))
    assert (component.low is not None, component.high is not None) == (has_interval, has_interval)


def test_intervals_cover_the_true_standard_deviation() -> None:
    rng, covered = np.random.default_rng(0), []
    for _ in range(1000):
        [component] = components({"split": runs(rng.normal(0.3, 0.01, 20).tolist())}, "best_val_cross_entropy").values()
        covered.append(component.low <= 0.01 <= component.high)
    assert 0.93 <= np.mean(covered) <= 0.97
