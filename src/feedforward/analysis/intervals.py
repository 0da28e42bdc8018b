"""Means, medians, interquartile means and intervals of values over seeds; t tests.

Each interval is for one of two populations:

- *This data*: further training runs on the same data, with other initial weights, batch orders and validation splits.
  Its interval is Student's t interval, with variance s² / n.
- *New data* of this kind: the validation splits of one dataset overlap, so runs are correlated and the variance of
  their mean does not fall as 1 / n. Nadeau and Bengio ("Inference for the generalization error", Machine Learning 52,
  2003) correct this variance to (1 / n + n_val / n_train) s².

Both intervals assume that the values are normally distributed over seeds. If many values of a continuous statistic
equal the lowest or the highest one, they were cut off: a validation loss that is lowest at the last epoch has a rise of
0. Such values do not show how much those of further seeds may differ, so there is no interval (`has_unknown_spread`).

Both are valid only for a number of seeds that was fixed in advance; `sequential` has intervals that stay valid when
seeds are added after looking at the results.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special  # gives the same digits as scipy.stats and imports 1.1 s faster

CONFIDENCE = 0.95
# the least and greatest values that a statistic may have
UNBOUNDED, NOT_NEGATIVE, SHARE = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0)
BRIER = (0.0, 2.0)  # squared distance from a one-hot label
MOST_CUT_OFF = 1 / 4  # of the values; docs/comparison.md has the simulation
NEW_DATA = "95 % interval for the mean on new data of this kind (corrected for overlapping splits)"


Drawn = Literal["split", "training samples"]  # which samples a seed draws, in addition to weights and batch order


def drawn_by_seed(by_split: bool, train_share: float) -> Drawn | None:
    """What the seed of a run draws in addition to weights and batch order; None: nothing.

    by_split: RunResult.draws_split. train_share: see Training.
    """
    return "split" if by_split else "training samples" if train_share < 1 else None


def varied(drawn: Drawn | None = "split") -> str:
    """What varies over seeds, in words."""
    return f"{f'weights, batch order and {drawn}' if drawn else 'weights and batch order'} vary"


def this_data(drawn: Drawn | None = "split") -> str:
    """Description of the intervals for this data; see `varied`."""
    return f"95 % interval for the mean over training runs on this data ({varied(drawn)})"


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds, with its interval for this data (low, high) and for new data (new_low, new_high).

    sd, low, high: None with one seed; but test metrics of baselines have an interval over test samples even then.
    low, high: also None if the spread is unknown (`has_unknown_spread`).
    new_low, new_high: also None if the seed did not draw the splits. iqm: the interquartile mean, which ignores the
    lowest and the highest quarter of the seeds.
    """

    n: int
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    median: float | None = None
    iqm: float | None = None
    new_low: float | None = None
    new_high: float | None = None


def estimate(
    values: Iterable[float],
    confidence: float = CONFIDENCE,
    overlap: float | None = None,
    sampling_error: float = 0.0,
    resolution: float = 0.0,
    bounds: tuple[float, float] = UNBOUNDED,
    degrees: float = math.inf,
) -> Estimate | None:
    """Mean and intervals at `confidence`; None if there are no values.

    overlap: n_val / n_train; if None, there is no interval for new data.
    sampling_error: standard error that all values share because they were measured on the same samples (a test
        split). Its interval and the interval over seeds are combined by adding the squares of their half-widths (MOVER:
        Zou and Donner, Statistics in Medicine 27, 2008).
    resolution: the step size of a discrete statistic. Values that coincide may still differ by less than a step, so the
        standard deviation is taken to be at least that of rounding, resolution / √12.
    bounds: the least and greatest possible values; intervals end there.
    degrees: degrees of freedom of `sampling_error`; see `shared_half`.
    """
    array = np.array(list(values), float)
    n = len(array)
    if not n:
        return None
    mean, median, iqm = float(array.mean()), float(np.median(array)), interquartile_mean(array.tolist())
    if n == 1:
        return Estimate(1, mean, median=median, iqm=iqm)
    sd = float(array.std(ddof=1))
    if has_unknown_spread(array, resolution):
        return Estimate(n, mean, sd, median=median, iqm=iqm)
    half_of_one = t_quantile((1 + confidence) / 2, n) * max(sd, resolution / math.sqrt(12))  # half-width for one value
    shared = shared_half(sampling_error, confidence, degrees)
    low, high = _limits(mean, math.hypot(half_of_one / math.sqrt(n), shared), bounds)
    if overlap is None:
        return Estimate(n, mean, sd, low, high, median, iqm)
    new_half = math.hypot(half_of_one * math.sqrt(1 / n + overlap), shared)
    return Estimate(n, mean, sd, low, high, median, iqm, *_limits(mean, new_half, bounds))


def over_samples(
    value: float, error: float, bounds: tuple[float, float] = UNBOUNDED, degrees: float = math.inf
) -> tuple[float, float]:
    """The interval of one value that has the standard error `error` over the samples on which it was measured."""
    return _limits(value, shared_half(error, CONFIDENCE, degrees), bounds)


def shared_half(error: float, confidence: float = CONFIDENCE, degrees: float = math.inf) -> float:
    """Half the width of the interval of a normally distributed value with this standard error.

    degrees: degrees of freedom, because a standard error over few samples is itself uncertain (Student's t interval);
        with less than one, the half-width is infinite.
    """
    if not error or degrees < 1:
        return math.inf if error else 0.0
    probability = (1 + confidence) / 2
    quantile = special.ndtri(probability) if math.isinf(degrees) else special.stdtrit(degrees, probability)
    return float(quantile) * error


def _limits(center: float, half: float, bounds: tuple[float, float]) -> tuple[float, float]:
    return max(center - half, bounds[0]), min(center + half, bounds[1])


def interquartile_mean(values: Sequence[float]) -> float:
    """Mean of the middle half of the values; a value that straddles a quartile is counted partially.

    Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021.

    >>> interquartile_mean([1, 2, 3, 100])
    2.5
    """
    array, n = np.sort(np.asarray(values, float)), len(values)
    low, high = n / 4, 3 * n / 4
    weights = np.clip(np.minimum(np.arange(1, n + 1), high) - np.maximum(np.arange(n), low), 0, None)
    return float(array @ weights / weights.sum())


def p_value(values: Iterable[float], null: float = 0.0, resolution: float = 0.0) -> float | None:
    """Two-sided p-value of the t test of whether the mean is `null`; None with fewer than two values.

    resolution: the step size of a discrete statistic (1 for epochs). Rounding to that step has the variance
    resolution² / 12, which is added to the variance of the values (Sheppard's correction, here in the conservative
    direction), so that p stays continuous when values coincide. If the spread is unknown, p is 1.
    """
    array = np.array(list(values), float)
    if len(array) < 2:
        return None
    gap, variance = abs(float(array.mean()) - null), spread(array, resolution) ** 2
    if gap <= 1e-12 * max(1.0, abs(null)) or has_unknown_spread(array, resolution):
        return 1.0
    return float(2 * special.stdtr(len(array) - 1, -gap / math.sqrt(variance / len(array))))


def has_unknown_spread(values: Sequence[float] | np.ndarray, resolution: float = 0.0) -> bool:
    """Whether more than MOST_CUT_OFF of the values of a continuous statistic are cut off; never with a resolution.

    >>> has_unknown_spread([0, 0, 0.03, 0.02]), has_unknown_spread([0, 0.01, 0.03, 0.02])
    (True, False)
    """
    return not resolution and bool(count_cut_off(np.asarray(values, float))[-1] > max(1, MOST_CUT_OFF * len(values)))


def count_cut_off(values: np.ndarray) -> np.ndarray:
    """How many of the first n = 1, 2, … values along the last axis equal the lowest, or the highest if these are more.

    >>> count_cut_off(np.array([0.1, 0.1, 0, 0.2, 0, 0])).tolist()
    [1, 2, 2, 1, 2, 3]
    """
    tolerance = 1e-12 * np.abs(values).max(axis=-1, keepdims=True)  # equal differences may differ in their last bits
    counts = []
    for ordered in (values, -values):
        lowest = np.minimum.accumulate(ordered, axis=-1)
        is_new = np.diff(lowest, axis=-1, prepend=np.inf) < -tolerance
        total = np.cumsum(ordered <= lowest + tolerance, axis=-1)
        counts.append(total - np.maximum.accumulate(np.where(is_new, total - 1, 0), axis=-1))
    return np.asarray(np.maximum(*counts))


def spread(values: Sequence[float] | np.ndarray, resolution: float = 0.0) -> float:
    """Standard deviation, with the variance of rounding to `resolution` added."""
    return math.hypot(float(np.std(values, ddof=1)), resolution / math.sqrt(12))


def t_quantile(probability: float, n: int) -> float:
    """The value below which a t statistic of n values falls with `probability`.

    >>> round(t_quantile(0.975, 5), 3)
    2.776
    """
    return float(special.stdtrit(n - 1, probability))


def superiority(left: Sequence[float], right: Sequence[float]) -> float:
    """P(left > right) for values drawn independently from each side; ties count one half (Mann and Whitney, 1947).

    >>> superiority([3, 2], [1, 2])
    0.875
    """
    differences = np.subtract.outer(np.asarray(left, float), np.asarray(right, float))
    return float((differences > 0).mean() + (differences == 0).mean() / 2)
