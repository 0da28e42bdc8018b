"""Task 4: the difference between two variants across seeds, with its interval and a verdict."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import stats

from feedforward.homework.outcome import Outcome, Wrong, call, run_check

VERDICTS = ("lower", "higher", "undecided")
Losses = Sequence[float]
Interval = tuple[float, float, float]  # mean, low, high
CASES: tuple[tuple[Losses, Losses], ...] = (  # in the first one, the seeds differ more than the variants do
    ((0.301, 0.342, 0.279, 0.366, 0.322), (0.309, 0.349, 0.288, 0.372, 0.331)),
    ((0.31, 0.29, 0.35, 0.28), (0.30, 0.31, 0.33, 0.30)),
    ((0.36, 0.35, 0.37, 0.36, 0.35, 0.37), (0.30, 0.30, 0.31, 0.29, 0.30, 0.31)),
)


def check_comparison(compare: Any) -> Outcome:
    """Check `compare(one, other)`, which returns (mean, low, high, verdict).

    one, other: lowest validation losses of two variants, one per seed, in the same order of seeds. mean: the mean
    difference one − other. low, high: its 95 % t interval over seeds. verdict: whether `one` is "lower" or "higher"
    than `other`, or "undecided". For a single seed, low and high are NaN.
    """
    return run_check(lambda: _check(compare))


def _check(compare: Any) -> str:
    for one, other in CASES:
        _check_case(compare, one, other)
    _, low, high, verdict = _result(compare, (0.31,), (0.28,))
    if verdict != "undecided" or not (math.isnan(low) and math.isnan(high)):
        raise Wrong("One seed gives no interval, and a single run of each variant decides nothing.")
    return f"Differences, intervals and verdicts are correct for {len(CASES)} pairs of variants, and for a single seed."


def _check_case(compare: Any, one: Losses, other: Losses) -> None:
    *received, verdict = _result(compare, one, other)
    expected = _paired(one, other)
    if not np.allclose(received, expected, rtol=0, atol=1e-6):
        raise Wrong(_hint(np.array(received), one, other))
    expected_verdict = "lower" if expected[2] < 0 else "higher" if expected[1] > 0 else "undecided"
    if verdict != expected_verdict:
        detail = " contains 0" if expected_verdict == "undecided" else ""
        interval = f"The interval from {expected[1]:.3f} to {expected[2]:.3f}{detail}"
        raise Wrong(f"{interval}, but the verdict is {verdict!r}.")


def _result(compare: Any, one: Losses, other: Losses) -> tuple[float, float, float, str]:
    result = call(compare, one, other, call_text=f"compare({one}, {other})")
    try:
        mean, low, high, verdict = result
        numbers = float(mean), float(low), float(high)
    except (TypeError, ValueError):
        raise Wrong(f"compare returns {result!r}; (mean, low, high, verdict) is expected.") from None
    if not isinstance(verdict, str) or verdict not in VERDICTS:
        raise Wrong(f"The verdict is {verdict!r}; it must be one of {', '.join(VERDICTS)}.")
    return (*numbers, verdict)


def _hint(received: Any, one: Losses, other: Losses) -> str:
    (mean, low, high), n = _paired(one, other), len(one)
    if np.allclose(received, (-mean, -high, -low), atol=1e-6):
        return "The sign is reversed: the difference is one − other."
    if not abs(received[0] - mean) <= 1e-6:  # NaN fails this comparison, too
        return f"The first value must be the mean difference over all {n} seeds; got {received[0]:.4f}."
    for hint, half in _mistakes(one, other):
        if np.allclose(received[1:], [mean - half, mean + half], atol=1e-6):
            return hint
    differences = ", ".join(f"{difference:.3f}" for difference in np.subtract(one, other))
    return (
        f"For the differences {differences}, your interval is {received[1]:.4f} to {received[2]:.4f}."
        " How did you compute it?"
    )


def _mistakes(one: Losses, other: Losses) -> Iterator[tuple[str, float]]:
    """(hint, half the width of the interval that the mistake leads to), for each common mistake."""
    n, spread = len(one), float(np.subtract(one, other).std(ddof=1))
    t, error = float(stats.t.ppf(0.975, n - 1)), spread / math.sqrt(n)
    hint = "Both variants ran with the same seeds, and a lucky seed helps both: compare them seed by seed."
    yield hint, _unpaired(one, other)
    yield f"The factor 1.96 is for a known standard deviation; yours is estimated from {n} seeds.", 1.96 * error
    yield "This interval describes a single seed; a mean over several seeds is known more precisely.", t * spread
    yield (
        "The standard deviation of a sample divides by one less than the number of values.",
        t * error * math.sqrt(1 - 1 / n),
    )
    yield "The 5 % outside the interval are divided between its two sides.", float(stats.t.ppf(0.95, n - 1)) * error
    yield "This is one standard error on each side; how many are needed for 95 %?", error


def _paired(one: Losses, other: Losses) -> Interval:
    differences = np.subtract(one, other)
    mean, n = float(differences.mean()), len(differences)
    half = float(stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    return mean, mean - half, mean + half


def _unpaired(one: Losses, other: Losses) -> float:
    """Half the width of the interval for two independent samples with equal variances."""
    n = len(one)
    error = math.sqrt(float(np.var(one, ddof=1) + np.var(other, ddof=1)) / n)
    return float(stats.t.ppf(0.975, 2 * n - 2)) * error
