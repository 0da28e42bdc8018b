"""The findings for each dataset: means, paired differences, verdicts, failed seeds. This module writes no files."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from feedforward.analysis import baselines, claims, comparisons, failures, intervals, literature, statistics
from feedforward.analysis.baselines import Baselines
from feedforward.analysis.claims import Verdict
from feedforward.analysis.comparisons import Difference
from feedforward.analysis.failures import Failures
from feedforward.analysis.intervals import Drawn
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS, Summary
from feedforward.config.schema import Dataset, Params
from feedforward.core.errors import DataError


@dataclass(frozen=True)
class Findings:
    """The findings for one dataset.

    baseline: the variant of the final model, with which the others are compared. variants: the variants that have
    replicas, in the order of params. runs: all runs of one protocol, including final runs. differences: for every
    replica statistic, each other variant against the baseline. margins: for each statistic, the smallest difference
    that matters.
    baseline_results: of constant predictions and of models without hidden layers; None if they were not measured.
    suspicions: one line for each result that is suspiciously better than all published results.
    """

    name: str
    dataset: Dataset
    baseline: str
    variants: list[str]
    runs: list[RunResult]
    summary: Summary
    differences: list[Difference]
    verdicts: list[Verdict]
    failures: list[Failures] = field(default_factory=list)
    margins: dict[str, float] = field(default_factory=dict)
    baseline_results: Baselines | None = None
    suspicions: list[str] = field(default_factory=list)

    @property
    def seeds(self) -> int:
        """The largest number of seeds that any variant has."""
        return max((entry.n for estimates in self.summary.values() for entry in estimates.values()), default=0)

    @property
    def draws_split(self) -> bool:
        """Whether the split varies over the seeds of the variants."""
        return any(run.draws_split for run in self.runs)

    @property
    def overlap(self) -> float | None:
        """n_val / n_train, if the seeds drew the splits; otherwise None. See intervals.estimate."""
        return statistics.overlap(self.runs)


def drawn_by_seeds(findings: Iterable[Findings], role: str = "replica") -> Drawn | None:
    """What the seeds of the runs with this role draw, for at least one of the datasets."""
    findings = list(findings)
    by_split = role == "replica" and any(entry.draws_split for entry in findings)
    return intervals.drawn_by_seed(
        by_split, min((entry.dataset.training.train_share for entry in findings), default=1.0)
    )


def find(
    results: Iterable[RunResult], params: Params, protocol: str = "fair", baseline_results: Iterable[RunResult] = ()
) -> list[Findings]:
    """The findings of each dataset that has runs of the protocol, in the order of params.

    baseline_results: the results of the `baselines` stage, whose splits are those of protocol `fair`.

    Raises:
        DataError: no run has this protocol, the dataset or variant of a run is not in params, a number of a run is not
            finite, or the replicas of a dataset were trained with different numbers of samples or epochs.
    """
    results, baseline_results = list(results), [run for run in baseline_results if run.protocol == protocol]
    for run in results:
        if run.dataset not in params.datasets or run.variant not in params.variants:
            raise DataError(
                f"results: params.yaml lacks dataset {run.dataset} or variant {run.variant}; run `dvc repro train`"
            )
        _check_numbers(run)
    verdicts = claims.judge(results, params, protocol)
    findings = [
        _findings(name, params, runs, [verdict for verdict in verdicts if verdict.dataset == name], baseline_results)
        for name in params.datasets
        if (runs := statistics.select(results, name, protocol))
    ]
    if not findings:
        key = "training.lecture" if protocol == "lecture" else "training.variants"
        raise DataError(
            f"results: no run of protocol {protocol}, which trains only the variants listed in `{key}` of a dataset;"
            " correct params.yaml if necessary, then run `dvc repro train`"
        )
    return findings


def _findings(
    name: str, params: Params, runs: list[RunResult], verdicts: list[Verdict], baseline_results: Sequence[RunResult]
) -> Findings:
    dataset = params.datasets[name]
    _check_pairs(name, dataset, runs)
    baseline = dataset.training.final.variant
    replicas = {run.variant for run in runs if run.role == "replica"}
    variants = [variant for variant in params.variants if variant in replicas]
    summary = statistics.summarize(runs, params.variants)
    is_measured = any(run.dataset == name for run in baseline_results)
    return Findings(
        name,
        dataset,
        baseline,
        variants,
        runs,
        summary,
        _differences(runs, [(variant, baseline) for variant in variants if variant != baseline]),
        verdicts,
        failures.find(runs, dataset),
        {str(statistic): margin for statistic, margin in dataset.margins.items()},
        baselines.find(baseline_results, name, baseline, runs) if is_measured else None,
        [line for variant, entries in summary.items() for line in literature.suspicions(variant, entries, dataset)],
    )


def _check_numbers(run: RunResult) -> None:
    """Refuse results that were changed after training. Sorted by a mean that is NaN, any variant can be first."""
    expected: dict[str, Any] = dict(run.metrics)
    if run.role == "replica" and "best_val_cross_entropy" in run.metrics:
        expected |= {f"curve {curve}": run.curves.get(curve) for curve in ("cross_entropy", "val_cross_entropy")}
    for name, value in expected.items():
        values = value if isinstance(value, list) and value else [value]
        if wrong := [number for number in values if not isinstance(number, Real) or not math.isfinite(number)]:
            raise DataError(
                f"results: {run.dataset} {run.variant} seed {run.seed}: {name} must be finite, got {wrong[0]!r};"
                " it was changed after training; load the results again with `ff.results`, or run `feedforward run`"
            )


def _check_pairs(name: str, dataset: Dataset, runs: Sequence[RunResult]) -> None:
    """Refuse a mixture of results of different params, whose differences are not those between the variants."""
    replicas = [run for run in runs if run.draws_split]  # under protocol `lecture`, variants may differ in samples
    counts = {
        f"{split} samples": {count for run in replicas if (count := run.samples.get(split))}
        for split in ("train", "validation")
    }
    if dataset.training.early_stopping is None:
        counts["epochs"] = {count for run in replicas if (count := len(run.curves.get("val_cross_entropy", ())))}
    for what, values in counts.items():
        if len(values) > 1:
            raise DataError(
                f"results: {name}: runs to be compared must have the same number of {what}, got"
                f" {' and '.join(map(str, sorted(values)))}; train them again with the same params"
            )


def _differences(runs: Sequence[RunResult], pairs: Sequence[tuple[str, str]]) -> list[Difference]:
    return [
        difference
        for statistic in STATISTICS.values()
        if statistic.role == "replica"
        for difference in comparisons.differences(runs, pairs, statistic.name)
    ]
