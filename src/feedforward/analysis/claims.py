"""Judge the claims in params.yaml across seeds: supported, contradicted, no difference that matters, or undecided.

A claim specifies a range for the difference left − right (or left − value): below 0, above 0, or within ± tolerance.
The interval for this difference comes from a confidence sequence with error probability 5 % / number of claims about
the dataset (Bonferroni). Therefore, if values are normally distributed over seeds, the intervals for all claims about a
dataset contain the true differences at every number of seeds with a probability of at least 95 %. Only these intervals
determine the verdicts, so the probability that a dataset ever gets a false verdict is at most 5 %, no matter how many
times seeds are added and results are checked.

`datasets.<name>.margins` in params.yaml sets the smallest difference that matters, for each statistic. For a
claim with direction `lower` or `higher`, an interval within ± margin gives the verdict *no difference that matters*,
whatever the sign of the difference.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from feedforward.analysis import comparisons, intervals, sequential, statistics
from feedforward.analysis.intervals import UNBOUNDED
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.sequential import Interval
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Claim, Params

Outcome = Literal["supported", "contradicted", "no difference that matters", "undecided"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
UNKNOWN_SPREAD = (
    "no interval: too many seeds have exactly the same value, which does not show how far others may differ"
)


UNTRAINED = "no seed has the statistic on both sides"
NEEDS_SAMPLES = "the error over the test samples exceeds the distance to the bound; more test samples are needed"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim.

    outcome: the outcome for this data. new_data: what the outcome would be for new data of the same kind, from
        `sequential.inflate`; None if the splits do not depend on the seed, and for claims about final models.
    n: number of seeds that were judged: those that have the statistic on both sides, or 0 if it is undefined for some
        seeds. level: error probability of `history` as a whole.
    left, right: mean of each side; if the claim compares with a constant, `right` is that constant.
    difference: mean of left − right with its 95 % t interval. wins: probability that a run of the left side has the
        higher value (even if lower is better), for the same seed and for any two seeds; None for claims about a
        constant.
    history: the claim's intervals after 2, 3, … seeds. p: anytime-valid p-value of the hypothesis that the difference
        equals the end of the claimed range that is nearest to the mean; corrected for the number of claims.
    margin: the smallest difference that matters. further_seeds: for an undecided claim, a rough estimate of how many
        more seeds would decide it; None if far too many, or if the spread is unknown. needs_samples: whether no number
        of seeds would decide the claim, because the error over the test samples alone is too large. note: why there is
        no interval, or no valid one; otherwise empty. obstacle: why further seeds would not decide an undecided claim;
        empty if they may.
    Numbers are None if `n` is 0, or if they need two seeds and there is only one.
    """

    dataset: str
    claim: Claim
    outcome: Outcome
    new_data: Outcome | None
    n: int
    level: float
    left: float | None = None
    right: float | None = None
    difference: intervals.Estimate | None = None
    wins: tuple[float, float] | None = None
    history: tuple[Interval, ...] = ()
    p: float | None = None
    margin: float | None = None
    further_seeds: int | None = None
    needs_samples: bool = False
    note: str = ""
    obstacle: str = ""

    @property
    def decided(self) -> bool:
        """Whether the outcome is anything other than `undecided`."""
        return self.outcome != "undecided"

    @property
    def decided_after(self) -> int | None:
        """The number of seeds after which the claim first had this outcome; None if undecided."""
        if not self.decided:
            return None
        return next(entry.n for entry in self.history if _outcome(self.claim, entry, self.margin) == self.outcome)

    @property
    def interval(self) -> Interval | None:
        """The anytime-valid interval after all seeds."""
        return self.history[-1] if self.history else None


def judge(results: Iterable[RunResult], params: Params, protocol: str = "fair") -> list[Verdict]:
    """Return a verdict on each claim, in the order of params.yaml; claims about datasets without runs are omitted."""
    results = list(results)
    verdicts = []
    for name, dataset in params.datasets.items():
        runs = statistics.select(results, name, protocol)
        level = (1 - intervals.CONFIDENCE) / max(1, len(dataset.claims))
        if runs:
            verdicts += [
                _judge(name, claim, runs, level, dataset.margins.get(claim.statistic)) for claim in dataset.claims
            ]
    return verdicts


def _judge(dataset: str, claim: Claim, runs: Sequence[RunResult], level: float, margin: float | None) -> Verdict:
    left = statistics.sample(runs, claim.left, claim.statistic)
    right = _right_values(claim, runs, left)
    seeds = [seed for seed in left if seed in right]
    n, values = len(seeds), [left[seed] - right[seed] for seed in seeds]
    statistic = STATISTICS[claim.statistic]
    if note := _missing(claim, runs, n):
        return Verdict(
            dataset, claim, "undecided", None, 0, level, note=note, obstacle="" if note == UNTRAINED else note
        )
    sampling_error = statistics.sampling_error(runs, claim.left, claim.statistic) if claim.right is None else 0.0
    degrees = statistics.degrees_of_freedom([run for run in runs if run.variant == claim.left], claim.statistic)
    resolution = statistics.resolutions(runs, [claim.left, claim.right], claim.statistic, seeds)
    overlap = statistics.overlap(runs) if statistic.role == "replica" else None
    (least, greatest), value = statistic.bounds, claim.value
    bounds = UNBOUNDED if value is None else (least - value, greatest - value)
    sequence = sequential.confidence_sequence(values, level, resolution, sampling_error, degrees)
    history = [entry.clip(*bounds) for entry in sequence]
    outcome = _outcome(claim, history[-1] if history else None, margin)
    new_data = None if overlap is None else sequential.inflate(values, level, overlap, resolution)
    mean = sum(values) / n
    boundary = _boundary(claim, mean)
    p = sequential.p_value(values, boundary, resolution, sampling_error, degrees)
    further_seeds, needs_samples, obstacle = None, False, ""
    if outcome == "undecided":
        further_seeds = _further_seeds(values, boundary, level, max(resolution), sampling_error, degrees)
        # a margin that exceeds the error over the samples can decide the claim
        reach = margin if margin and claim.direction != "equal" else 0.0
        gap = max(abs(mean - boundary), reach)
        needs_samples = sequential.is_limited_by_samples(gap, level, sampling_error, degrees)
        over_seeds = intervals.estimate(values, resolution=max(resolution))
        if over_seeds and over_seeds.high is not None:  # the mean of all seeds may be further from the bound
            gap = max(abs(mean - boundary) + over_seeds.high - mean, reach)
            obstacle = NEEDS_SAMPLES if sequential.is_limited_by_samples(gap, level, sampling_error, degrees) else ""
    return Verdict(
        dataset,
        claim,
        outcome,
        None if new_data is None else _outcome(claim, new_data, margin),
        n,
        level,
        sum(left[seed] for seed in seeds) / n,
        sum(right[seed] for seed in seeds) / n,
        intervals.estimate(
            values,
            overlap=overlap,
            sampling_error=sampling_error,
            degrees=degrees,
            resolution=max(resolution),
            bounds=bounds,
        ),
        None if claim.right is None else _win_probabilities(values, left, right),
        tuple(history),
        None if p is None else min(1.0, p * (1 - intervals.CONFIDENCE) / level),
        margin,
        further_seeds,
        needs_samples,
        _note(history, n, intervals.has_unknown_spread(values, max(resolution))),
        obstacle,
    )


def _missing(claim: Claim, runs: Sequence[RunResult], n: int) -> str:
    """Why the seeds cannot be judged; empty if all that were trained on both sides have the statistic.

    A seed without `slope` is one that does not overfit, so the others would be a selection by result.
    """
    role, sides = STATISTICS[claim.statistic].role, {claim.left, claim.right or claim.left}
    trained = [{run.seed for run in runs if (run.variant, run.role) == (side, role)} for side in sides]
    seeds = len(set.intersection(*trained))
    if n < seeds:
        return f"undefined for {seeds - n} of {seeds} seeds; the others would be a selection by result"
    if statistics.has_unknown_error(runs, claim.statistic):
        return "a single test sample does not show how certain the result is; more test samples are needed"
    return "" if n else UNTRAINED


def _right_values(claim: Claim, runs: Sequence[RunResult], left: dict[int, float]) -> dict[int, float]:
    """Seed → value of the right side; a constant is repeated for every seed."""
    if claim.right is not None:
        return statistics.sample(runs, claim.right, claim.statistic)
    assert claim.value is not None
    return dict.fromkeys(left, claim.value)


def region(claim: Claim) -> tuple[float, float]:
    """The range of differences for which the claim holds; either end may be infinite."""
    tolerance = claim.tolerance or 0.0
    return {"lower": (-math.inf, 0.0), "higher": (0.0, math.inf), "equal": (-tolerance, tolerance)}[claim.direction]


def _outcome(claim: Claim, interval: Interval | None, margin: float | None) -> Outcome:
    if interval is None or (interval.low is not None and interval.high is not None and interval.low > interval.high):
        return "undecided"
    low, high = region(claim)
    if margin and claim.direction != "equal" and interval.within(-margin, margin):
        return "no difference that matters"
    if interval.within(low, high) and not (claim.direction != "equal" and comparisons.sign(interval) == 0):
        return "supported"
    above, below = interval.within(high, math.inf), interval.within(-math.inf, low)
    return "contradicted" if (above or below) and comparisons.sign(interval) else "undecided"


def _boundary(claim: Claim, mean: float) -> float:
    """The end of the claim's range that is closest to the mean difference."""
    return math.copysign(claim.tolerance or 0.0, mean)


def _win_probabilities(values: Sequence[float], left: dict[int, float], right: dict[int, float]) -> tuple[float, float]:
    return intervals.superiority(values, [0.0]), intervals.superiority([*left.values()], [*right.values()])


def _further_seeds(
    values: Sequence[float], boundary: float, level: float, resolution: float, sampling_error: float, degrees: float
) -> int | None:
    if len(values) < 2 or intervals.has_unknown_spread(values, resolution):
        return None
    gap = sum(values) / len(values) - boundary
    spread = intervals.spread(values, resolution)
    return sequential.further_seeds(gap, spread, len(values), level, sampling_error, degrees)


def _note(history: Sequence[Interval], n: int, has_unknown_spread: bool) -> str:
    if n == 1:
        return "an interval needs at least two seeds"
    last = history[-1]
    if last.low is None:
        return UNKNOWN_SPREAD if has_unknown_spread else "too few seeds for an interval at this level"
    if last.high is not None and last.low > last.high:
        return "early and late seeds contradict each other: they do not come from one normal distribution"
    return ""
