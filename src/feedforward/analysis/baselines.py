"""Means and intervals of the baselines, and comparisons of the final model's variant with each baseline."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from feedforward.analysis import comparisons, intervals, statistics
from feedforward.analysis.comparisons import Difference
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS, Summary

COMPARED_STATISTICS = ("best_val_cross_entropy", "best_val_accuracy", "best_val_mae")


@dataclass(frozen=True)
class Baselines:
    """The baselines of a dataset, weakest first.

    summary: baseline → statistic → mean with its interval over seeds or, for a test metric with one seed, over test
    samples.
    differences: variant of the final model − baseline, paired by seed.
    """

    summary: Summary
    differences: list[Difference]

    def difference(self, baseline: str, statistic: str) -> Difference | None:
        """How the final model's variant differs from this baseline; None if either of them lacks the statistic."""
        matches = (d for d in self.differences if d.right == baseline and d.statistic == statistic)
        return next(matches, None)


def find(results: Iterable[RunResult], dataset: str, variant: str, runs: Sequence[RunResult]) -> Baselines:
    """The baselines of a dataset, each compared with `variant`, whose runs are in `runs`."""
    baselines = [run for run in results if run.dataset == dataset]
    names = sorted({run.variant for run in baselines}, key=lambda name: (_skill(baselines, name), name))
    summary = {
        name: {
            statistic: _with_test_interval(entry, [run for run in baselines if run.variant == name], statistic)
            for statistic, entry in estimates.items()
        }
        for name, estimates in statistics.summarize(baselines, names).items()
    }
    differences = [
        difference
        for statistic in COMPARED_STATISTICS
        for difference in comparisons.differences([*runs, *baselines], [(variant, name) for name in names], statistic)
    ]
    return Baselines(summary, differences)


def _skill(results: Sequence[RunResult], name: str) -> float:
    """Mean validation accuracy over the seeds; for regressions, the negative mean absolute error."""
    runs = [run.metrics for run in results if run.variant == name and run.role == "replica"]
    return sum(run.get("best_val_accuracy", -run.get("best_val_mae", 0.0)) for run in runs) / max(1, len(runs))


def _with_test_interval(entry: Estimate, runs: Sequence[RunResult], statistic: str) -> Estimate:
    """The estimate with an interval over test samples, if they are the only source of variation."""
    error = statistics.sampling_error(runs, runs[0].variant, statistic)
    if entry.n > 1 or not error:
        return entry
    degrees = statistics.degrees_of_freedom(runs, statistic)
    low, high = intervals.over_samples(entry.mean, error, STATISTICS[statistic].bounds, degrees)
    return replace(entry, low=low, high=high)
