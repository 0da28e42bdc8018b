"""Runs in MLflow, which lives in this package and nowhere else: log them, find them, send them later.

A run is written as a whole record first, below the store's `spool`, and then sent; what cannot be sent stays there
and `Store.sync` sends it later, without duplicates. So a store that is down costs one time-out and no run.

    store = tracking.open_store()
    store.reconcile()
    parent = store.start(tags, "dropout", resume=True)
    run = store.start(tags_of_seed, "dropout seed 0", parent)
    store.finish(run, result=result, params=…, files=…, model=model, inputs=…)
    store.finish(parent, metrics=summary)
"""

from typing import TYPE_CHECKING

from feedforward.core import processes
from feedforward.tracking.records import DataInput, Found, Run, RunTags, Sample, Synced

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from feedforward.tracking.client import Store as Store  # for annotations; importing it takes MLflow along

__all__ = [
    "DataInput",
    "Found",
    "Run",
    "RunTags",
    "Sample",
    "Synced",
    "open_store",
    "sampling",
]


def open_store() -> "Store":
    """The tracking store: $MLFLOW_TRACKING_URI, or mlflow.db in the store's folder, created or upgraded if needed.

    Takes 1 to 4 s when MLflow is not imported yet: start it in a thread while something else runs.

    Raises:
        TrackingError: the address is none that MLflow takes, or the database cannot be opened.
    """
    from feedforward.tracking import settings

    settings.apply()  # MLflow reads its switches when it is imported
    with processes.importing():
        from feedforward.tracking.client import Store

    return Store(settings.tracking_uri())


def sampling(interval: float = 1.0) -> "AbstractContextManager[list[Sample]]":
    """Yield a list that fills with figures of the machine (GPU included), one Sample every `interval` seconds."""
    from feedforward.tracking import system_metrics

    return system_metrics.sampling(interval)
