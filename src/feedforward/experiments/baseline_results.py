"""The saved results of the `baselines` stage, as far as they belong to the current data, splits and runs.

`feedforward train` and scripts compare new runs with results that the stage wrote earlier. A difference paired by seed
means something only if both sides were measured on the same samples.
"""

import logging
from collections.abc import Iterable, Sequence

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset, Params
from feedforward.core import atomic_files, paths, provenance
from feedforward.core.errors import DataError
from feedforward.data import manifest as manifest_file

PROTOCOL = "fair"
log = logging.getLogger(__name__)


def save(name: str, dataset: Dataset, results: Iterable[RunResult]) -> None:
    """Write the results of all baselines of a dataset, and what their samples depend on.

    Raises:
        DataError: the data are not vectorized.
    """
    facts = {"samples": _samples_digest(name, dataset)}
    run_result.save(paths.baselines(name), results, provenance.cpu_digest(), "baselines", facts=facts)


def load(runs: Iterable[RunResult], params: Params, protocol: str) -> list[RunResult]:
    """The results of the baselines of the datasets in `runs`; a warning names each dataset whose results are left out.

    runs: the runs with which the baselines are compared. Under another protocol than PROTOCOL, there are no baselines.

    Raises:
        DataError: a file is damaged.
    """
    if protocol != PROTOCOL:
        return []
    compared = [run for run in runs if run.protocol == protocol]
    names = {run.dataset for run in compared}
    return [
        result
        for name, dataset in params.datasets.items()
        if name in names and paths.baselines(name).is_file()
        for result in _load_current(name, dataset, [run for run in compared if run.dataset == name])
    ]


def _load_current(name: str, dataset: Dataset, runs: Sequence[RunResult]) -> list[RunResult]:
    """The results for one dataset; empty, after a warning, if they belong to other samples."""
    results = run_result.load(paths.baselines(name), "baselines")
    recorded = run_result.fact(paths.baselines(name), "samples")
    if recorded == _current_digest(name, dataset) and _sizes(runs) <= _sizes(results):
        return results
    log.warning(
        "%s: the baselines are left out, because they were measured on other samples than the current ones; run"
        " `feedforward run`",
        name,
    )
    return []


def _samples_digest(name: str, dataset: Dataset) -> str:
    """SHA-256 (hex) of what determines the samples of a seed and how baselines see them."""
    training = dataset.training
    return atomic_files.digest(
        {
            "data": manifest_file.load(name)["data_digest"],
            "validation": training.validation.samples,
            "share": training.train_share,
            "task": dataset.task,
            "labels": list(dataset.labels),
            "scale": dataset.network.scale,
        }
    )


def _current_digest(name: str, dataset: Dataset) -> str | None:
    """The digest for the current data; None if there are none."""
    try:
        return _samples_digest(name, dataset)
    except DataError:
        return None


def _sizes(runs: Iterable[RunResult]) -> set[tuple[int, int]]:
    """The numbers of training and validation samples of the replicas; runs of old versions do not record them."""
    replicas = [run.samples for run in runs if run.role == "replica"]
    return {
        (samples["train"], samples["validation"]) for samples in replicas if {"train", "validation"} <= set(samples)
    }
