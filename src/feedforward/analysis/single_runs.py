"""Conclusions from one run per variant, as on the slides, and how often they would have been wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from feedforward.analysis import claims, statistics
from feedforward.analysis.claims import Verdict
from feedforward.analysis.findings import Findings
from feedforward.config.schema import Claim

RULE = (
    "A single run claims what its own figures show: that the difference is in the claimed region, or that it is not. "
    "It counts as wrong if that contradicts the verdict over all seeds or, if the claim is undecided, the mean "
    "difference over all seeds. If the verdict is “no difference that matters”, a run is wrong if its "
    "difference exceeds the margin. “Any two seeds” takes the two sides from different seeds, like the slides. The "
    "shares describe these seeds; they are not probabilities for new data."
)


@dataclass(frozen=True)
class SingleRuns:
    """A claim as judged by each seed alone.

    differences: seed → left − right, both trained with that seed. wrong: the seeds whose difference contradicts
    `against`: the verdict or, if it is undecided, the mean. any_two: the share of contradictions if left and right have
    different seeds, like the runs on the slides, over all pairs of seeds; None for claims about a constant.
    """

    verdict: Verdict
    differences: Mapping[int, float]
    wrong: tuple[int, ...]
    against: Literal["verdict", "mean"]
    any_two: float | None

    def __str__(self) -> str:
        """`2 of 5 single runs contradict the mean (any two seeds: 40 %)`."""
        n, noun = len(self.differences), "single run" if len(self.differences) == 1 else "single runs"
        pairs = "" if self.any_two is None else f" (any two seeds: {100 * self.any_two:.0f} %)"
        return f"{len(self.wrong)} of {n} {noun} contradict{'s' if n == 1 else ''} the {self.against}{pairs}"


def judge(findings: Findings) -> list[SingleRuns]:
    """Each claim about a dataset as single runs would have judged it; claims that no seed can judge are left out."""
    return [_judge(findings, verdict) for verdict in findings.verdicts if verdict.n]


def _judge(findings: Findings, verdict: Verdict) -> SingleRuns:
    claim = verdict.claim
    left = statistics.sample(findings.runs, claim.left, claim.statistic)
    right = statistics.sample(findings.runs, claim.right, claim.statistic) if claim.right else {}
    differences = {
        seed: value - (right[seed] if claim.right else claim.value or 0.0)
        for seed, value in left.items()
        if not claim.right or seed in right
    }
    contradicts = _contradiction(verdict, sum(differences.values()) / len(differences))
    pairs = [contradicts(a - b) for i, a in left.items() for j, b in right.items() if i != j]
    return SingleRuns(
        verdict,
        differences,
        tuple(seed for seed, difference in differences.items() if contradicts(difference)),
        "verdict" if verdict.decided else "mean",
        sum(pairs) / len(pairs) if pairs else None,
    )


def _contradiction(verdict: Verdict, mean: float) -> Callable[[float], bool]:
    """A function that tells whether the difference of a single run contradicts the verdict or mean of all seeds."""
    claim, margin = verdict.claim, verdict.margin or 0.0
    if verdict.outcome == "no difference that matters":
        return lambda difference: abs(difference) > margin
    holds = _holds(claim, mean) if verdict.outcome == "undecided" else verdict.outcome == "supported"
    return lambda difference: _holds(claim, difference) != holds


def _holds(claim: Claim, difference: float) -> bool:
    """Whether a difference is in the claimed region; a difference of 0 supports neither `lower` nor `higher`."""
    low, high = claims.region(claim)
    return low <= difference <= high if claim.direction == "equal" else low < difference < high
