"""The argument of every scenario: a temporary folder, and a small workspace that several scenarios share."""

import contextlib
import functools
import multiprocessing
import os
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faults import workspace
from faults.workspace import Baseline

SEED = 20
Scenario = Callable[["Context"], str]  # returns what was observed, or raises AssertionError
_lock = threading.Lock()


@dataclass(frozen=True)
class Context:
    """The context in which a scenario runs. folder: where scenarios put their files. short: use fewer repetitions."""

    folder: Path
    short: bool

    def count(self, full: int, short: int) -> int:
        """Return the number of repetitions: `short` in a short run, otherwise `full`."""
        return short if self.short else full

    @property
    def baseline(self) -> Baseline:
        """A workspace in which the pipeline has run once; scenarios work on copies of it."""
        with _lock:
            return self._baseline

    @functools.cached_property
    def _baseline(self) -> Baseline:
        return workspace.make_baseline(self.folder / "baseline")


def describe(error: BaseException) -> str:
    """Describe an exception in one line: its type, message, and the innermost frames of the traceback.

    If the exception comes from another process, the traceback is in its cause.
    """
    text = "".join(traceback.format_exception(error.__cause__ or error))
    frames = re.findall(r'File "(?:.*/)?([^/"]+)", line (\d+), in (\S+)', text)[-3:]
    trail = " > ".join(f"{file}:{line} {function}" for file, line, function in frames)
    return f"{' '.join(traceback.format_exception_only(error)[-1].split())} ({trail})"


def in_subprocess(scenario: Scenario) -> Scenario:
    """Wrap a scenario so that it runs in a separate process, because it changes environment variables."""

    def run(context: Context) -> str:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(scenario, context).result()

    return run


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Within the block, set environment variables of this process, and unset those that name a store."""
    before = dict(os.environ)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ.pop("FEEDFORWARD_STORE", None)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
