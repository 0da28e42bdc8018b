"""Task 4: the difference between two variants over seeds, with its interval and a verdict."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import stats

from feedforward.homework.outcome import Outcome, Wrong, called, checked

VERDICTS = ("lower", "higher", "undecided")
Losses = Sequence[float]
Interval = tuple[float, float, float]  # mean, low, high
CASES: tuple[tuple[Losses, Losses], ...] = (
    ((0.301, 0.342, 0.279, 0.366, 0.322), (0.309, 0.349, 0.288, 0.372, 0.331)),  # seeds differ more than variants
    ((0.31, 0.29, 0.35, 0.28), (0.30, 0.31, 0.33, 0.30)),
    ((0.36, 0.35, 0.37, 0.36, 0.35, 0.37), (0.30, 0.30, 0.31, 0.29, 0.30, 0.31)),
)


def check_comparison(compare: Any) -> Outcome:
    """Check `compare(one, other)`, which returns (mean, low, high, verdict).

    one, other: lowest validation losses of two variants, one per seed; the same position is the same seed. mean: the
    mean difference one − other. low, high: its 95 % t interval over seeds. verdict: whether `one` is "lower" or
    "higher" than `other`, or "undecided". Of a single seed, low and high are NaN.
    """
    return checked(lambda: _check(compare))


def _check(compare: Any) -> str:
    for one, other in CASES:
        _check_case(compare, one, other)
    _, low, high, verdict = _answer(compare, (0.31,), (0.28,))
    if verdict != "undecided" or not (math.isnan(low) and math.isnan(high)):
        raise Wrong("With one seed there is no interval, and a single run of each variant decides nothing.")
    return f"Differences, intervals and verdicts are right for {len(CASES)} pairs of variants, and for a single seed."


def _check_case(compare: Any, one: Losses, other: Losses) -> None:
    *received, verdict = _answer(compare, one, other)
    expected = _paired(one, other)
    if not np.allclose(received, expected, rtol=0, atol=1e-6):
        raise Wrong(_hint(np.array(received), one, other))
    wanted = "lower" if expected[2] < 0 else "higher" if expected[1] > 0 else "undecided"
    if verdict != wanted:
        both = " contains both signs" if wanted == "undecided" else ""
        interval = f"The interval from {expected[1]:.3f} to {expected[2]:.3f}{both}"
        raise Wrong(f"{interval}, and the verdict is {verdict!r}.")


def _answer(compare: Any, one: Losses, other: Losses) -> tuple[float, float, float, str]:
    result = called(compare, one, other, shown=f"compare({one}, {other})")
    try:
        mean, low, high, verdict = result
        numbers = float(mean), float(low), float(high)
    except (TypeError, ValueError):
        raise Wrong(f"compare returns {result!r}; (mean, low, high, verdict) is expected.") from None
    if verdict not in VERDICTS:
        raise Wrong(f"The verdict is {verdict!r}; {', '.join(VERDICTS)} are possible.")
    return (*numbers, verdict)


def _hint(received: Any, one: Losses, other: Losses) -> str:
    (mean, low, high), n = _paired(one, other), len(one)
    if np.allclose(received, (-mean, -high, -low), atol=1e-6):
        return "The sign is the other way round: the difference is one − other."
    if abs(received[0] - mean) > 1e-6:
        return f"The mean difference is expected first, over all {n} seeds; got {received[0]:.4f}."
    for hint, half in _mistakes(one, other):
        if np.allclose(received[1:], [mean - half, mean + half], atol=1e-6):
            return hint
    differences = ", ".join(f"{difference:.3f}" for difference in np.subtract(one, other))
    return f"For the differences {differences} the interval is {received[1]:.4f} to {received[2]:.4f}."


def _mistakes(one: Losses, other: Losses) -> Iterator[tuple[str, float]]:
    """Hints, and half the width of the interval that each is about."""
    n, spread = len(one), float(np.subtract(one, other).std(ddof=1))
    t, error = float(stats.t.ppf(0.975, n - 1)), spread / math.sqrt(n)
    yield "Both ran with the same seeds, and a seed is good or bad for both: look at each seed.", _unpaired(one, other)
    yield f"A factor of 1.96 is for a known standard deviation; yours is estimated from {n} seeds.", 1.96 * error
    yield "This interval is about a single seed; the mean of several is known better.", t * spread
    yield (
        "A sample's standard deviation divides by one less than the number of values.",
        t * error * math.sqrt(1 - 1 / n),
    )
    yield "5 % are outside of the interval, on both sides together.", float(stats.t.ppf(0.95, n - 1)) * error
    yield "This is one standard error on each side; how many make 95 %?", error


def _paired(one: Losses, other: Losses) -> Interval:
    differences = np.subtract(one, other)
    mean, n = float(differences.mean()), len(differences)
    half = float(stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    return mean, mean - half, mean + half


def _unpaired(one: Losses, other: Losses) -> float:
    """Half the width of the interval of two independent samples of equal variance."""
    n = len(one)
    spread = math.sqrt(float(np.var(one, ddof=1) + np.var(other, ddof=1)) / n)
    return float(stats.t.ppf(0.975, 2 * n - 2)) * spread
