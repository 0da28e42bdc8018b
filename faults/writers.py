"""Row 14: eight processes write 200 points each to a new store; each runs `python -m faults.writers PART`."""

import contextlib
import sqlite3
import subprocess
import sys

from faults import workspace
from faults.context import Context
from feedforward import tracking
from feedforward.analysis import run_result
from feedforward.core import atomic_files

RUNS, EPOCHS = 10, 20  # per process, which makes 200 points


def together(context: Context) -> str:
    """Row 14: no point is lost or stored twice."""
    processes = context.count(8, 2)
    folder = context.folder / "writers"
    folder.mkdir()
    workspace.change(folder, workspace.tiny())
    command = [sys.executable, "-m", "faults.writers"]
    jobs = [
        subprocess.Popen(
            [*command, str(part)], cwd=folder, env=workspace.environment(folder), stderr=subprocess.PIPE, text=True
        )
        for part in range(processes)
    ]
    messages = "".join(job.communicate(timeout=workspace.TIMEOUT)[1] for job in jobs)
    assert [job.returncode for job in jobs] == [0] * processes, messages[-1000:]
    assert messages == "", messages[-1000:]
    query = "SELECT value FROM metrics WHERE key = 'loss' AND step > 0"
    with contextlib.closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
        stored = sorted(value for (value,) in connection.execute(query))
    expected = [value for part in range(processes) for run in range(RUNS) for value in _curve(part, run)]
    assert stored == expected, f"{len(set(stored) & set(expected))} of {len(expected)} points, {len(stored)} rows"
    return f"{processes} processes: {len(stored):,} of {len(expected):,} points, none twice, no warning"


def _curve(part: int, run: int) -> list[float]:
    return [float((part * RUNS + run) * EPOCHS + epoch) for epoch in range(EPOCHS)]


def write(part: int) -> None:
    """Write the runs of process number `part`."""
    store = tracking.open_store()
    store.reconcile()  # as every training does when it starts
    for run in range(RUNS):
        digest = atomic_files.digest([part, run])
        tags = tracking.RunTags("points", "original", "fair", "replica", digest, digest, part * RUNS + run)
        result = run_result.RunResult(
            "points", "original", part * RUNS + run, "fair", "replica", {"loss": _curve(part, run)}, {}, digest
        )
        store.finish(store.start(tags, f"{part} {run}"), result=result)


if __name__ == "__main__":
    write(int(sys.argv[1]))
