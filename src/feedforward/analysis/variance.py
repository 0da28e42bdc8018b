"""Components of variance: how much of a statistic's spread comes from the weights, the batch order, and the split."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from feedforward.analysis.intervals import CONFIDENCE
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS


@dataclass(frozen=True)
class Component:
    """Standard deviation over n runs in which only one source varied, with its chi-square interval.

    low, high: None if more than half of the values coincide, as overfit epochs may. The chi-square interval would then
        be too narrow: it covers only 86 % if epochs have a standard deviation of 0.4.
    """

    n: int
    sd: float
    low: float | None
    high: float | None


def components(runs_by_source: Mapping[str, Sequence[RunResult]], statistic: str) -> dict[str, Component]:
    """Source → standard deviation of the statistic; sources with fewer than two values are left out.

    The interval assumes normally distributed values: (n - 1) s² / sigma² has a chi-square distribution with n - 1
    degrees of freedom.
    """
    definition = STATISTICS[statistic]
    result = {}
    for source, runs in runs_by_source.items():
        values = [value for run in runs if (value := definition.of(run)) is not None]
        if len(values) > 1:
            result[source] = _component(values)
    return result


def _component(values: Sequence[float]) -> Component:
    n, sd = len(values), float(np.std(values, ddof=1))
    if 2 * max(Counter(values).values()) > n:
        return Component(n, sd, None, None)
    tail = (1 - CONFIDENCE) / 2
    low, high = (sd * math.sqrt((n - 1) / float(special.chdtri(n - 1, p))) for p in (tail, 1 - tail))
    return Component(n, sd, low, high)
