"""Where a row is played: a folder of its own, and the small workspace that several rows share."""

import contextlib
import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faults import workspace
from faults.workspace import Line

SEED = 20
Play = Callable[["Scene"], str]  # what was seen; or raises AssertionError
_MAKING = threading.Lock()


@dataclass(frozen=True)
class Scene:
    """folder: for whatever the rows leave. short: the small counts."""

    folder: Path
    short: bool

    def count(self, full: int, short: int) -> int:
        """How many trials."""
        return short if self.short else full

    @property
    def line(self) -> Line:
        """The workspace in which the line has run once; rows copy it and leave it as it is."""
        with _MAKING:
            return self._line

    @functools.cached_property
    def _line(self) -> Line:
        return workspace.finish(self.folder / "line")


def apart(part: Play) -> Play:
    """The same play in a process of its own: it changes the environment, which others would see."""

    def played(scene: Scene) -> str:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(part, scene).result()

    return played


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables of this process during the block; no tracking server is named."""
    before = dict(os.environ)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ.pop("FEEDFORWARD_STORE", None)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
