"""Single runs compared with verdicts and means, with losses that can be checked by hand."""

import dataclasses

import pytest
from small_data import params, values
from synthetic_runs import Shape, replica_run

from feedforward.analysis import single_runs
from feedforward.analysis.findings import Findings, find


def findings(l2: list[float], original: list[float], margin: float | None = None) -> Findings:
    params_values = values()
    notes = params_values["datasets"]["notes"]
    claim = {"statistic": "best_val_cross_entropy", "left": "l2", "direction": "lower", "right": "original"}
    notes["claims"] = [{"text": "l2 is better", **claim}]
    notes["margins"] = {"best_val_cross_entropy": margin} if margin else {}
    runs = [
        dataclasses.replace(
            replica_run("notes", variant, seed, 3, Shape(0.3, 1.0, 0.01)), metrics={"best_val_cross_entropy": value}
        )
        for variant, losses in (("l2", l2), ("original", original))
        for seed, value in enumerate(losses)
    ]
    [dataset_findings] = find(runs, params(datasets=params_values["datasets"]))
    return dataset_findings


def test_single_runs_are_compared_with_the_mean_if_the_claim_is_undecided() -> None:
    [judgment] = single_runs.judge(findings([0.30, 0.30, 0.34], [0.33, 0.33, 0.33]))
    assert judgment.against == "mean"
    assert judgment.wrong == (2,)
    assert judgment.differences == pytest.approx({0: -0.03, 1: -0.03, 2: 0.01})
    assert judgment.any_two == pytest.approx(2 / 6)  # of the six pairs of different seeds, those with 0.34
    assert str(judgment) == "1 of 3 single runs contradict the mean (any two seeds: 33 %)"


def test_single_runs_are_compared_with_the_verdict_if_the_claim_is_decided() -> None:
    losses = [0.300, 0.301, 0.299, 0.300, 0.302, 0.298, 0.301, 0.300]
    [judgment] = single_runs.judge(findings([*losses, 0.35], [*[1.17 * loss for loss in losses], 0.34]))
    assert (judgment.verdict.outcome, judgment.against, judgment.wrong) == ("supported", "verdict", (8,))


def test_only_runs_outside_the_margin_are_wrong_if_no_difference_matters() -> None:
    losses = [0.3000, 0.3001, 0.2999, 0.3000, 0.3002, 0.2998, 0.3001, 0.3000, 0.3001, 0.2999]
    [judgment] = single_runs.judge(findings([*losses, 0.3020], [*losses[1:], 0.3001, 0.3000], margin=0.0015))
    assert judgment.verdict.outcome == "no difference that matters"
    assert judgment.wrong == (10,)


def test_a_single_seed_does_not_contradict_the_mean() -> None:
    [judgment] = single_runs.judge(findings([0.2], [0.3]))
    assert str(judgment) == "0 of 1 single run contradicts the mean"
