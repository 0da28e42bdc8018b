"""Numbers of several seeds → means with t intervals, tests, Holm's correction, seeds that are still needed.

Intervals are Student's t intervals (95 %); one value has none. With few seeds they lean on normality of
the seed's effect: a variant that sometimes fails to train breaks it, and its wide interval is the sign.

SciPy computes, by its special functions: its tests import in 1.1 s more and give the same digits. statsmodels,
which has Holm's correction and the power of a t test too, is the tests' yardstick instead of a dependency: its import
takes 0.6 s, each correction 0.1 s (it collects garbage), and its power is NaN for large effects.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

CONFIDENCE = 0.95
POWER = 0.8  # the usual chance to find an effect that is there
MOST_SEEDS = 10_000  # beyond it "more seeds" is no advice


@dataclass(frozen=True)
class Estimate:
    """Mean over n seeds with its t interval; `low`, `high` and `sd` are None where n is 1."""

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


def estimate(values: Iterable[float], confidence: float = CONFIDENCE) -> Estimate | None:
    """Mean and t interval at `confidence`; None without a value."""
    array = np.array(list(values), float)
    if not len(array):
        return None
    if len(array) == 1:
        return Estimate(1, float(array[0]), None, None, None)
    mean, sd = float(array.mean()), float(array.std(ddof=1))
    half = t_quantile((1 + confidence) / 2, len(array)) * sd / math.sqrt(len(array))
    return Estimate(len(array), mean, sd, mean - half, mean + half)


def p_value(values: Iterable[float], null: float = 0.0) -> float | None:
    """Two-sided p-value of the t test that the mean is `null`; None below two values.

    Equal values have no spread, and no t: the exact sign test answers instead, which two or three seeds
    that agree (whole epochs often do) cannot make significant.
    """
    array = np.array(list(values), float)
    if len(array) < 2:
        return None
    if is_constant(array):
        return 1.0 if math.isclose(array[0], null, abs_tol=1e-12) else 2.0 ** (1 - len(array))
    t = (array.mean() - null) / (array.std(ddof=1) / math.sqrt(len(array)))
    return float(2 * special.stdtr(len(array) - 1, -abs(t)))


def t_quantile(probability: float, n: int) -> float:
    """The value that a t statistic of n values stays below with `probability`."""
    return float(special.stdtrit(n - 1, probability))


def is_constant(values: Sequence[float] | npt.NDArray[np.float64]) -> bool:
    """Do the values agree to the last digits that a float holds?"""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.max(np.abs(values)))))


@dataclass(frozen=True)
class Corrected:
    """A p-value after Holm, and the level at which Holm's procedure tests it.

    The interval at confidence 1 − level excludes the null value exactly when p is at most 1 − CONFIDENCE.
    """

    p: float
    level: float


def holm(p_values: Sequence[float | None], confidence: float = CONFIDENCE) -> list[Corrected | None]:
    """Holm's correction over one family; None (no test was possible) stays None and counts for nothing."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[Corrected | None] = [None] * len(p_values)
    alpha, tests, adjusted, rejected = 1 - confidence, len(known), 0.0, 0
    for step, (p, i) in enumerate(known):  # step k tests at alpha / (m - k); the first that fails ends it,
        adjusted = max(adjusted, min(1.0, p * (tests - step)))
        rejected += adjusted <= alpha
        corrected[i] = Corrected(adjusted, alpha / (tests - min(step, rejected)))  # at its own level for the rest
    return corrected


def further_seeds(values: Sequence[float], null: float, level: float, power: float = POWER) -> int | None:
    """How many more seeds a t test at `level` needs to tell the mean from `null` with `power`.

    Takes the observed mean and spread for the true ones, so it is a rough guide. None: cannot be told
    (fewer than two values), or more than MOST_SEEDS.
    """
    array = np.asarray(values, float)
    if len(array) < 2 or math.isclose(float(array.mean()), null, abs_tol=1e-12):
        return None
    if is_constant(array):  # the sign test's p-value is 2 ** (1 - n)
        return max(1, math.ceil(1 - math.log2(level)) - len(array))
    effect = abs(float(array.mean()) - null) / float(array.std(ddof=1))

    def enough(n: int) -> bool:  # the wrong tail adds nothing where power is high; NaN: far beyond what is needed
        missed = special.nctdtr(n - 1, effect * math.sqrt(n), t_quantile(1 - level / 2, n))
        return not missed > 1 - power

    fewest, most = len(array), 2 * len(array)
    while not enough(most):
        if most > MOST_SEEDS:
            return None
        fewest, most = most, 2 * most
    while most - fewest > 1:  # bisection: power grows with n
        middle = (fewest + most) // 2
        fewest, most = (fewest, middle) if enough(middle) else (middle, most)
    return most - len(array)
