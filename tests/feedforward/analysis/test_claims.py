"""A claim is decided only if its whole corrected interval is inside or outside the claimed region or in the margin."""

import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from synthetic_runs import synthetic_runs

from feedforward.analysis import claims, statistics
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.sequential import Interval
from feedforward.config.schema import Claim, Params, load_params
from feedforward.core import paths
from feedforward.core.errors import ParamsError
from feedforward.models import sampling_errors
from feedforward.reports import tables, terminal


def with_claims(*claims: Claim, margins: dict[str, float] | None = None) -> Params:
    params = load_params()
    name = next(iter(params.datasets))
    dataset = params.datasets[name].model_copy(update={"claims": claims, "margins": margins or {}})
    return params.model_copy(update={"datasets": {name: dataset}})


def claim(direction: str, **fields: object) -> Claim:
    values = {"text": "t", "statistic": "best_val_cross_entropy", "left": "smaller", "right": "original"}
    return Claim.model_validate(values | {"direction": direction} | fields)


def runs_of(params: Params, statistic: str = "best_val_cross_entropy", **samples: list[float]) -> list[RunResult]:
    dataset = next(iter(params.datasets))
    return [
        RunResult(dataset, variant, seed, "fair", "replica", {}, {statistic: value}, "0" * 64)
        for variant, values in samples.items()
        for seed, value in enumerate(values)
    ]


LOW, HIGH = [0.28, 0.281, 0.279, 0.282, 0.28, 0.281], [0.3, 0.301, 0.302, 0.299, 0.3, 0.301]
NOISY = [0.28, 0.44, 0.27, 0.31, 0.29, 0.33]


@pytest.mark.proves("No verdict is based on seeds that were selected by their results")
def test_a_claim_is_undecided_if_its_statistic_is_undefined_for_some_seeds() -> None:
    params = with_claims(claim("lower", statistic="slope"))
    runs = runs_of(params, "slope", smaller=LOW, original=HIGH)
    [verdict] = claims.judge(runs, params)
    assert verdict.outcome == "supported"
    for side in (0, len(LOW)):
        some = [dataclasses.replace(run, metrics={}) if run in runs[side : side + 2] else run for run in runs]
        [verdict] = claims.judge(some, params)
        assert (verdict.outcome, verdict.n) == ("undecided", 0)
        assert verdict.note == "undefined for 2 of 6 seeds; the others would be a selection by result"
    [verdict] = claims.judge(runs[2:], params)  # two seeds of one side are not trained yet
    assert (verdict.outcome, verdict.n) == ("supported", 4)


@pytest.mark.proves("Values that coincide because they were cut off give no certainty, however few the seeds are")
def test_claims_about_cut_off_values_are_undecided() -> None:
    """In mnist's study, `original` has its lowest loss at the last epoch in 5 of 6 seeds."""
    params = with_claims(claim("lower", statistic="rise", left="l2"), margins={"rise": 0.002})
    for rises in ([0.0] * 4, [0.0] * 4 + [0.03], [0.0] * 4 + [0.03, 0.03, 0.0, 0.03, 0.02, 0.03]):
        samples = {"train": 50_000, "validation": 10_000}
        runs = runs_of(params, "rise", original=rises, l2=[0.0] * len(rises))
        [verdict] = claims.judge([dataclasses.replace(run, samples=samples) for run in runs], params)
        assert (verdict.outcome, verdict.new_data, verdict.p) == ("undecided", "undecided", 1)
        assert verdict.interval == Interval(len(rises), None, None)
        assert (verdict.note, tables.more_seeds(verdict)) == (claims.UNKNOWN_SPREAD, "unknown")
        shown = io.StringIO()
        Console(file=shown, width=200).print(terminal.show_verdicts([verdict]))
        assert f"(n = {len(rises)}: {claims.UNKNOWN_SPREAD})" in shown.getvalue()
    rising = [0.03, 0.02, 0.04, 0.031, 0.025, 0.0, 0.033, 0.028]
    [verdict] = claims.judge(runs_of(params, "rise", original=rising, l2=[0.0] * 8), params)
    assert verdict.outcome == "supported"


@pytest.mark.parametrize(("epochs", "outcome"), [(30, "no difference that matters"), (20, "undecided")])
def test_equal_overfit_epochs_are_no_evidence_if_they_are_the_last_epoch(epochs: int, outcome: str) -> None:
    params = with_claims(claim("lower", statistic="best_epoch"), margins={"best_epoch": 0.5})
    runs = runs_of(params, "best_epoch", smaller=[20.0] * 8, original=[20.0] * 8)
    curves = {"cross_entropy": [0.5] * epochs}
    [verdict] = claims.judge([dataclasses.replace(run, curves=curves) for run in runs], params)
    assert verdict.outcome == outcome


@pytest.mark.proves("A claim is not decided by a single test sample")
def test_a_claim_about_a_single_test_sample_is_undecided() -> None:
    params = with_claims(claim("lower", statistic="test_mae", left="original", right=None, value=1.0))
    metrics = [{"test_mae": 0.5 + seed / 100, "test_mae_se": 0.0} for seed in range(10)]
    name = next(iter(params.datasets))
    for samples, outcome in ((1, "undecided"), (2, "supported")):
        runs = [
            RunResult(name, "original", seed, "fair", "final", {}, values, "0" * 64, samples={"test": samples})
            for seed, values in enumerate(metrics)
        ]
        [verdict] = claims.judge(runs, params)
        assert verdict.outcome == outcome
        assert (statistics.summarize(runs, ["original"])["original"]["test_mae"].low is None) == (samples == 1)


@pytest.mark.parametrize(
    ("direction", "smaller", "outcome"),
    [
        ("lower", LOW, "supported"),
        ("higher", LOW, "contradicted"),
        ("lower", NOISY, "undecided"),
        ("higher", NOISY, "undecided"),
    ],
)
def test_claim_about_a_direction_is_supported_contradicted_or_undecided(
    direction: str, smaller: list[float], outcome: str
) -> None:
    params = with_claims(claim(direction))
    [verdict] = claims.judge(runs_of(params, smaller=smaller, original=HIGH), params)
    assert verdict.outcome == outcome
    assert outcome == "undecided" or verdict.further_seeds is None
    assert verdict.left == pytest.approx(np.mean(smaller))


@pytest.mark.parametrize(("tolerance", "outcome"), [(0.03, "supported"), (0.005, "contradicted"), (0.02, "undecided")])
def test_equality_needs_the_whole_interval_within_the_tolerance(tolerance: float, outcome: str) -> None:
    params = with_claims(claim("equal", tolerance=tolerance))
    [verdict] = claims.judge(runs_of(params, smaller=LOW, original=HIGH), params)
    assert verdict.outcome == outcome
    assert verdict.interval is not None
    low, high = verdict.interval.low, verdict.interval.high
    assert low is not None
    assert high is not None
    assert (-tolerance < low and high < tolerance) == (outcome == "supported")


def test_claim_can_compare_a_variant_with_a_constant() -> None:
    params = with_claims(claim("equal", right=None, value=0.2801, tolerance=0.01))
    [verdict] = claims.judge(runs_of(params, smaller=LOW), params)
    assert (verdict.outcome, verdict.right) == ("supported", pytest.approx(0.2801))


def test_undecided_claim_says_how_many_more_seeds_it_needs() -> None:
    params = with_claims(claim("lower"))
    smaller = [0.29, 0.301, 0.285, 0.303, 0.299, 0.29]
    [verdict] = claims.judge(runs_of(params, smaller=smaller, original=HIGH), params)
    assert verdict.outcome == "undecided"
    assert verdict.further_seeds in range(1, 60)


def test_claim_with_one_seed_is_undecided_and_a_note_says_why() -> None:
    params = with_claims(claim("lower"))
    [verdict] = claims.judge(runs_of(params, smaller=[0.1], original=[0.9]), params)
    assert (verdict.outcome, verdict.n, verdict.further_seeds) == ("undecided", 1, None)
    assert verdict.note == "an interval needs at least two seeds"


def test_claim_without_runs_is_undecided() -> None:
    params = with_claims(claim("lower"))
    [verdict] = claims.judge(runs_of(params, original=HIGH), params)
    assert (verdict.outcome, verdict.n, verdict.difference) == ("undecided", 0, None)
    assert claims.judge([], params) == []


def test_claim_needs_four_seeds_even_if_all_differences_are_equal() -> None:
    params, outcomes = with_claims(claim("lower", statistic="best_epoch")), []
    for seeds in (2, 3, 4, 6):
        runs = runs_of(params, "best_epoch", smaller=[4.0] * seeds, original=[9.0] * seeds)
        outcomes.append(claims.judge(runs, params)[0].outcome)
    assert outcomes == ["undecided", "undecided", "supported", "supported"]


def test_interval_within_the_margin_gives_no_difference_that_matters() -> None:
    params = with_claims(claim("lower"), margins={"best_val_cross_entropy": 0.05})
    [verdict] = claims.judge(runs_of(params, smaller=LOW, original=HIGH), params)
    assert verdict.outcome == "no difference that matters"
    assert (verdict.margin, verdict.further_seeds) == (0.05, None)
    narrow_margin = with_claims(claim("lower"), margins={"best_val_cross_entropy": 0.001})
    assert claims.judge(runs_of(params, smaller=LOW, original=HIGH), narrow_margin)[0].outcome == "supported"


def test_verdict_includes_the_outcome_for_new_data() -> None:
    params = with_claims(claim("lower"))
    runs = runs_of(params, smaller=LOW * 2, original=[x + 0.012 * (i % 3) for i, x in enumerate(HIGH * 2)])
    assert claims.judge(runs, params)[0].new_data is None
    runs_with_own_splits = [dataclasses.replace(run, samples={"train": 15_000, "validation": 10_000}) for run in runs]
    [verdict] = claims.judge(runs_with_own_splits, params)
    assert (verdict.outcome, verdict.new_data) == ("supported", "undecided")
    runs_with_small_validation = [
        dataclasses.replace(run, samples={"train": 99_000, "validation": 1_000}) for run in runs
    ]
    assert claims.judge(runs_with_small_validation, params)[0].new_data == "supported"


def test_history_has_an_interval_for_every_number_of_seeds_from_two() -> None:
    params = with_claims(claim("lower"))
    [verdict] = claims.judge(runs_of(params, smaller=LOW, original=HIGH), params)
    assert [interval.n for interval in verdict.history] == [2, 3, 4, 5, 6]
    assert verdict.wins == (0.0, 0.0)  # `smaller` never has the higher loss


def test_sampling_error_widens_the_interval_of_a_claim_about_a_final_model() -> None:
    equality = claim("equal", statistic="test_accuracy", left="original", right=None, value=0.88, tolerance=0.005)
    params, widths = with_claims(equality), []
    for error in ({}, {"test_accuracy_se": 0.002}):
        runs = [
            RunResult(
                next(iter(params.datasets)), "original", s, "fair", "final", {}, {"test_accuracy": x} | error, "0"
            )
            for s, x in enumerate([0.880, 0.8801, 0.8799, 0.8802, 0.8798, 0.88])
        ]
        [verdict] = claims.judge(runs, params)
        assert verdict.interval is not None
        widths.append((verdict.interval.high or 0) - (verdict.interval.low or 0))
        assert verdict.new_data is None
    assert widths[1] > 1.9 * 1.96 * 0.002 > widths[0]  # two times 1.96 standard errors, and a little less


@pytest.mark.parametrize(("error", "needed"), [(0.002, "more test samples"), (0.0001, "")])
def test_a_claim_that_seeds_cannot_decide_needs_test_samples(error: float, needed: str) -> None:
    equality = claim("equal", statistic="test_accuracy", left="original", right=None, value=0.88, tolerance=0.002)
    params = with_claims(equality)
    metrics = [{"test_accuracy": x, "test_accuracy_se": error} for x in (0.880, 0.8801, 0.8799, 0.8802, 0.8798, 0.88)]
    dataset = next(iter(params.datasets))
    runs = [RunResult(dataset, "original", s, "fair", "final", {}, m, "0") for s, m in enumerate(metrics)]
    [verdict] = claims.judge(runs, params)
    assert (verdict.needs_samples, verdict.further_seeds, tables.more_seeds(verdict)) == (bool(needed), None, needed)
    assert verdict.p is not None
    assert (verdict.outcome == "supported") == (not needed) == (verdict.p < 0.05)


def test_a_perfect_result_on_17_test_samples_is_no_proof_of_more_than_95_percent() -> None:
    params = with_claims(claim("higher", statistic="test_accuracy", left="original", right=None, value=0.95))
    metrics = {"test_accuracy": 1.0, "test_accuracy_se": sampling_errors.of_accuracy(np.ones(17))}
    dataset, samples = next(iter(params.datasets)), {"train": 83, "test": 17}
    runs = [RunResult(dataset, "original", s, "fair", "final", {}, metrics, "0", samples=samples) for s in range(5)]
    [verdict] = claims.judge(runs, params)
    assert (verdict.outcome, verdict.needs_samples) == ("undecided", True)
    assert verdict.interval is not None
    assert verdict.interval.low is not None
    # a model with an accuracy of 0.84 is right on all of 17 samples with a probability of 5 %
    assert verdict.interval.low < 0.87 - 0.95
    assert verdict.interval.high == verdict.difference.high == pytest.approx(1 - 0.95)  # type: ignore[union-attr]


def test_a_claim_is_harder_to_decide_if_there_are_more_claims() -> None:
    smaller = [loss - shift for loss, shift in zip(HIGH, [0.02, 0.012, 0.014, 0.026, 0.013, 0.02], strict=True)]
    one_claim = with_claims(claim("lower"))
    ten_claims = with_claims(claim("lower"), *[claim("lower", left="l2")] * 9)
    results = runs_of(one_claim, smaller=smaller, original=HIGH, l2=NOISY)
    assert claims.judge(results, one_claim)[0].outcome == "supported"
    assert claims.judge(results, ten_claims)[0].outcome == "undecided"


@pytest.mark.slow
def test_at_most_five_percent_of_claim_families_have_a_false_verdict() -> None:
    """If no variants differ, at most one family of claims in twenty may contain a decided claim."""
    params = with_claims(*(claim("lower", left=left) for left in ("smaller", "larger", "l2", "dropout")))
    rng, false_verdicts = np.random.default_rng(0), 0
    for _ in range(150):
        losses = {variant: rng.normal(0.3, 0.01, 12).tolist() for variant in params.variants}
        false_verdicts += any(v.outcome != "undecided" for v in claims.judge(runs_of(params, **losses), params))
    assert false_verdicts / 150 <= 0.085  # 0.05 plus two standard errors


def test_every_claim_in_params_gets_a_verdict() -> None:
    params = load_params()
    verdicts = claims.judge(synthetic_runs(params), params)
    assert len(verdicts) == sum(len(dataset.claims) for dataset in params.datasets.values())
    assert {v.outcome for v in verdicts} <= set(claims.OUTCOMES)
    assert all(v.n == 5 for v in verdicts)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("direction: higher, right: original}", "direction: higher}", "needs either `right` (a variant) or `value`"),
        (
            "direction: higher, right: original}",
            "direction: higher, right: original, value: 1}",
            "needs either `right`",
        ),
        ("direction: higher, right: original}", "direction: equal, right: original}", "tolerance: is required with"),
        ("left: smaller, direction: higher", "left: smallish, direction: higher", "got smallish"),
        (
            "left: smaller, direction: higher",
            "left: smaller, direction: faster",
            "must be 'lower', 'higher' or 'equal'",
        ),
        ("statistic: best_epoch", "statistic: best_epok", "must be 'best_val_cross_entropy', 'best_epoch'"),
    ],
)
def test_an_invalid_claim_is_rejected_when_params_are_loaded(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = paths.params().read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParamsError, match=re.escape(problem)) as error:
        load_params(tmp_path / "params.yaml")
    assert ".claims." in str(error.value)
