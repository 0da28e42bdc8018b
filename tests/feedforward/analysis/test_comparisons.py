"""Differences are paired by seed; a variant is called better only if the shared seeds show it."""

import dataclasses
import itertools

import numpy as np
import pytest

from feedforward.analysis import comparisons
from feedforward.analysis.run_result import RunResult


def runs_of(statistic: str = "best_val_cross_entropy", **samples: list[float]) -> list[RunResult]:
    return [
        RunResult("d", variant, seed, "fair", "replica", {}, {statistic: value}, "0" * 64)
        for variant, values in samples.items()
        for seed, value in enumerate(values)
    ]


def test_pairing_removes_variation_that_the_variants_share() -> None:
    # Each seed shifts both variants by the same amount; without pairing, this would hide the difference of about 0.01
    seed_effects = np.random.default_rng(0).normal(0, 1, 9)
    b = [seed_effects[s] - 0.01 - 0.0001 * s for s in range(8)]
    [difference] = comparisons.differences(
        runs_of(a=seed_effects.tolist(), b=b), [("b", "a")], "best_val_cross_entropy"
    )
    assert difference.estimate.n == 8
    assert difference.estimate.mean == pytest.approx(-0.01035)
    assert difference.p is not None
    assert difference.p < 0.001
    assert difference.sign == -1
    assert difference.beats() == (1.0, pytest.approx(0.5, abs=0.2))  # for the same seed, and for any two seeds


@pytest.mark.proves("A p-value does not jump when the differences of all seeds are equal or nearly equal")
def test_p_value_is_continuous_when_all_differences_agree() -> None:
    constant, nearly_constant = [
        comparisons.differences(
            runs_of("best_epoch", a=[12.0] * 4 + [last_value], b=[5.0] * 5), [("a", "b")], "best_epoch"
        )
        for last_value in (12.0, 12.001)
    ]
    assert constant[0].p == pytest.approx(nearly_constant[0].p, rel=0.01)


def test_equal_differences_of_an_accuracy_are_not_certain_with_two_seeds() -> None:
    runs = [
        dataclasses.replace(run, samples={"train": 256, "validation": 64})
        for run in runs_of("best_val_accuracy", a=[0.75, 0.75], b=[0.75 - 1 / 64] * 2)
    ]
    [difference] = comparisons.differences(runs, [("a", "b")], "best_val_accuracy")
    assert difference.p is not None
    assert difference.p > 0.1
    assert difference.estimate.low is not None
    assert difference.estimate.low < 0
    assert difference.sign == 0


def test_ranking_lists_variants_that_cannot_be_distinguished_from_the_best() -> None:
    rng = np.random.default_rng(1)
    losses = {"clear": 0.5, "close": 0.3001, "best": 0.3}
    runs = runs_of(**{variant: (loss + rng.normal(0, 0.003, 8)).tolist() for variant, loss in losses.items()})
    ranking = comparisons.rank(runs, losses, "best_val_cross_entropy")
    assert (ranking.order[-1][0], ranking.beaten) == ("clear", ["clear"])
    assert [ranking.order[0][0], *ranking.tied] in (["best", "close"], ["close", "best"])
    assert ranking.equivalent == []
    with_margin = comparisons.rank(runs, losses, "best_val_cross_entropy", margin=0.05)
    assert with_margin.equivalent == with_margin.tied


@pytest.mark.proves("The report says that the best variant beats another one only if the two were compared directly")
def test_a_variant_that_only_the_second_beats_is_not_listed_as_beaten_by_the_first() -> None:
    """`first` has the best mean, but its large differences from `last` vary; `second` beats `last` on each seed."""
    noise = np.random.default_rng(3).normal(0, 0.5, 8)
    last = np.linspace(0.5, 0.6, 8)
    second = last - 0.1 + 0.0001 * np.arange(8) % 2
    first = second - 0.01 + noise - noise.mean()
    ranking = comparisons.rank(
        runs_of(first=first.tolist(), second=second.tolist(), last=last.tolist()),
        ["first", "second", "last"],
        "best_val_cross_entropy",
    )
    assert ([variant for variant, _ in ranking.order], ranking.tied) == (["first", "second", "last"], ["second"])
    assert ranking.beaten == []


def test_ranking_of_accuracy_puts_the_highest_first() -> None:
    runs = runs_of("best_val_accuracy", a=[0.8], b=[0.9])
    ranking = comparisons.rank(runs, ["a", "b"], "best_val_accuracy")
    assert [variant for variant, _ in ranking.order] == ["b", "a"]
    assert ranking.tied == ["a"]  # one seed decides nothing


@pytest.mark.proves(
    "A variant with the better unpaired mean does not win against one that is better on every shared seed"
)
def test_ranking_uses_paired_differences_rather_than_unpaired_means() -> None:
    """One variant has 20 seeds, the other 10; only the first variant has the last ten seeds, whose losses are low."""
    losses = [0.30 + 0.001 * (s % 3) for s in range(10)] + [0.1] * 10
    runs = runs_of(many=losses, few=[x - 0.01 + 0.0001 * s for s, x in enumerate(losses[:10])])
    assert np.mean(losses) < np.mean(losses[:10]) - 0.01
    ranking = comparisons.rank(runs, ["many", "few"], "best_val_cross_entropy")
    assert ranking.order[0][0] == "few"
    assert [estimate.n for _, estimate in ranking.order] == [10, 10]  # the report shows these means next to the order
    assert ranking.order[0][1].mean < ranking.order[1][1].mean
    assert ranking.tied == []


@pytest.mark.proves("Values that coincide because they were cut off give no certainty, however few the seeds are")
def test_a_variant_is_not_as_good_as_the_best_because_its_first_rises_are_cut_off() -> None:
    runs = runs_of("rise", original=[0.0] * 4 + [0.03, 0.03, 0.0, 0.03, 0.02, 0.03], l2=[0.0] * 10)
    for seeds in (4, 5, 10):
        ranking = comparisons.rank([run for run in runs if run.seed < seeds], ["original", "l2"], "rise", 0.002)
        assert (len(ranking.tied), ranking.equivalent, ranking.beaten) == (1, [], [])
    [difference] = comparisons.differences(runs[:4] + runs[10:14], [("original", "l2")], "rise")
    assert (difference.estimate.low, difference.p, difference.sign) == (None, 1, 0)


def test_a_variant_with_a_single_seed_does_not_hide_what_the_others_show() -> None:
    losses = [0.30 + 0.001 * (s % 3) for s in range(12)]
    runs = runs_of(original=losses, l2=[x - 0.05 + 0.0001 * s for s, x in enumerate(losses)], dropout=[0.28])
    ranking = comparisons.rank(runs, ["original", "l2", "dropout"], "best_val_cross_entropy")
    assert [(variant, estimate.n) for variant, estimate in ranking.order] == [
        ("l2", 12),
        ("dropout", 1),
        ("original", 12),
    ]
    assert (ranking.tied, ranking.beaten) == (["dropout"], ["original"])


def test_variants_without_shared_seeds_are_tied() -> None:
    runs = [r for r in runs_of(a=[0.1] * 9, b=[0.9] * 18) if r.variant == "a" or r.seed >= 9]
    ranking = comparisons.rank(runs, ["a", "b"], "best_val_cross_entropy")
    assert (ranking.order[0][0], ranking.tied) == ("a", ["b"])
    assert comparisons.rank([], ["a"], "rise").order == []


def test_ties_count_one_half() -> None:
    [difference] = comparisons.differences(runs_of(a=[1.0, 2.0], b=[1.0, 1.0]), [("a", "b")], "best_val_cross_entropy")
    assert (difference.paired, difference.unpaired) == (0.75, 0.75)
    assert difference.beats() == (0.25, 0.25)


def test_at_most_five_percent_of_rankings_contain_a_false_decision() -> None:
    rng, false_decisions = np.random.default_rng(2), 0
    for _ in range(150):
        runs = runs_of(**{variant: rng.normal(0.3, 0.01, 12).tolist() for variant in "abcd"})
        pairs = itertools.combinations("abcd", 2)
        false_decisions += any(d.decided for d in comparisons.differences(runs, pairs, "best_val_cross_entropy"))
    assert false_decisions / 150 <= 0.085  # 0.05 plus two standard errors
