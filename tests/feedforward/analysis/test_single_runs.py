"""Single runs against verdicts and means, with figures that can be checked by hand."""

import dataclasses

import pytest
from small_data import params, values
from synthetic_runs import Shape, one_run

from feedforward.analysis import single_runs
from feedforward.analysis.findings import Findings, find


def findings(left: list[float], right: list[float], margin: float | None = None) -> Findings:
    plain = values()
    notes = plain["datasets"]["notes"]
    claim = {"statistic": "best_val_cross_entropy", "left": "l2", "direction": "lower", "right": "original"}
    notes["claims"] = [{"text": "l2 is better", **claim}]
    notes["margins"] = {"best_val_cross_entropy": margin} if margin else {}
    runs = [
        dataclasses.replace(
            one_run("notes", variant, seed, 3, Shape(0.3, 1.0, 0.01)), metrics={"best_val_cross_entropy": value}
        )
        for variant, losses in (("l2", left), ("original", right))
        for seed, value in enumerate(losses)
    ]
    [one] = find(runs, params(datasets=plain["datasets"]))
    return one


def test_while_a_claim_is_undecided_single_runs_are_compared_with_the_mean() -> None:
    [one] = single_runs.judge(findings([0.30, 0.30, 0.34], [0.33, 0.33, 0.33]))
    assert one.against == "mean"
    assert one.wrong == (2,)
    assert one.differences == pytest.approx({0: -0.03, 1: -0.03, 2: 0.01})
    assert one.any_two == pytest.approx(2 / 6)
    assert str(one) == "1 of 3 single runs contradict the mean (any two seeds: 33 %)"


def test_a_decided_claim_is_the_truth_for_single_runs() -> None:
    losses = [0.300, 0.301, 0.299, 0.300, 0.302, 0.298, 0.301, 0.300]
    [one] = single_runs.judge(findings([*losses, 0.35], [*[loss + 0.05 for loss in losses], 0.34]))
    assert (one.verdict.outcome, one.against, one.wrong) == ("supported", "verdict", (8,))


def test_without_a_difference_that_matters_runs_beyond_the_margin_are_wrong() -> None:
    losses = [0.3000, 0.3001, 0.2999, 0.3000, 0.3002, 0.2998, 0.3001, 0.3000, 0.3001, 0.2999]
    [one] = single_runs.judge(findings([*losses, 0.3020], [*losses[1:], 0.3001, 0.3000], margin=0.0015))
    assert one.verdict.outcome == "no difference that matters"
    assert one.wrong == (10,)


def test_one_seed_contradicts_nothing() -> None:
    [one] = single_runs.judge(findings([0.2], [0.3]))
    assert str(one) == "0 of 1 single run contradicts the mean"
