"""Short versions of `python -m bench.simulations`: interval coverage, the rate of false verdicts, and seeds needed."""

import pytest

from bench import simulations


@pytest.mark.slow
def test_intervals_cover_means_and_paired_differences() -> None:
    covered = simulations.coverage(200, 10)
    assert 0.93 <= covered["mean, this data"] <= 0.97
    assert 0.93 <= covered["difference, this data"] <= 0.97
    assert covered["mean, new data"] >= 0.95
    assert covered["difference, new data"] >= 0.95


@pytest.mark.slow
def test_at_most_five_percent_of_datasets_have_a_false_verdict() -> None:
    assert simulations.false_verdicts(200, number=9, seeds=60) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("effect", "claim_count"), [(0.8, 1), (2.0, 9)])
def test_checking_after_every_seed_needs_at_most_60_percent_more_seeds(effect: float, claim_count: int) -> None:
    mean_seeds, fixed_seeds = simulations.seeds_needed(effect, 60, claim_count)
    assert mean_seeds <= 1.6 * fixed_seeds


def test_fixed_size_matches_the_published_power_table() -> None:
    # Cohen (1988), table 2.4.1: d = 0.5, 80 % power, two-sided 5 %, one sample: 34
    assert simulations.fixed_size(0.5, 0.05) == 34
