"""Statistics of one run, and their values, means and intervals over seeds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from feedforward.analysis.intervals import Estimate, estimate
from feedforward.analysis.run_result import RunResult
from feedforward.core.errors import DataError


@dataclass(frozen=True)
class Statistic:
    """A number that describes one run: computed by `measure`, or by default the metric of the same name.

    role: the role of the runs for which it is defined. better: whether lower or higher values are better; None if
    neither. decimals: number of decimals in tables. resolution: step size of a discrete statistic; 0 if continuous.
    """

    name: str
    label: str
    role: Literal["replica", "final"]
    better: Literal["lower", "higher"] | None
    decimals: int
    measure: Callable[[RunResult], float | None] | None = None
    resolution: float = 0.0

    def of(self, run: RunResult) -> float | None:
        """The value for `run`; None if it is undefined."""
        return self.measure(run) if self.measure else run.metrics.get(self.name)


def slope(run: RunResult) -> float | None:
    """Least-squares slope of the validation cross-entropy, per epoch, from its minimum to the last epoch.

    None without this curve, or if its minimum is at the last epoch, because no slope is defined then.
    """
    curve = np.asarray(run.curves.get("val_cross_entropy", []))
    tail = curve[int(np.argmin(curve)) :] if len(curve) else curve
    return float(np.polyfit(np.arange(len(tail)), tail, 1)[0]) if len(tail) > 1 else None


def rise(run: RunResult) -> float | None:
    """Validation cross-entropy at the last epoch minus its minimum."""
    curve = run.curves.get("val_cross_entropy", [])
    return curve[-1] - min(curve) if curve else None


def last_value(curve: str) -> Callable[[RunResult], float | None]:
    """A measure: the value of a curve at the last epoch; None for runs without this curve."""
    return lambda run: run.curves[curve][-1] if run.curves.get(curve) else None


STATISTICS = {
    statistic.name: statistic
    for statistic in (
        Statistic("best_val_cross_entropy", "lowest validation loss", "replica", "lower", 4),
        Statistic("best_epoch", "overfit epoch", "replica", None, 1, resolution=1.0),
        Statistic("best_val_accuracy", "accuracy at the overfit epoch", "replica", "higher", 4),
        Statistic("best_val_mae", "mean absolute error at the overfit epoch", "replica", "lower", 4),
        Statistic("generalization_gap", "generalization gap", "replica", "lower", 4),
        Statistic("last_val_cross_entropy", "validation loss at the last epoch", "replica", "lower", 4),
        Statistic("last_val_accuracy", "accuracy at the last epoch", "replica", "higher", 4),
        Statistic("last_val_mae", "mean absolute error at the last epoch", "replica", "lower", 4),
        Statistic(
            "last_calibration_error",
            "calibration error at the last epoch",
            "replica",
            "lower",
            4,
            last_value("calibration/ece"),
        ),
        Statistic(
            "last_brier_score", "Brier score at the last epoch", "replica", "lower", 4, last_value("calibration/brier")
        ),
        Statistic("rise", "rise of the validation loss to the last epoch", "replica", "lower", 4, rise),
        Statistic("slope", "slope of the validation loss after its minimum", "replica", "lower", 4, slope),
        Statistic("test_loss", "test loss", "final", "lower", 4),
        Statistic("test_accuracy", "test accuracy", "final", "higher", 4),
        Statistic("test_auc", "area under the ROC curve on test", "final", "higher", 4),
        Statistic("test_f1", "F1 on test", "final", "higher", 4),
        Statistic("test_mae", "mean absolute error on test", "final", "lower", 4),
        Statistic("test_r2", "R² on test", "final", "higher", 4),
    )
}


def select(results: Iterable[RunResult], dataset: str, protocol: str = "fair") -> list[RunResult]:
    """The runs of one dataset and protocol."""
    return [run for run in results if run.dataset == dataset and run.protocol == protocol]


def sample(runs: Iterable[RunResult], variant: str, statistic: str) -> dict[int, float]:
    """Seed → value of the statistic, for each seed of the variant for which it is defined, by ascending seed.

    Raises:
        DataError: two runs have the same seed.
    """
    definition = STATISTICS[statistic]
    values: dict[int, float] = {}
    for run in sorted((r for r in runs if r.variant == variant and r.role == definition.role), key=lambda r: r.seed):
        value = definition.of(run)
        if run.seed in values:
            raise DataError(f"results: {run.dataset} {variant} seed {run.seed} is listed twice; run `dvc repro train`")
        if value is not None:
            values[run.seed] = value
    return values


def overlap(runs: Iterable[RunResult]) -> float | None:
    """The largest n_val / n_train of the replicas (intervals.estimate); None unless the seed drew all their splits."""
    ratios = [run.overlap for run in runs if run.role == "replica"]
    return max(ratios) if ratios and None not in ratios else None  # type: ignore[type-var]


def sampling_error(runs: Iterable[RunResult], variant: str, statistic: str) -> float:
    """Standard error of a test metric over the test samples, as root mean square over final runs; 0 if not measured."""
    squares = [
        run.metrics[f"{statistic}_se"] ** 2
        for run in runs
        if run.variant == variant and run.role == "final" and f"{statistic}_se" in run.metrics
    ]
    return float(np.sqrt(np.mean(squares))) if squares else 0.0


Summary = dict[str, dict[str, Estimate]]  # variant → statistic → mean and intervals


def summarize(runs: Sequence[RunResult], variants: Iterable[str]) -> Summary:
    """Mean and intervals of each statistic that is defined for a variant, for each variant that has runs."""
    ratio = overlap(runs)
    summary = {
        variant: {
            name: entry
            for name, statistic in STATISTICS.items()
            if (
                entry := estimate(
                    sample(runs, variant, name).values(),
                    overlap=ratio if statistic.role == "replica" else None,
                    sampling_error=sampling_error(runs, variant, name),
                )
            )
        }
        for variant in variants
    }
    return {variant: estimates for variant, estimates in summary.items() if estimates}
