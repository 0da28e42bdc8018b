"""Count and list the seeds that got stuck, because a mean hides them.

The rule: a run's *share* is the part of a constant prediction's loss that it removes, 1 - lowest loss / constant loss.
It is computed for the training samples and for the validation samples, whose constant loss differs between seeds if
their splits do. A run **got stuck** if both shares are less than three quarters of the best that any seed of the same
variant has on these samples; a run that is worse only on its validation samples may have drawn a harder split. A run
that is still learning does not count: its validation loss is lowest in the last tenth of its epochs, and either both
shares are at least a third of the best, or that tenth removed another 1 % of the constant prediction's loss. Otherwise,
a dead network whose loss creeps down would not count. If the best share on the training samples is less than
1 %, no seed of the variant learned. If only that on the validation samples is, the seeds learned nothing that holds for
these: they did not get stuck but memorized the training samples, and only the training shares are compared.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset

SHARE_OF_BEST = 0.75
LEAST_SHARE = 0.01
LAST_PART = 0.1  # of the epochs; a run that is still learning has its lowest validation loss there
SLOW_SHARE_OF_BEST = 1 / 3  # with less, a run is still learning only if the last part removed LEAST_SHARE
RULE = (
    "A seed counts as “stuck” if its improvement on the loss of the best constant prediction is less than three "
    "quarters of the improvement of the best seed of the same variant, both on the training samples and on the "
    "validation samples; but not while it is still learning, that is, if its validation loss is lowest in the last "
    "tenth of its epochs, and either both improvements are at least a third of the best or that tenth improved the "
    "validation loss by another 1 %. If even the best seed improves by less than 1 % on the training samples, all "
    "seeds of the variant count; if it does so only on the validation samples, these are not compared."
)


@dataclass(frozen=True)
class Failures:
    """The seeds of a variant that got stuck or, if `stuck` is false, learned nothing that holds for validation samples.

    n: number of seeds that the variant has. sign: what they share, in words, or ''.
    """

    variant: str
    seeds: tuple[int, ...]
    n: int
    sign: str
    stuck: bool = True

    def __str__(self) -> str:
        """`2 of 5 seeds got stuck: 1 to 2 dead units, the others 0 (seeds 1, 3)`."""
        names = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        noun = "seed" if self.n == 1 else "seeds"
        failed = "got stuck" if self.stuck else "learned nothing that holds for validation samples"
        return f"{len(self.seeds)} of {self.n} {noun} {failed}{f': {self.sign}' if self.sign else ''} ({names})"


def find(runs: Iterable[RunResult], dataset: Dataset) -> list[Failures]:
    """The variants with replicas that got stuck or learned nothing general, in order of first appearance."""
    by_variant: dict[str, list[RunResult]] = {}
    for run in runs:
        if run.role == "replica" and "best_val_cross_entropy" in run.metrics:
            by_variant.setdefault(run.variant, []).append(run)
    failures = []
    for variant, replicas in by_variant.items():
        stuck, memorized = _failed_runs(replicas, dataset)
        if stuck:
            failures.append(Failures(variant, _seeds(stuck), len(replicas), _sign(stuck, replicas, dataset)))
        if memorized:
            sign = "the training loss fell"
            failures.append(Failures(variant, _seeds(memorized), len(replicas), sign, stuck=False))
    return failures


def _seeds(runs: Iterable[RunResult]) -> tuple[int, ...]:
    return tuple(sorted(run.seed for run in runs))


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


def _failed_runs(replicas: Sequence[RunResult], dataset: Dataset) -> tuple[list[RunResult], list[RunResult]]:
    """The runs that got stuck, and those that learned nothing that holds for validation samples."""
    constants = [constant_loss(run, dataset) for run in replicas]
    # training splits are large, so their constant losses hardly differ and can be taken from the validation splits
    typical = sum(constants) / len(constants)
    on_training = [_share(_training_loss(run), typical) for run in replicas]
    on_validation = [
        _share(run.metrics["best_val_cross_entropy"], constant)
        for run, constant in zip(replicas, constants, strict=True)
    ]
    if max(on_training) < LEAST_SHARE:
        return list(replicas), []
    generalizes = max(on_validation) >= LEAST_SHARE
    compared = [on_training, on_validation] if generalizes else [on_training]
    stuck = []
    for run, constant, *own in zip(replicas, constants, *compared, strict=True):
        part_of_best = [share / max(shares) for share, shares in zip(own, compared, strict=True)]
        is_slow = min(part_of_best) < SLOW_SHARE_OF_BEST
        if max(part_of_best) < SHARE_OF_BEST and _late_share(run, constant) <= (LEAST_SHARE if is_slow else 0):
            stuck.append(run)
    return stuck, [] if generalizes else [run for run in replicas if run not in stuck]


def _late_share(run: RunResult, constant: float) -> float:
    """The part of the constant prediction's loss that the last part of the epochs removed."""
    losses = run.curves["val_cross_entropy"]
    before = min([constant, *losses[: int((1 - LAST_PART) * len(losses))]])
    return _share(min(losses), constant) - _share(before, constant)


def _share(loss: float, constant: float) -> float:
    return 1 - loss / constant if constant else 0.0


def _training_loss(run: RunResult) -> float:
    return min(run.curves["cross_entropy"])


def _sign(failed: Sequence[RunResult], replicas: Sequence[RunResult], dataset: Dataset) -> str:
    """The dead units if each failed run has more than any other run; else whether all training losses stayed high.

    The numbers are given, because one unit more need not be the cause. If no run learned, there is no telling how many
    dead units are harmless.
    """
    dead = [run.metrics.get("dead_units", 0.0) for run in failed]
    seeds = {run.seed for run in failed}
    others = [run.metrics.get("dead_units", 0.0) for run in replicas if run.seed not in seeds]
    if others and min(dead) > max(others):
        return f"{_range(dead)} dead unit{'' if max(dead) == 1 else 's'}, the others {_range(others)}"
    constant = constant_loss(failed[0], dataset)
    if all(_training_loss(run) > (1 - SHARE_OF_BEST) * constant for run in failed):
        return "the training loss stayed high as well"
    return ""


def _range(counts: Sequence[float]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
