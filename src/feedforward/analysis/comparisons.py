"""Differences between variants, paired by seed, and the order of variants from best to worst."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from feedforward.analysis import intervals, multiple_testing, sequential
from feedforward.analysis.intervals import CONFIDENCE, Estimate, estimate
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.sequential import Interval
from feedforward.analysis.statistics import STATISTICS, of_variant, overlap, resolution, resolutions, sample

LEVEL = 1 - CONFIDENCE  # error probability of a whole family of intervals


@dataclass(frozen=True)
class Difference:
    """The difference left − right in a statistic, paired by seed; pairs that are compared together form one family.

    p, p_corrected: p-value of the paired t test, before and after Holm's correction over the family; valid only if the
        number of seeds was fixed in advance.
    anytime: the anytime-valid interval, Bonferroni-corrected over the family; None with one seed.
    paired, unpaired: probability that a run of `left` has a higher value than a run of `right`, for the same seed
        (`paired`) or for any two seeds (`unpaired`); ties count one half.
    """

    statistic: str
    left: str
    right: str
    estimate: Estimate
    p: float | None
    p_corrected: float | None
    anytime: Interval | None
    paired: float
    unpaired: float

    @property
    def decided(self) -> bool:
        """Whether the anytime-valid interval excludes zero."""
        return self.sign != 0

    @property
    def sign(self) -> int:
        """1 if the anytime-valid interval is above zero, −1 if it is below, otherwise 0."""
        return sign(self.anytime)

    def beats(self) -> tuple[float, float] | None:
        """P(a run of `left` is better): paired and unpaired; None if neither higher nor lower values are better."""
        better = STATISTICS[self.statistic].better
        if better is None:
            return None
        return (self.paired, self.unpaired) if better == "higher" else (1 - self.paired, 1 - self.unpaired)


def sign(interval: Interval | None) -> int:
    """1 if the whole interval is above zero, −1 if it is below; 0 if it contains zero or is empty."""
    if interval is None or _is_empty(interval):
        return 0
    return int(interval.low is not None and interval.low > 0) - int(interval.high is not None and interval.high < 0)


def _is_empty(interval: Interval) -> bool:
    return interval.low is not None and interval.high is not None and interval.low > interval.high


def paired_differences(left: Mapping[int, float], right: Mapping[int, float]) -> list[float]:
    """left − right for each seed that both samples have, by ascending seed."""
    return [left[seed] - right[seed] for seed in sorted(left) if seed in right]


def differences(runs: Sequence[RunResult], pairs: Iterable[tuple[str, str]], statistic: str) -> list[Difference]:
    """Paired differences of (left, right) pairs of variants; pairs without a shared seed are left out."""
    pairs = list(pairs)
    samples = {name: sample(runs, name, statistic) for name in {name for pair in pairs for name in pair}}
    values = {pair: paired_differences(samples[pair[0]], samples[pair[1]]) for pair in pairs}
    values = {pair: gaps for pair, gaps in values.items() if gaps}
    steps = {
        pair: resolutions(
            runs, pair, statistic, [seed for seed in sorted(samples[pair[0]]) if seed in samples[pair[1]]]
        )
        for pair in values
    }
    ratio = overlap(runs)
    p_values = [intervals.p_value(gaps, 0.0, max(steps[pair])) for pair, gaps in values.items()]
    rows = []
    for (pair, gaps), p, corrected in zip(values.items(), p_values, multiple_testing.holm(p_values), strict=True):
        mean = estimate(gaps, overlap=ratio, resolution=max(steps[pair]))
        assert mean is not None
        history = sequential.confidence_sequence(gaps, LEVEL / len(values), steps[pair])
        anytime = history[-1] if history else None
        paired = intervals.superiority(gaps, [0.0])
        unpaired = intervals.superiority([*samples[pair[0]].values()], [*samples[pair[1]].values()])
        rows.append(Difference(statistic, *pair, mean, p, corrected, anytime, paired, unpaired))
    return rows


@dataclass(frozen=True)
class Ranking:
    """The order of variants, and which of them the seeds so far do not distinguish from the first.

    order: variants, each with its estimate over the seeds that all variants share or, if these are fewer than two, over
        all its seeds. The first has the best mean among those that no other variant significantly beats; the others
        follow from best to worst mean.
    tied: the other variants that no variant significantly beats.
    beaten: the variants that the first significantly beats. A variant in neither list is beaten only by others.
    equivalent: the variants in `tied` whose difference from the first is within the margin, with its whole interval.
    """

    order: list[tuple[str, Estimate]]
    tied: list[str]
    equivalent: list[str]
    beaten: list[str]

    @property
    def not_beaten(self) -> list[str]:
        """The other variants that the first does not significantly beat, even if others do."""
        return [variant for variant, _ in self.order[1:] if variant not in self.beaten]


def rank(runs: Sequence[RunResult], variants: Iterable[str], statistic: str, margin: float | None = None) -> Ranking:
    """Order the variants by a statistic for which higher or lower is better.

    A variant significantly beats another if the anytime-valid interval of their paired difference, Bonferroni-corrected
    over all pairs, is entirely on the better side of zero. A pair is compared on all seeds that it shares.
    """
    samples = {v: values for v in variants if (values := sample(runs, v, statistic))}
    if not samples:
        return Ranking([], [], [], [])
    better_sign = -1 if STATISTICS[statistic].better == "lower" else 1
    shared = set.intersection(*map(set, samples.values()))
    if len(shared) < 2:
        shared = set().union(*samples.values())
    means = {v: _mean(x for seed, x in values.items() if seed in shared) for v, values in samples.items()}
    order = sorted(samples, key=lambda v: -better_sign * means[v])
    by_pair = _latest_intervals(samples, order, resolution(runs, statistic))
    signs = {pair: sign(interval) for pair, interval in by_pair.items()}
    pairs = [(left, right) if s == better_sign else (right, left) for (left, right), s in signs.items() if s]
    worse = {loser for _, loser in pairs}
    first, *tied = [v for v in order if v not in worse] or order
    order.remove(first)
    order.insert(0, first)
    equivalent = [v for v in tied if margin and _is_within(by_pair.get((first, v)) or by_pair.get((v, first)), margin)]
    beaten = [v for v in order if (first, v) in pairs]
    compared = [run for run in runs if run.seed in shared]  # so that the estimates agree with the order
    return Ranking([(v, e) for v in order if (e := of_variant(compared, v, statistic))], tied, equivalent, beaten)


def _latest_intervals(
    samples: Mapping[str, Mapping[int, float]], order: Sequence[str], step: float
) -> dict[tuple[str, str], Interval]:
    """The anytime-valid interval of each pair that shares at least two seeds, Bonferroni-corrected over all pairs.

    A sweep may have half a million pairs, so those with the same left side and number of seeds are computed together.
    """
    pairs, intervals_of = math.comb(len(order), 2), dict[tuple[str, str], Interval]()
    for k, left in enumerate(order):
        by_right = {right: paired_differences(samples[left], samples[right]) for right in order[k + 1 :]}
        for count in {len(gaps) for gaps in by_right.values() if len(gaps) > 1}:
            equally_many = {right: gaps for right, gaps in by_right.items() if len(gaps) == count}
            latest = sequential.latest(np.array([*equally_many.values()]), LEVEL / pairs, step)
            intervals_of |= {(left, right): interval for right, interval in zip(equally_many, latest, strict=True)}
    return intervals_of


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _is_within(interval: Interval | None, margin: float) -> bool:
    return interval is not None and not _is_empty(interval) and interval.within(-margin, margin)
