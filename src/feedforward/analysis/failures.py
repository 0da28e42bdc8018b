"""Count and list the seeds that failed to learn, because a mean hides them.

The rule: let *gain* be the validation loss of the best constant prediction minus a run's lowest validation loss. A run
**never learned** if its gain is less than three quarters of the gain of the best seed of the same variant. If the gain
of that best seed is itself less than 1 % of the constant prediction's loss, no seed of the variant learned.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset

SHARE_OF_BEST = 0.75
LEAST_GAIN = 0.01  # as a share of the constant prediction's loss
RULE = (
    "A seed counts as “never learned” if its lowest validation loss improves on the loss of the best constant "
    "prediction by less than three quarters of the improvement of the best seed of the same variant; if even the best "
    "seed improves by less than 1 %, all seeds of the variant count."
)


@dataclass(frozen=True)
class Failures:
    """The seeds of a variant that never learned. n: number of seeds that it has. cause: in words; empty if unknown."""

    variant: str
    seeds: tuple[int, ...]
    n: int
    cause: str

    def __str__(self) -> str:
        """`3 of 10 seeds never learned: dead units (seeds 1, 4, 7)`."""
        names = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        noun = "seed" if self.n == 1 else "seeds"
        return f"{len(self.seeds)} of {self.n} {noun} never learned{f': {self.cause}' if self.cause else ''} ({names})"


def find(runs: Iterable[RunResult], dataset: Dataset) -> list[Failures]:
    """The variants with replicas that never learned, in order of first appearance."""
    by_variant: dict[str, list[RunResult]] = {}
    for run in runs:
        if run.role == "replica" and "best_val_cross_entropy" in run.metrics:
            by_variant.setdefault(run.variant, []).append(run)
    failures = []
    for variant, replicas in by_variant.items():
        failed = _failed_runs(replicas, dataset)
        if failed:
            seeds = tuple(sorted(run.seed for run in failed))
            failures.append(Failures(variant, seeds, len(replicas), _cause(failed, dataset)))
    return failures


def constant_loss(run: RunResult, dataset: Dataset) -> float:
    """Validation loss of the best constant prediction.

    This is the run's `constant_val_cross_entropy`. If the run lacks it, it is the loss of equal probabilities for
    classification (ln k for k classes) and 1 for regression: exact for `regression`, whose losses are in units of the
    target's variance, and an upper bound for `unit_regression`.
    """
    if "constant_val_cross_entropy" in run.metrics:
        return run.metrics["constant_val_cross_entropy"]
    if dataset.task in ("regression", "unit_regression"):
        return 1.0
    return math.log(2 if dataset.task in ("binary", "multilabel") else max(2, len(dataset.labels)))


def _failed_runs(replicas: Sequence[RunResult], dataset: Dataset) -> list[RunResult]:
    gains = [constant_loss(run, dataset) - run.metrics["best_val_cross_entropy"] for run in replicas]
    best = max(gains)
    if best < LEAST_GAIN * constant_loss(replicas[0], dataset):
        return list(replicas)
    return [run for run, gain in zip(replicas, gains, strict=True) if gain < SHARE_OF_BEST * best]


def _cause(failed: Sequence[RunResult], dataset: Dataset) -> str:
    """`dead units` if all failed runs have some; otherwise a note if all their training losses stayed high as well."""
    if all(run.metrics.get("dead_units", 0.0) > 0 for run in failed):
        return "dead units"
    lowest_losses = [min(run.curves.get("cross_entropy", [math.nan])) for run in failed]
    constant = constant_loss(failed[0], dataset)
    if all(loss > (1 - SHARE_OF_BEST) * constant for loss in lowest_losses):
        return "the training loss stayed high as well, as with dead units"
    return ""
