"""Rows 11 and 12: torn lock files of DVC, and two jobs at once."""

import os
import random
import time
from pathlib import Path

from faults import workspace
from faults.context import SEED, Context
from faults.workspace import DVC, REPRO
from feedforward.core import processes


def torn(context: Context) -> str:
    """Row 11: part of dvc.lock or of rwlock, as a kill in the middle of writing leaves it."""
    line, numbers, named = context.line, random.Random(SEED), 0
    with line.copy("torn") as folder:
        lock, rwlock = folder / "dvc.lock", folder / ".dvc" / "tmp" / "rwlock"
        whole = lock.read_bytes()
        ends = [whole.index(words) + len(words) for words in (b"\n    deps:\n", b"\n    - p")]  # YAML, but no lock
        cuts = [0, *ends, *(numbers.randrange(len(whole)) for _ in range(context.count(20, 1)))]
        tears = [(rwlock, b""), (rwlock, b'{"write": {"/x": {"pid'), *((lock, whole[:cut]) for cut in cuts)]
        for path, content in tears:
            path.write_bytes(content)
            done = workspace.run(folder, *REPRO)
            assert done.returncode == 0, (
                f"{path.name} of {len(content)} bytes: {done.stdout[-500:]}{done.stderr[-500:]}"
            )
            line.same(folder)
            assert lock.read_bytes() == whole, f"{path.name} of {len(content)} bytes: dvc.lock is another one"
            if done.stderr:  # part of dvc.lock may be a sound one, of fewer stages
                workspace.one_line(done, 0, path.name, "torn, by a dvc that was killed")
                named += 1
    return f"{len(tears)} torn files, the same bytes and the same dvc.lock after each; {named} mended and named"


def busy(context: Context) -> str:
    """Row 12: who comes second says who is at work and leaves with 75."""
    with context.line.copy("busy") as folder:
        with processes.only_one(folder / ".locks" / "run.lock", "feedforward run"):
            done = workspace.run(folder, *workspace.FEEDFORWARD, "run")
            workspace.one_line(done, 75, f"process {os.getpid()} (feedforward run) is running here; wait")
        first = workspace.start(folder, *DVC, "repro", "--force", "--single-item", "validate")
        _wait_for(folder / ".locks", "validate-*.holder")
        workspace.one_line(workspace.run(folder, *REPRO), 75, f"process {first.pid} (", "is running here; wait")
        assert first.wait(workspace.TIMEOUT) == 0, workspace.said(folder)
        context.line.same(folder)
    return "`feedforward run` beside another, and beside a `dvc repro`: code 75, the process named"


def _wait_for(folder: Path, pattern: str) -> None:
    end = time.monotonic() + workspace.TIMEOUT
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end, f"no {pattern} in {folder}"
        time.sleep(0.02)
