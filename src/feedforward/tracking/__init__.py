"""MLflow: log runs, find them, register model versions. The only package that imports MLflow.

When a run ends, it is written as a complete record to the store's `spool`, then sent. A record that cannot be sent
stays in the spool, and `Store.sync` sends it later, without duplicates: if the store is unreachable, a job waits for
one time-out and loses no run.

Belongs here: everything that knows MLflow's API, its tables, and its files.
Does not belong here: what a run computes, or which version becomes champion (`promotion`).

    store = tracking.open_store()
    store.reconcile()
    parent = store.start(tags, "dropout", resume=True)
    run = store.start(tags_of_seed, "dropout seed 0", parent)
    store.finish(run, result=result, params=…, files=…, model=model, inputs=…)
    store.finish(parent, metrics=summary)
"""

from typing import TYPE_CHECKING

from feedforward.core import processes
from feedforward.tracking.records import DataInput, LoggedRun, Run, RunTags, Sample, SyncResult

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from feedforward.tracking.client import Store as Store  # for annotations; importing it would import MLflow

__all__ = [
    "DataInput",
    "LoggedRun",
    "Run",
    "RunTags",
    "Sample",
    "SyncResult",
    "open_store",
    "sampling",
]


def open_store() -> "Store":
    """Open the tracking store: $MLFLOW_TRACKING_URI, or mlflow.db in the store's folder, created or migrated if needed.

    Takes 1 to 4 s if MLflow is not imported yet: call it in a thread while other work runs.

    Raises:
        TrackingError: MLflow does not accept the address, or the database cannot be opened.
    """
    from feedforward.tracking import settings

    settings.apply()  # MLflow reads them when it is imported
    with processes.importing():
        from feedforward.tracking.client import Store

    return Store(settings.tracking_uri())


def sampling(interval: float = 1.0) -> "AbstractContextManager[list[Sample]]":
    """Yield a list that receives system metrics (GPUs included), one Sample every `interval` seconds."""
    from feedforward.tracking import system_metrics

    return system_metrics.sampling(interval)
