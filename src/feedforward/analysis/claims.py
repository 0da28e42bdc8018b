"""Claims of params.yaml, judged over seeds: supported, contradicted or undecided.

A claim says in which region the difference left − right (or left − value) lies: below 0, above 0, or
within ± tolerance. It is supported when the interval of the difference lies inside that region,
contradicted when it lies outside, undecided when it crosses the border. The interval is the t interval
at the level that Holm's procedure gives the claim among all claims of its data set; so the chance that
any claim of a data set is decided wrongly stays below 5 %.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from feedforward.analysis import intervals, statistics
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Claim, Params

Outcome = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What the runs say about a claim.

    left, right: means of both sides (right is the claim's constant where it has one), over the seeds that
    were compared; difference: its mean with the interval at confidence 1 − level. All None where no run
    measured them; interval, level and p None with one seed.
    further_seeds: for an undecided claim, how many more would decide it (power 80 %, were the observed
    difference the true one); None: not to be told, or more than inference.MOST_SEEDS.
    """

    dataset: str
    claim: Claim
    outcome: Outcome
    n: int
    left: float | None
    right: float | None
    difference: intervals.Estimate | None
    level: float | None
    p: float | None
    p_corrected: float | None
    further_seeds: int | None
    note: str


def judge(results: Iterable[RunResult], params: Params, protocol: str = "fair") -> list[Verdict]:
    """A verdict on every claim, data sets and claims in the order of params.yaml.

    Data sets without runs are left out.
    """
    results = list(results)
    found = []
    for name, dataset in params.datasets.items():
        runs = statistics.select(results, name, protocol)
        if runs:
            found += _judge_family(name, dataset.claims, runs)
    return found


def _judge_family(dataset: str, claims: tuple[Claim, ...], runs: list[RunResult]) -> list[Verdict]:
    samples = [_samples(claim, runs) for claim in claims]
    values = [[left - right for left, right in pairs] for pairs in samples]
    p_values = [intervals.p_value(v, _border(c, v)) for c, v in zip(claims, values, strict=True)]
    corrected = intervals.holm(p_values)
    return [
        _judge(dataset, claim, pairs, p, holm)
        for claim, pairs, p, holm in zip(claims, samples, p_values, corrected, strict=True)
    ]


def _samples(claim: Claim, runs: list[RunResult]) -> list[tuple[float, float]]:
    """(left, right) for each seed that has both; a constant serves every seed."""
    left = statistics.sample(runs, claim.left, claim.statistic)
    if claim.right is None:
        assert claim.value is not None
        return [(value, claim.value) for value in left.values()]
    right = statistics.sample(runs, claim.right, claim.statistic)
    return [(left[seed], right[seed]) for seed in left if seed in right]


def _border(claim: Claim, values: list[float]) -> float:
    """The border of the claim's region that is nearest to the mean difference."""
    if claim.tolerance is None or not values:
        return 0.0
    return claim.tolerance if sum(values) >= 0 else -claim.tolerance


def _holds(claim: Claim, difference: float) -> bool:
    if claim.tolerance is not None:
        return abs(difference) <= claim.tolerance
    return difference < 0 if claim.direction == "lower" else difference > 0


def _judge(
    dataset: str,
    claim: Claim,
    pairs: list[tuple[float, float]],
    p: float | None,
    corrected: intervals.Corrected | None,
) -> Verdict:
    values = [left - right for left, right in pairs]
    n = len(pairs)
    if not n:
        return Verdict(dataset, claim, "undecided", 0, None, None, None, None, None, None, None, "no run measured it")
    level = corrected.level if corrected else None
    difference = intervals.estimate(values, 1 - level if level else intervals.CONFIDENCE)
    assert difference is not None
    outcome: Outcome = "undecided"
    if corrected and corrected.p <= 1 - intervals.CONFIDENCE:
        outcome = "supported" if _holds(claim, difference.mean) else "contradicted"
    further = None
    if outcome == "undecided" and level:
        further = intervals.further_seeds(values, _border(claim, values), level)
    note = ""
    if n == 1:
        note = "one seed has no interval"
    elif intervals.is_constant(values):
        note = "all seeds agree, so the exact sign test stands in for the t test"
    left, right = (sum(side) / n for side in zip(*pairs, strict=True))
    return Verdict(
        dataset,
        claim,
        outcome,
        n,
        left,
        right,
        difference,
        level,
        p,
        corrected.p if corrected else None,
        further,
        note,
    )
