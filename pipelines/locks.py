"""Locks that allow only one job per checkout at a time, so that no run is trained twice."""

import contextlib
from collections.abc import Iterator

from feedforward.core import paths, processes
from feedforward.tracking import names


@contextlib.contextmanager
def job(title: str) -> Iterator[None]:
    """Hold the job lock; taken by `run`, `train`, `decide`, `sweep` and `study`, and by the retraining flow.

    Raises:
        Busy: another of these jobs is running in this checkout.
    """
    with processes.only_one(paths.lock("run"), title):
        yield


@contextlib.contextmanager
def training(title: str) -> Iterator[None]:
    """Hold the training lock; taken by commands that train, by `ff.train`, and by the `train` stage under `dvc repro`.

    Raises:
        Busy: another process is training in this checkout.
    """
    with processes.only_one(paths.lock("training"), title), names.fixed():
        yield
