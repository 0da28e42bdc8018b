"""Row 11 of docs/reliability.md: DVC's lock files are truncated. Row 12: two jobs run at the same time."""

import os
import random
import time
from pathlib import Path

from faults import workspace
from faults.context import SEED, Context
from faults.workspace import DVC, REPRO
from feedforward.core import processes


def truncate_locks(context: Context) -> str:
    """Row 11: truncate dvc.lock and rwlock, as a kill in the middle of a write would, and run the pipeline again."""
    baseline, rng, renamed = context.baseline, random.Random(SEED), 0
    with baseline.copy("truncated-locks") as folder:
        lock, rwlock = folder / "dvc.lock", folder / ".dvc" / "tmp" / "rwlock"
        complete = lock.read_bytes()
        # files cut off at these places are valid YAML, but not valid lock files
        ends = [complete.index(text) + len(text) for text in (b"\n    deps:\n", b"\n    - p")]
        cuts = [0, *ends, *(rng.randrange(len(complete)) for _ in range(context.count(20, 1)))]
        truncated = [(rwlock, b""), (rwlock, b'{"write": {"/x": {"pid'), *((lock, complete[:cut]) for cut in cuts)]
        for path, content in truncated:
            path.write_bytes(content)
            done = workspace.run(folder, *REPRO)
            assert done.returncode == 0, (
                f"{path.name} of {len(content)} bytes: {done.stdout[-500:]}{done.stderr[-500:]}"
            )
            baseline.check_outputs(folder)
            assert lock.read_bytes() == complete, f"{path.name} of {len(content)} bytes: dvc.lock differs"
            if done.stderr:  # a truncated dvc.lock may be valid, with fewer stages
                workspace.one_line(done, 0, path.name, "incomplete, because DVC was killed")
                renamed += 1
    return f"{len(truncated)} truncated files, each time the same outputs and dvc.lock; {renamed} renamed and reported"


def start_second_job(context: Context) -> str:
    """Row 12: start a second job, which must name the first and exit with 75."""
    with context.baseline.copy("second-job") as folder:
        with processes.only_one(folder / ".locks" / "run.lock", "feedforward run"):
            done = workspace.run(folder, *workspace.FEEDFORWARD, "run")
            workspace.one_line(done, 75, f"process {os.getpid()} (feedforward run) is running here; wait")
        first = workspace.start(folder, *DVC, "repro", "--force", "--single-item", "validate")
        _wait_for(folder / ".locks", "validate-*.holder")
        workspace.one_line(workspace.run(folder, *REPRO), 75, f"process {first.pid} (", "is running here; wait")
        assert first.wait(workspace.TIMEOUT) == 0, workspace.output(folder)
        context.baseline.check_outputs(folder)
    return "`feedforward run` during another one and during `dvc repro`: exit code 75, the running process is named"


def _wait_for(folder: Path, pattern: str) -> None:
    end = time.monotonic() + workspace.TIMEOUT
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end, f"no {pattern} in {folder}"
        time.sleep(0.02)
