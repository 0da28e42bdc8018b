"""Where a row is played: a folder of its own, and the small workspace that several rows share."""

import contextlib
import functools
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faults import workspace
from faults.workspace import Line

SEED = 20


@dataclass(frozen=True)
class Scene:
    """folder: for whatever the rows leave. short: the small counts."""

    folder: Path
    short: bool
    _making: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, full: int, short: int) -> int:
        """How many trials."""
        return short if self.short else full

    @property
    def line(self) -> Line:
        """The workspace in which the line has run once; rows copy it and leave it as it is."""
        with self._making:
            return self._line

    @functools.cached_property
    def _line(self) -> Line:
        return workspace.finish(self.folder / "line")


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
