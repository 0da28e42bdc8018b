"""Row 14 of docs/reliability.md: eight processes each log 200 points to a new store.

Each process runs `python -m faults.writers NUMBER`.
"""

import contextlib
import sqlite3
import subprocess
import sys

from faults import workspace
from faults.context import Context
from feedforward import tracking
from feedforward.analysis import run_result
from feedforward.core import atomic_files

RUNS, EPOCHS = 10, 20  # runs per process and epochs per run: 200 points per process


def write_concurrently(context: Context) -> str:
    """Row 14: write from several processes at once; no point may be lost or stored twice, and no process may warn."""
    processes = context.count(8, 2)
    folder = context.folder / "writers"
    folder.mkdir()
    workspace.change_params(folder, workspace.tiny_params())
    command = [sys.executable, "-m", "faults.writers"]
    jobs = [
        subprocess.Popen(
            [*command, str(number)], cwd=folder, env=workspace.environment(folder), stderr=subprocess.PIPE, text=True
        )
        for number in range(processes)
    ]
    messages = "".join(job.communicate(timeout=workspace.TIMEOUT)[1] for job in jobs)
    assert [job.returncode for job in jobs] == [0] * processes, messages[-1000:]
    assert messages == "", messages[-1000:]
    query = "SELECT value FROM metrics WHERE key = 'loss' AND step > 0"
    with contextlib.closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
        stored = sorted(value for (value,) in connection.execute(query))
    expected = [value for number in range(processes) for run in range(RUNS) for value in _curve(number, run)]
    present = len(set(stored) & set(expected))
    assert stored == expected, f"{present} of {len(expected)} points are stored, in {len(stored)} rows"
    return f"{processes} processes: {len(stored):,} of {len(expected):,} points, none twice, no warning"


def _curve(number: int, run: int) -> list[float]:
    """Return the points of a run of process `number`; all points of all runs are different."""
    return [float((number * RUNS + run) * EPOCHS + epoch) for epoch in range(EPOCHS)]


def write(number: int) -> None:
    """Write the runs of process `number`."""
    store = tracking.open_store()
    store.reconcile()  # as every training job does when it starts
    for run in range(RUNS):
        digest = atomic_files.digest([number, run])
        tags = tracking.RunTags("writers", "original", "fair", "replica", digest, digest, number * RUNS + run)
        result = run_result.RunResult(
            "writers", "original", number * RUNS + run, "fair", "replica", {"loss": _curve(number, run)}, {}, digest
        )
        store.finish(store.start(tags, f"{number} {run}"), result=result)


if __name__ == "__main__":
    write(int(sys.argv[1]))
