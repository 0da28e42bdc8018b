"""Baselines beside the variants: means and intervals, and the final model's variant compared with each of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scipy import special

from feedforward.analysis import comparisons, run_result, statistics
from feedforward.analysis.comparisons import Difference
from feedforward.analysis.intervals import CONFIDENCE, Estimate
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import Summary
from feedforward.core import paths

COMPARED = ("best_val_cross_entropy", "best_val_accuracy", "best_val_mae")


@dataclass(frozen=True)
class Baselines:
    """The baselines of a dataset, the weakest first.

    summary: baseline → statistic → mean with intervals over seeds; test figures have the interval of their standard
    error over the test samples. differences: variant of the final model − baseline, paired by seed.
    """

    summary: Summary
    differences: list[Difference]

    def difference(self, baseline: str, statistic: str) -> Difference | None:
        """The difference from that baseline; None if the baseline or the variant lacks the statistic."""
        found = (d for d in self.differences if d.right == baseline and d.statistic == statistic)
        return next(found, None)


def find(results: Iterable[RunResult], dataset: str, variant: str, runs: Sequence[RunResult]) -> Baselines:
    """The baselines of a dataset, compared with `variant`, whose runs are among `runs`."""
    baselines = [run for run in results if run.dataset == dataset]
    names = sorted({run.variant for run in baselines}, key=lambda name: (_skill(baselines, name), name))
    summary = {
        name: {
            statistic: _tested(entry, statistics.sampling_error(baselines, name, statistic))
            for statistic, entry in estimates.items()
        }
        for name, estimates in statistics.summarize(baselines, names).items()
    }
    differences = [
        difference
        for statistic in COMPARED
        for difference in comparisons.differences([*runs, *baselines], [(variant, name) for name in names], statistic)
    ]
    return Baselines(summary, differences)


def _skill(results: Sequence[RunResult], name: str) -> float:
    """Mean validation accuracy over the seeds; for values, minus the mean absolute error."""
    figures = [run.metrics for run in results if run.variant == name and run.role == "replica"]
    return sum(one.get("best_val_accuracy", -one.get("best_val_mae", 0.0)) for one in figures) / max(1, len(figures))


def load(datasets: Iterable[str]) -> list[RunResult]:
    """The results of the stage `baselines` for the datasets that have some.

    Raises:
        DataError: a file is damaged.
    """
    files = (paths.baselines(name) for name in datasets)
    return [result for path in files if path.is_file() for result in run_result.load(path, "baselines")]


def _tested(entry: Estimate, error: float) -> Estimate:
    """With the interval of the test samples, if they are the only source of variation."""
    half = float(special.ndtri((1 + CONFIDENCE) / 2)) * error
    return replace(entry, low=entry.mean - half, high=entry.mean + half) if entry.n == 1 and half else entry
