"""What the runs of each data set say: means, paired differences, verdicts; nothing is written here."""

from collections.abc import Iterable
from dataclasses import dataclass

from feedforward.analysis import claims as verdicts
from feedforward.analysis import statistics
from feedforward.analysis.claims import Verdict
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS, Difference, Summary
from feedforward.config.schema import Dataset, Params
from feedforward.core.errors import DataError


@dataclass(frozen=True)
class Findings:
    """One data set compared.

    baseline: the variant of the final model. variants: those with replicas, in the order of params.
    runs: of one protocol, final runs included. differences: of every replica statistic, each other
    variant against the baseline.
    """

    name: str
    dataset: Dataset
    baseline: str
    variants: list[str]
    runs: list[RunResult]
    summary: Summary
    differences: list[Difference]
    verdicts: list[Verdict]

    @property
    def seeds(self) -> int:
        """The largest number of replicas of a variant."""
        return max((found.n for estimates in self.summary.values() for found in estimates.values()), default=0)


def find(results: Iterable[RunResult], params: Params, protocol: str = "fair") -> list[Findings]:
    """The findings of each data set that has runs of the protocol, in the order of params.

    Raises:
        DataError: no such run, or runs of a data set or variant that params does not have.
    """
    results = list(results)
    for run in results:
        if run.dataset not in params.datasets or run.variant not in params.variants:
            raise DataError(f"results: params.yaml has no {run.dataset} or no {run.variant}; run `dvc repro train`")
    claims = verdicts.judge(results, params, protocol)
    found = []
    for name, dataset in params.datasets.items():
        runs = statistics.select(results, name, protocol)
        own = [verdict for verdict in claims if verdict.dataset == name]
        if runs:
            found.append(_findings(name, dataset, list(params.variants), runs, own))
    if not found:
        raise DataError(f"results: no run of protocol {protocol}; run `dvc repro train`")
    return found


def _findings(name: str, dataset: Dataset, known: list[str], runs: list[RunResult], own: list[Verdict]) -> Findings:
    baseline = dataset.training.final.variant
    replicas = {run.variant for run in runs if run.role == "replica"}
    variants = [variant for variant in known if variant in replicas]
    pairs = [(variant, baseline) for variant in variants if variant != baseline]
    differences = [
        difference
        for statistic in STATISTICS.values()
        if statistic.role == "replica"
        for difference in statistics.differences(runs, pairs, statistic.name)
    ]
    return Findings(name, dataset, baseline, variants, runs, statistics.summarize(runs, known), differences, own)
