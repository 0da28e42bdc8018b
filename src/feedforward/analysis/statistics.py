"""Statistics of one run, and their values, means and intervals over seeds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from feedforward.analysis.intervals import BRIER, NOT_NEGATIVE, SHARE, UNBOUNDED, Estimate, estimate
from feedforward.analysis.run_result import RunResult
from feedforward.core.errors import DataError


@dataclass(frozen=True)
class Statistic:
    """A number that describes one run: the metric of the same name.

    role: the role of the runs for which it is defined. better: whether lower or higher values are better; None if
    neither. decimals: number of decimals in tables; None for four significant digits, because the statistic is in the
    unit of the target. resolution: step size of a discrete statistic; 0 if continuous.
    counted_on: the split whose samples a share counts, so that its step size is 1 / number of samples; AUC and F1 are
        treated as shares, as in models.sampling_errors. bounds: the least and greatest possible values.
    """

    name: str
    label: str
    role: Literal["replica", "final"]
    better: Literal["lower", "higher"] | None
    decimals: int | None
    resolution: float = 0.0
    counted_on: Literal["validation", "test"] | None = None
    bounds: tuple[float, float] = UNBOUNDED

    def of(self, run: RunResult) -> float | None:
        """The value for `run`; None if it is undefined."""
        return run.metrics.get(self.name)


STATISTICS = {
    statistic.name: statistic
    for statistic in (
        Statistic("best_val_cross_entropy", "lowest validation loss", "replica", "lower", 4, bounds=NOT_NEGATIVE),
        Statistic("best_epoch", "overfit epoch", "replica", None, 1, 1.0, bounds=(1.0, math.inf)),
        Statistic(
            "best_val_accuracy",
            "accuracy at the overfit epoch",
            "replica",
            "higher",
            4,
            counted_on="validation",
            bounds=SHARE,
        ),
        Statistic(
            "best_val_mae", "mean absolute error at the overfit epoch", "replica", "lower", None, bounds=NOT_NEGATIVE
        ),
        Statistic("generalization_gap", "generalization gap", "replica", "lower", 4),
        Statistic(
            "last_val_cross_entropy", "validation loss at the last epoch", "replica", "lower", 4, bounds=NOT_NEGATIVE
        ),
        Statistic(
            "last_val_accuracy",
            "accuracy at the last epoch",
            "replica",
            "higher",
            4,
            counted_on="validation",
            bounds=SHARE,
        ),
        Statistic(
            "last_val_mae", "mean absolute error at the last epoch", "replica", "lower", None, bounds=NOT_NEGATIVE
        ),
        Statistic("last_calibration_error", "calibration error at the last epoch", "replica", "lower", 4, bounds=SHARE),
        Statistic("last_brier_score", "Brier score at the last epoch", "replica", "lower", 4, bounds=BRIER),
        Statistic("rise", "rise of the validation loss to the last epoch", "replica", "lower", 4, bounds=NOT_NEGATIVE),
        Statistic("slope", "slope of the validation loss after its minimum", "replica", "lower", 4),
        Statistic("test_loss", "test loss", "final", "lower", 4, bounds=NOT_NEGATIVE),
        Statistic("test_accuracy", "test accuracy", "final", "higher", 4, counted_on="test", bounds=SHARE),
        Statistic(
            "test_auc", "area under the ROC curve on test", "final", "higher", 4, counted_on="test", bounds=SHARE
        ),
        Statistic("test_f1", "F1 on test", "final", "higher", 4, counted_on="test", bounds=SHARE),
        Statistic("test_mae", "mean absolute error on test", "final", "lower", None, bounds=NOT_NEGATIVE),
        Statistic("test_r2", "R² on test", "final", "higher", 4, bounds=(-math.inf, 1.0)),
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
            raise DataError(f"results: {run.dataset} {variant} seed {run.seed} is listed twice; pass each run once")
        if value is not None:
            values[run.seed] = value
    return values


def overlap(runs: Iterable[RunResult]) -> float | None:
    """The largest n_val / n_train of the replicas (intervals.estimate); None unless each seed drew its own split."""
    ratios = [run.overlap for run in runs if run.role == "replica"]
    return max(ratios) if ratios and None not in ratios else None  # type: ignore[type-var]


def resolution(runs: Iterable[RunResult], statistic: str) -> float:
    """Step size of a discrete statistic; 0 if it is continuous. For a share of n samples, 1 / n with the smallest n."""
    split, role = STATISTICS[statistic].counted_on, STATISTICS[statistic].role
    sizes = [run.samples[split] for run in runs if split and run.role == role and run.samples.get(split)]
    return 1 / min(sizes) if sizes else STATISTICS[statistic].resolution


def resolutions(
    runs: Sequence[RunResult], variants: Iterable[str | None], statistic: str, seeds: Iterable[int]
) -> list[float]:
    """The step size of the value of each seed; 0 if the overfit epoch of one of the variants is its first or last one.

    Such an epoch was not rounded but cut off, so it does not tell how much the epochs of other seeds may differ.
    """
    step, variants = resolution(runs, statistic), set(variants)
    cut_off = {
        run.seed
        for run in runs
        if run.role == "replica"
        and run.variant in variants
        and run.metrics.get("best_epoch") in (1, len(run.curves.get("cross_entropy", ())))
    }
    return [0.0 if statistic == "best_epoch" and seed in cut_off else step for seed in seeds]


def sampling_error(runs: Iterable[RunResult], variant: str, statistic: str) -> float:
    """Standard error of a test metric of a variant's final runs; see `typical_error`."""
    return typical_error([run.metrics for run in runs if run.variant == variant and run.role == "final"], statistic)


def degrees_of_freedom(runs: Iterable[RunResult], statistic: str) -> float:
    """Degrees of freedom of the standard error of a test metric, for a t interval; infinite if this is unknown.

    The standard error of an AUC depends on the samples of the smaller side: the class or all others. For a mean over
    classes, degrees of freedom follow from the variances of the classes (Satterthwaite, "An approximate distribution of
    estimates of variance components", Biometrics Bulletin 2, 1946), which are proportional to 1 / samples. Accuracy and
    F1 need none: their errors account for few samples as shares (models.sampling_errors).
    """
    finals = [run for run in runs if run.role == "final"]
    if statistic == "test_auc":
        return min(map(_degrees_of_auc, finals), default=math.inf)
    return degrees_of_mean(min((run.samples["test"] for run in finals if "test" in run.samples), default=0), statistic)


def degrees_of_mean(samples: int, statistic: str) -> float:
    """As `degrees_of_freedom`, for a metric other than AUC. samples: number of test samples; 0 if unknown."""
    return samples - 1 if samples and statistic in ("test_loss", "test_mae", "test_r2") else math.inf


def _degrees_of_auc(run: RunResult) -> float:
    supports, samples = [row["support"] for row in run.errors.get("labels", ())], run.samples.get("test", 0)
    if "confusion" in run.errors and len(supports) == 2:
        del supports[0]  # both classes have the same samples on the smaller side
    smaller = [count for support in supports if (count := min(support, samples - support)) > 0]
    if not smaller:
        return math.inf
    if min(smaller) == 1:
        return 0.0
    return float(sum(1 / m for m in smaller) ** 2 / sum(1 / (m * m * (m - 1)) for m in smaller))


def typical_error(metrics: Iterable[Mapping[str, float]], statistic: str) -> float:
    """Standard error of a test metric over the test samples: the root mean square over runs; 0 if not measured."""
    squares = [values[f"{statistic}_se"] ** 2 for values in metrics if f"{statistic}_se" in values]
    return float(np.sqrt(np.mean(squares))) if squares else 0.0


Summary = dict[str, dict[str, Estimate]]  # variant → statistic → mean and intervals


def of_variant(runs: Sequence[RunResult], variant: str, statistic: str) -> Estimate | None:
    """Mean and intervals of a statistic over the seeds of a variant; None if it is undefined for all of them."""
    definition = STATISTICS[statistic]
    runs = [run for run in runs if run.variant == variant]  # trials of a sweep may differ in their number of samples
    values = sample(runs, variant, statistic)
    result = estimate(
        values.values(),
        overlap=overlap(runs) if definition.role == "replica" else None,
        sampling_error=sampling_error(runs, variant, statistic),
        degrees=degrees_of_freedom(runs, statistic),
        resolution=max(resolutions(runs, [variant], statistic, values), default=0.0),
        bounds=(definition.bounds[0], _last_epoch(runs)) if statistic == "best_epoch" else definition.bounds,
    )
    return replace(result, low=None, high=None) if result and has_unknown_error(runs, statistic) else result


def has_unknown_error(runs: Iterable[RunResult], statistic: str) -> bool:
    """Whether it was measured on a single test sample, which shows nothing about its standard error."""
    return any(run.samples.get("test") == 1 and run.metrics.get(f"{statistic}_se") == 0 for run in runs)


def _last_epoch(runs: Iterable[RunResult]) -> float:
    """The greatest possible epoch; infinite if curves differ in length, because early stopping hides the limit.

    Curves that stopped early at the same epoch have the same best epoch (`min_delta` aside), so the limit hardly
    matters. If their best epochs differ, one of them went on to the limit.
    """
    curves = [run.curves["cross_entropy"] for run in runs if run.role == "replica" and "cross_entropy" in run.curves]
    lengths = set(map(len, curves))
    return lengths.pop() if len(lengths) == 1 else math.inf


def summarize(runs: Sequence[RunResult], variants: Iterable[str]) -> Summary:
    """Mean and intervals of each statistic that is defined for a variant, for each variant that has runs."""
    summary = {
        variant: {name: entry for name in STATISTICS if (entry := of_variant(runs, variant, name))}
        for variant in variants
    }
    return {variant: estimates for variant, estimates in summary.items() if estimates}
