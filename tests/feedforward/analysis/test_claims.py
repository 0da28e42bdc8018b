"""Claims are decided only where the corrected interval decides them."""

import re
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import like_the_lecture

from feedforward.analysis import claims as verdicts
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Claim, Params, load_params
from feedforward.core import paths
from feedforward.core.errors import ParamsError


def with_claims(*claims: Claim) -> Params:
    params = load_params()
    name = next(iter(params.datasets))
    dataset = params.datasets[name].model_copy(update={"claims": claims})
    return params.model_copy(update={"datasets": {name: dataset}})


def claim(direction: str, **fields: object) -> Claim:
    values = {"text": "t", "statistic": "best_val_cross_entropy", "left": "smaller", "right": "original"}
    return Claim.model_validate(values | {"direction": direction} | fields)


def runs_of(params: Params, **losses: list[float]) -> list[RunResult]:
    dataset = next(iter(params.datasets))
    return [
        RunResult(dataset, variant, seed, "fair", "replica", {}, {"best_val_cross_entropy": loss}, "0" * 64)
        for variant, values in losses.items()
        for seed, loss in enumerate(values)
    ]


LOW, HIGH = [0.28, 0.281, 0.279, 0.282, 0.28], [0.3, 0.301, 0.302, 0.299, 0.3]
WILD = [0.28, 0.44, 0.27, 0.31, 0.29]


@pytest.mark.parametrize(
    ("direction", "smaller", "outcome"),
    [
        ("lower", LOW, "supported"),
        ("higher", LOW, "contradicted"),
        ("lower", WILD, "undecided"),
        ("higher", WILD, "undecided"),
    ],
)
def test_direction(direction: str, smaller: list[float], outcome: str) -> None:
    params = with_claims(claim(direction))
    [verdict] = verdicts.judge(runs_of(params, smaller=smaller, original=HIGH), params)
    assert verdict.outcome == outcome
    assert outcome == "undecided" or verdict.further_seeds is None
    assert verdict.left == pytest.approx(np.mean(smaller))


@pytest.mark.parametrize(("tolerance", "outcome"), [(0.03, "supported"), (0.005, "contradicted"), (0.02, "undecided")])
def test_equality_needs_the_whole_interval_within_the_tolerance(tolerance: float, outcome: str) -> None:
    params = with_claims(claim("equal", tolerance=tolerance))
    [verdict] = verdicts.judge(runs_of(params, smaller=LOW, original=HIGH), params)
    assert verdict.outcome == outcome
    assert verdict.difference is not None
    low, high = verdict.difference.low, verdict.difference.high
    assert low is not None
    assert high is not None
    assert (-tolerance < low and high < tolerance) == (outcome == "supported")


def test_constant_in_the_place_of_a_variant() -> None:
    params = with_claims(claim("equal", right=None, value=0.2801, tolerance=0.01))
    [verdict] = verdicts.judge(runs_of(params, smaller=LOW), params)
    assert (verdict.outcome, verdict.right) == ("supported", pytest.approx(0.2801))


def test_undecided_claim_tells_how_many_more_seeds_it_needs() -> None:
    params = with_claims(claim("lower"))
    smaller = [0.29, 0.301, 0.285, 0.303, 0.299]
    [verdict] = verdicts.judge(runs_of(params, smaller=smaller, original=HIGH), params)
    assert verdict.outcome == "undecided"
    assert verdict.further_seeds in range(5, 50)


def test_one_seed_decides_nothing_and_says_so() -> None:
    params = with_claims(claim("lower"))
    [verdict] = verdicts.judge(runs_of(params, smaller=[0.1], original=[0.9]), params)
    assert (verdict.outcome, verdict.n, verdict.further_seeds) == ("undecided", 1, None)
    assert verdict.note == "one seed has no interval"


def test_no_run_is_no_verdict() -> None:
    params = with_claims(claim("lower"))
    [verdict] = verdicts.judge(runs_of(params, original=HIGH), params)
    assert (verdict.outcome, verdict.n, verdict.difference) == ("undecided", 0, None)
    assert verdicts.judge([], params) == []


def test_agreeing_seeds_are_judged_by_the_sign_test() -> None:
    params = with_claims(claim("lower"))
    few = verdicts.judge(runs_of(params, smaller=[4.0] * 5, original=[9.0] * 5), params)
    many = verdicts.judge(runs_of(params, smaller=[4.0] * 6, original=[9.0] * 6), params)
    assert [few[0].outcome, many[0].outcome] == ["undecided", "supported"]
    assert few[0].further_seeds == 1


def test_more_claims_make_each_harder_to_decide() -> None:
    smaller = [loss - shift for loss, shift in zip(HIGH, [0.02, 0.005, 0.01, 0.03, 0.01], strict=True)]
    alone = with_claims(claim("lower"))
    among = with_claims(claim("lower"), *[claim("lower", left="l2")] * 9)
    results = runs_of(alone, smaller=smaller, original=HIGH, l2=WILD)
    assert verdicts.judge(results, alone)[0].outcome == "supported"
    assert verdicts.judge(results, among)[0].outcome == "undecided"


@pytest.mark.slow
def test_false_verdicts_of_a_family_stay_below_five_percent() -> None:
    """Where nothing differs, at most one family in twenty may hold a decided direction."""
    params = with_claims(*(claim("lower", left=left) for left in ("smaller", "larger", "l2", "dropout")))
    noise, wrong = np.random.default_rng(0), 0
    for _ in range(150):
        losses = {variant: noise.normal(0.3, 0.01, 5).tolist() for variant in params.variants}
        wrong += any(v.outcome != "undecided" for v in verdicts.judge(runs_of(params, **losses), params))
    assert wrong / 150 <= 0.085  # 0.05 and two standard errors


def test_claims_of_the_lecture_are_all_judged() -> None:
    params = load_params()
    found = verdicts.judge(like_the_lecture(params), params)
    assert len(found) == sum(len(dataset.claims) for dataset in params.datasets.values())
    assert {v.outcome for v in found} <= {"supported", "contradicted", "undecided"}
    assert all(v.n == 5 for v in found)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("direction: higher, right: original}", "direction: higher}", "needs either `right` (a variant) or `value`"),
        (
            "direction: higher, right: original}",
            "direction: higher, right: original, value: 1}",
            "needs either `right`",
        ),
        ("direction: higher, right: original}", "direction: equal, right: original}", "`tolerance` belongs to"),
        ("left: smaller, direction: higher", "left: smallish, direction: higher", "got smallish"),
        (
            "left: smaller, direction: higher",
            "left: smaller, direction: faster",
            "must be 'lower', 'higher' or 'equal'",
        ),
        ("statistic: best_epoch", "statistic: best_epok", "must be 'best_val_cross_entropy', 'best_epoch'"),
    ],
)
def test_a_claim_that_makes_no_sense_is_named_before_any_work(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = paths.params().read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParamsError, match=re.escape(problem)) as error:
        load_params(tmp_path / "params.yaml")
    assert ".claims." in str(error.value)
