"""Rows 11 and 12: truncated lock files of DVC, and two jobs at the same time."""

import os
import random
import time
from pathlib import Path

from faults import workspace
from faults.context import SEED, Context
from faults.workspace import DVC, REPRO
from feedforward.core import processes


def torn(context: Context) -> str:
    """Row 11: a truncated dvc.lock or rwlock, as after a kill in the middle of writing."""
    baseline, numbers, named = context.baseline, random.Random(SEED), 0
    with baseline.copy("torn") as folder:
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
            baseline.same(folder)
            assert lock.read_bytes() == whole, f"{path.name} of {len(content)} bytes: dvc.lock differs"
            if done.stderr:  # a truncated dvc.lock may be valid, with fewer stages
                workspace.one_line(done, 0, path.name, "torn, by a dvc that was killed")
                named += 1
    return f"{len(tears)} truncated files, the same bytes and dvc.lock after each; {named} repaired and reported"


def busy(context: Context) -> str:
    """Row 12: the second job names the first and exits with 75."""
    with context.baseline.copy("busy") as folder:
        with processes.only_one(folder / ".locks" / "run.lock", "feedforward run"):
            done = workspace.run(folder, *workspace.FEEDFORWARD, "run")
            workspace.one_line(done, 75, f"process {os.getpid()} (feedforward run) is running here; wait")
        first = workspace.start(folder, *DVC, "repro", "--force", "--single-item", "validate")
        _wait_for(folder / ".locks", "validate-*.holder")
        workspace.one_line(workspace.run(folder, *REPRO), 75, f"process {first.pid} (", "is running here; wait")
        assert first.wait(workspace.TIMEOUT) == 0, workspace.output(folder)
        context.baseline.same(folder)
    return "`feedforward run` beside another, and beside a `dvc repro`: code 75, the process named"


def _wait_for(folder: Path, pattern: str) -> None:
    end = time.monotonic() + workspace.TIMEOUT
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end, f"no {pattern} in {folder}"
        time.sleep(0.02)
