"""How much the result of the best of many trials is biased, and what result to expect from fewer trials.

The best of several noisy means is, on average, better than its own true mean: it won partly by luck (selection bias, or
the winner's curse). Runs with seeds that played no part in the choice measure the true mean without that bias.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feedforward.analysis.intervals import Estimate

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class ConfirmedTrial:
    """A trial that was chosen by its search result and trained again with fresh seeds.

    search: estimate over the seeds used in the search. fresh: estimate over seeds that the search never used.
    """

    name: str
    search: Estimate
    fresh: Estimate
    better: Better

    @property
    def bias(self) -> Estimate:
        """How much better the search result is than the fresh mean; positive if the search result is too good.

        The search result is fixed once the choice is made, so the interval is that of the fresh mean, shifted.
        """
        sign = 1 if self.better == "lower" else -1
        mean = sign * (self.fresh.mean - self.search.mean)
        if self.fresh.low is None or self.fresh.high is None:
            return Estimate(self.fresh.n, mean)
        low, high = sorted(sign * (bound - self.search.mean) for bound in (self.fresh.low, self.fresh.high))
        return Estimate(self.fresh.n, mean, self.fresh.sd, low, high)


def expected_best(values: Sequence[float], better: Better) -> list[float]:
    """The expected best of n trials drawn from `values` without replacement, for n = 1, 2, …, len(values).

    For trials that were drawn independently, each entry is an unbiased estimate of the expected validation performance
    with a budget of n trials: the mean over all subsets of size n (Tang et al., "Showing your work doesn't always
    work", ACL 2020; the estimator with replacement of Dodge et al., EMNLP 2019, is biased).

    >>> [round(value, 4) for value in expected_best([0.3, 0.1, 0.2], "lower")]
    [0.2, 0.1333, 0.1]
    """
    ordered = sorted(values, reverse=better == "higher")
    total = len(ordered)
    return [
        math.fsum(value * (math.comb(total - i - 1, n - 1) / math.comb(total, n)) for i, value in enumerate(ordered))
        for n in range(1, total + 1)
    ]


def best_so_far(values: Sequence[float], better: Better) -> list[float]:
    """The best of the first n = 1, 2, … values, in the order in which they were tried."""
    best = min if better == "lower" else max
    return [best(values[: n + 1]) for n in range(len(values))]
