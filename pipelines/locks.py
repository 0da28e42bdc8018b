"""One job per checkout: which locks the commands and stages that train hold, so that no run is trained twice."""

import contextlib
from collections.abc import Iterator

from feedforward.core import paths, processes


@contextlib.contextmanager
def job(title: str) -> Iterator[None]:
    """Held by a command that fetches, trains or promotes: `run`, `train`, `sweep`, `study`, a retraining.

    Raises:
        Busy: another such command is running here.
    """
    with processes.only_one(paths.lock("run"), title):
        yield


@contextlib.contextmanager
def training(title: str) -> Iterator[None]:
    """Held while runs are trained, by the stage `train` too: `dvc repro` is started without our commands as well.

    Raises:
        Busy: another process trains here.
    """
    with processes.only_one(paths.lock("training"), title):
        yield
