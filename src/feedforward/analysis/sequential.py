"""Confidence sequences for the mean of values whose variance is unknown: intervals that stay valid at every check.

A t interval is valid for a number of seeds that was fixed in advance. If it is checked after 5, 10, 20 and 40 seeds, it
excludes zero at least once in 15 % of the cases in which there is no difference. A confidence sequence covers the mean
at *all* numbers of seeds simultaneously, with a probability of at least 1 - level.

For values x and a hypothetical mean, let t be the t statistic of the first n values. The process

    M(n) = sqrt(g) * ((1 + u) / (1 + g u)) ** (n / 2),    u = t² / (n - 1),    g = PRECISION / (n + PRECISION)

is a nonnegative martingale under that mean: a mixture of t likelihood ratios over normal effect sizes with variance
1 / PRECISION (Lai, "On confidence sequences", Annals of Statistics 4, 1976; Wang and Ramdas, "Anytime-valid t-tests and
confidence sequences for Gaussian means with unknown variance", Sequential Analysis 44, 2025). By Ville's
inequality, the probability that M ever reaches 1 / level is at most `level`. The interval contains the hypothetical
means for which the process has not reached that bound.

Values that were measured on the same test samples also share an error that more values do not reduce. Half of the level
is for this error, the other half for the sequence, and their half-widths are added (Bonferroni). Adding the squares of
the half-widths, as in `intervals`, is right for one number of values, but not for all of them simultaneously.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedforward.analysis.intervals import MOST_CUT_OFF, count_cut_off, shared_half

PRECISION = 0.25  # tuned for effects of about two standard deviations; docs/comparison.md describes the cost
LOWEST_LEVEL, BISECTIONS = 1e-300, 60  # of p-values with a sampling error
MOST_SEEDS = 10_000  # above this, "more seeds" is not useful advice

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """The interval after n values; a bound is None while that side is unbounded."""

    n: int
    low: float | None
    high: float | None

    def within(self, low: float, high: float) -> bool:
        """Whether the interval is within [low, high]; either bound may be infinite."""
        left = -math.inf if self.low is None else self.low
        right = math.inf if self.high is None else self.high
        return low <= left and right <= high

    def clip(self, least: float, greatest: float) -> "Interval":
        """The part between the least and the greatest value that the mean can have."""
        return Interval(
            self.n,
            None if self.low is None else max(self.low, least),
            None if self.high is None else min(self.high, greatest),
        )


def confidence_sequence(
    values: Sequence[float],
    level: float,
    resolution: float | Sequence[float] = 0.0,
    sampling_error: float = 0.0,
    degrees: float = math.inf,
) -> list[Interval]:
    """Intervals for the mean after 2, 3, … values; all of them contain it with probability 1 - level or more.

    Each interval is intersected with all earlier ones, so intervals never grow. If the values share one normal
    distribution, an empty interval (low above high) has probability at most `level`.

    resolution: see intervals.p_value; a sequence has one for each value. An interval is unbounded while the spread is
        unknown (intervals.has_unknown_spread). sampling_error, degrees: see intervals.estimate.
    """
    if len(values) < 2:
        return []
    n, mean, sd = _running_moments(values, resolution)
    half = _whole_half_width(n, level, sd, sampling_error, degrees)
    low, high = np.maximum.accumulate(mean - half), np.minimum.accumulate(mean + half)
    return [Interval(int(count), _finite(a), _finite(b)) for count, a, b in zip(n.astype(int), low, high, strict=True)]


def latest(values: Array, level: float, resolution: float = 0.0) -> list[Interval]:
    """The last interval of the confidence sequence of each row, much faster than one by one.

    values: shape (rows, n), with at least two columns.
    """
    n, mean, sd = _running_moments(values, resolution)
    half = _half_width(n, level, sd)
    low, high = (mean - half).max(axis=-1), (mean + half).min(axis=-1)
    return [Interval(values.shape[-1], _finite(a), _finite(b)) for a, b in zip(low, high, strict=True)]


def inflate(
    values: Sequence[float], level: float, overlap: float, resolution: float | Sequence[float] = 0.0
) -> Interval | None:
    """The interval for new data: that of the sequence after n values, with sqrt(1 + n n_val / n_train) times the width.

    It is not intersected with earlier intervals. overlap: n_val / n_train. None if there are fewer than two values.
    """
    if len(values) < 2:
        return None
    n, mean, sd = _running_moments(values, resolution)
    half = float(_half_width(n[-1:], level, sd[-1:])[0] * math.sqrt(1 + n[-1] * overlap))
    return Interval(len(values), _finite(mean[-1] - half), _finite(mean[-1] + half))


def p_value(
    values: Sequence[float],
    null: float = 0.0,
    resolution: float | Sequence[float] = 0.0,
    sampling_error: float = 0.0,
    degrees: float = math.inf,
) -> float | None:
    """Anytime-valid p-value of whether the mean is `null`; None with fewer than two values.

    It is the lowest level at which the last interval of the confidence sequence excludes `null`, or 1: without a
    sampling error, min(1, 1 / max M).
    """
    if len(values) < 2:
        return None
    n, mean, sd = _running_moments(values, resolution)
    gap = mean - null
    if sampling_error:
        return _lowest_level(n, np.abs(gap), sd, sampling_error, degrees)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.where(np.abs(gap) <= 1e-12 * max(1.0, abs(null)), 0.0, n * gap**2 / (sd**2 * (n - 1)))
        g = PRECISION / (n + PRECISION)
        ratio = np.where(np.isinf(u), 1 / g, (1 + u) / (1 + g * u))
    evidence = 0.5 * np.log(g) + n / 2 * np.log(ratio)
    return float(math.exp(-max(0.0, float(evidence.max()))))


def _lowest_level(n: Array, gap: Array, sd: Array, sampling_error: float, degrees: float) -> float:
    """The lowest level at which the half-width is below `gap` after some n; by bisection of its logarithm."""
    low, high = math.log(LOWEST_LEVEL), 0.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        level = math.exp(middle)
        half = _whole_half_width(n, level, sd, sampling_error, degrees)
        low, high = (low, middle) if bool((half < gap).any()) else (middle, high)
    return math.exp(high)


def further_seeds(
    gap: float, sd: float, n: int, level: float, sampling_error: float = 0.0, degrees: float = math.inf
) -> int | None:
    """A rough estimate of how many more values bring the half-width below the absolute value of `gap`.

    Assumes that the mean and the standard deviation stay as they are after the first n values. None if more than
    MOST_SEEDS are needed, or if the sampling error alone is too large (see `is_limited_by_samples`).
    """
    counts = np.arange(n + 1, MOST_SEEDS + n + 1, dtype=float)
    half = _whole_half_width(counts, level, np.full(len(counts), sd), sampling_error, degrees)
    enough = np.flatnonzero(half < abs(gap))
    return int(enough[0]) + 1 if len(enough) else None


def is_limited_by_samples(gap: float, level: float, sampling_error: float, degrees: float = math.inf) -> bool:
    """Whether the interval would reach beyond `gap` even with infinitely many values, because of the sampling error."""
    return sampling_error > 0 and _sampling_half_width(level, sampling_error, degrees) >= abs(gap)


def _whole_half_width(n: Array, level: float, sd: Array, sampling_error: float, degrees: float) -> Array:
    """Half the width of the interval after n values, with the sampling error that they share."""
    if not sampling_error:
        return _half_width(n, level, sd)
    return _half_width(n, level / 2, sd) + _sampling_half_width(level, sampling_error, degrees)


def _sampling_half_width(level: float, sampling_error: float, degrees: float) -> float:
    """The part of the half-width that more values do not reduce."""
    return shared_half(sampling_error, 1 - level / 2, degrees)


def _running_moments(
    values: Sequence[float] | Array, resolution: float | Sequence[float]
) -> tuple[Array, Array, Array]:
    """n = 2, 3, …, and the mean and standard deviation of the first n values, which are along the last axis.

    The standard deviation is infinite while it is unknown; see intervals.has_unknown_spread.
    """
    array = np.asarray(values, float)
    center = array.mean(axis=-1, keepdims=True)
    centered = array - center  # loses fewer digits to cancellation
    n = np.arange(1, array.shape[-1] + 1, dtype=float)[1:]
    mean, squares = np.cumsum(centered, axis=-1)[..., 1:] / n, np.cumsum(centered**2, axis=-1)[..., 1:]
    variance = np.maximum(squares - n * mean**2, 0) / (n - 1)
    steps = np.maximum.accumulate(np.broadcast_to(np.asarray(resolution, float), array.shape[-1:]))[1:]
    unknown = (steps == 0) & (count_cut_off(array)[..., 1:] > np.maximum(1, MOST_CUT_OFF * n))
    return n, mean + center, np.where(unknown, np.inf, np.sqrt(variance + steps**2 / 12))


def _half_width(n: Array, level: float, sd: Array) -> Array:
    """Half the width of the interval after n values; infinite where n is too small for the level."""
    g = PRECISION / (n + PRECISION)
    k = np.exp((-np.log(g) - 2 * math.log(level)) / n)
    bounded = g * k < 1
    u = np.where(bounded, (k - 1) / np.where(bounded, 1 - g * k, 1.0), 1.0)
    return np.where(bounded, sd * np.sqrt((n - 1) * u / n), np.inf)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
