"""Holm's correction, checked with an example worked by hand, with statsmodels and by simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from feedforward.analysis import multiple_testing


def test_holm_matches_an_example_worked_by_hand() -> None:
    # Holm (1979): the smallest of four p-values is multiplied by 4, the next by 3, and so on, without ever decreasing
    assert multiple_testing.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.slow
def test_holm_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(4)
    for count in range(1, 10):
        p_values = (rng.random(count) ** 4).tolist()
        assert multiple_testing.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_ignores_missing_p_values() -> None:
    assert multiple_testing.holm([0.03, None]) == [0.03, None]
    assert multiple_testing.holm([None]) == [None]


def test_holm_controls_the_family_wise_error_rate() -> None:
    values = np.random.default_rng(2).normal(size=(4000, 6, 5))
    p_values = stats.ttest_1samp(values, 0.0, axis=2).pvalue
    error_rate = np.mean(
        [any(p is not None and p <= 0.05 for p in multiple_testing.holm(row.tolist())) for row in p_values]
    )
    assert 0.04 <= error_rate <= 0.06
