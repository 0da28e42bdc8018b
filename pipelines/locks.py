"""One job per checkout: the locks that commands and stages hold, so that no run is trained twice."""

import contextlib
from collections.abc import Iterator

from feedforward.core import paths, processes


@contextlib.contextmanager
def job(title: str) -> Iterator[None]:
    """Held by commands that fetch, train or promote: `run`, `train`, `sweep`, `study`, and retraining.

    Raises:
        Busy: another such command is running here.
    """
    with processes.only_one(paths.lock("run"), title):
        yield


@contextlib.contextmanager
def training(title: str) -> Iterator[None]:
    """Held while runs are trained, including by the stage `train`, because `dvc repro` may be started directly.

    Raises:
        Busy: another process is training here.
    """
    with processes.only_one(paths.lock("training"), title):
        yield
