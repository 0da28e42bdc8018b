"""Rows of docs/reliability.md: DVC's lock files are truncated (row 11), and two jobs run at the same time (row 12)."""

import os
import random
import signal
import time
from pathlib import Path

from faults import workspace
from faults.context import SEED, Context
from faults.workspace import DVC, REPRO
from feedforward.core import processes


def truncate_locks(context: Context) -> str:
    """Row 11: truncate dvc.lock and rwlock, as a kill in the middle of a write would, and run the pipeline again."""
    baseline, rng, renamed_files = context.baseline, random.Random(SEED), 0
    with baseline.copy("truncated-locks") as folder:
        lock, rwlock = folder / "dvc.lock", folder / ".dvc" / "tmp" / "rwlock"
        original = lock.read_bytes()
        # a file that ends at one of these positions is valid YAML, but not a valid lock file
        ends = [original.index(text) + len(text) for text in (b"\n    deps:\n", b"\n    - p")]
        cuts = [0, *ends, *(rng.randrange(len(original)) for _ in range(context.count(20, 1)))]
        truncated = [(rwlock, b""), (rwlock, b'{"write": {"/x": {"pid'), *((lock, original[:cut]) for cut in cuts)]
        for path, content in truncated:
            path.write_bytes(content)
            done = workspace.run(folder, *REPRO)
            assert done.returncode == 0, (
                f"{path.name} of {len(content)} bytes: {done.stdout[-500:]}{done.stderr[-500:]}"
            )
            baseline.check_outputs(folder)
            assert lock.read_bytes() == original, f"{path.name} of {len(content)} bytes: dvc.lock differs"
            if done.stderr:  # a truncated dvc.lock may be valid, with fewer stages
                workspace.one_line(done, 0, path.name, "incomplete or invalid, because DVC was killed")
                renamed_files += 1
    return (
        f"{len(truncated)} truncated files, each time the same outputs and dvc.lock as before;"
        f" {renamed_files} renamed and reported"
    )


def start_second_job(context: Context) -> str:
    """Row 12: start a second job while the first one runs; the second must name the first, and exit with code 75."""
    with context.baseline.copy("second-job") as folder:
        with processes.only_one(folder / ".locks" / "run.lock", "feedforward run"):
            done = workspace.run(folder, *workspace.FEEDFORWARD, "run")
            workspace.one_line(done, 75, f"process {os.getpid()} (feedforward run) is running here; wait")
        first = workspace.start(folder, *DVC, "repro", "--force", "--single-item", "validate")
        _wait_for(folder / ".locks", "validate-*.holder")
        os.killpg(first.pid, signal.SIGSTOP)  # on a busy machine, it might end before the second job looks at the lock
        try:
            workspace.one_line(workspace.run(folder, *REPRO), 75, f"process {first.pid} (", "is running here; wait")
        finally:
            os.killpg(first.pid, signal.SIGCONT)
        assert first.wait(workspace.TIMEOUT) == 0, workspace.output(folder)
        context.baseline.check_outputs(folder)
    return "`feedforward run` during another one and during `dvc repro`: exit code 75, the running process is named"


def _wait_for(folder: Path, pattern: str) -> None:
    end = time.monotonic() + workspace.TIMEOUT
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end, f"no {pattern} in {folder}"
        time.sleep(0.02)
