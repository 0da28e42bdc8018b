"""Rows 8 and 9 of docs/reliability.md: kill -9 at random moments and at every crash point.

Row 8 kills the whole process group, row 9 only `dvc`.
"""

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from faults import workspace
from faults.context import SEED, Context
from faults.workspace import DVC, FEEDFORWARD, NAME, REPRO, Baseline
from feedforward.core import append_only_log
from pipelines import prefect_server

T = TypeVar("T")
SAMPLE = "a fine film"
GONE = 10.0  # s after which no process that dvc started may still run


@dataclass(frozen=True)
class Step:
    """A step on the way from files to a champion. command: the command to kill. again: the command to run afterwards.

    undo: undoes the step in a workspace in which the pipeline has run.
    """

    command: tuple[str, ...]
    again: tuple[str, ...]
    undo: Callable[[Path], None] = lambda _: None


def _remove_files(folder: Path) -> None:
    for name in ("raw", "collected"):
        shutil.rmtree(folder / "data" / name)


def _remove_store(folder: Path) -> None:
    shutil.rmtree(folder / "mlruns")


def _empty_store(folder: Path) -> None:
    _remove_store(folder)
    shutil.copytree(folder / workspace.EMPTY, folder / "mlruns")


def _stage(name: str, remove: Callable[[Path], None] = Step.undo) -> Step:
    def undo(folder: Path) -> None:
        workspace.forget(folder, name)
        remove(folder)

    return Step((*DVC, "repro", "--force", "--single-item", name), REPRO, undo)


_PROMOTE = (*FEEDFORWARD, "promote", NAME)
_WRITE = (sys.executable, "-m", "faults.writers")  # creates the store first
STEPS: Mapping[str, Step] = {
    "fetch": _stage(f"fetch@{NAME}", _remove_files),
    "vectorize": _stage(f"vectorize@{NAME}"),
    "validate": _stage("validate"),
    "baselines": _stage(f"baselines@{NAME}"),
    "store": Step((*_WRITE, "0"), (*_WRITE, "1"), _remove_store),
    "train": _stage("train@fair", _empty_store),
    "compare": _stage("compare"),
    "promote": Step(_PROMOTE, _PROMOTE),
}
# Each crash point (atomic_files.crash_point) and the step that reaches it; a test compares this list with the code.
POINTS: Mapping[str, str] = {
    "fetch.before_rename": "fetch",
    "collect.before_rename": "fetch",
    "write.before_rename": "vectorize",
    "vectorize.before_rename": "vectorize",
    "vectorize.between_renames": "vectorize",
    "data_docs.before_rename": "validate",
    "data_docs.between_renames": "validate",
    "validate.before_rename": "validate",
    "validate.between_renames": "validate",
    "baselines.before_rename": "baselines",
    "schema.before_rename": "store",
    "train.before_log": "train",
    "log.before_rename": "train",
    "log.between_renames": "train",
    "log.before_close": "train",
    "train.after_log": "train",
    "train.before_rename": "train",
    "compare.text.before_rename": "compare",
    "compare.figure.before_rename": "compare",
    "compare.before_rename": "compare",
    "compare.between_renames": "compare",
    "package.before_rename": "promote",
    "package.between_renames": "promote",
    "promote.before_register": "promote",
    "promote.before_alias": "promote",
    "promote.after_log": "promote",
    "promote.after_alias": "promote",
}
SHORT_POINTS = ("vectorize.before_rename", "vectorize.between_renames")


@dataclass(frozen=True)
class Reference:
    """Results and durations of undisturbed steps.

    answer: the champion's prediction. later: environment variables for the runs after the kills, which make these runs
    share one Prefect server.
    """

    baseline: Baseline
    seconds: Mapping[str, float]
    answer: str
    later: Mapping[str, str] = field(default_factory=dict)

    def check_outputs(self, folder: Path, step: str) -> None:
        """Check that a workspace has these results after `step` was killed and run again."""
        self.baseline.check_outputs(folder)
        runs = workspace.runs(folder / "mlruns" / "mlflow.db")
        assert not runs.get("RUNNING"), f"runs left RUNNING: {runs['RUNNING']}"
        finished = runs.get("FINISHED", [])
        assert len(finished) == len(set(finished)), f"duplicate runs: {sorted(finished)}"
        if step == "promote":
            assert _answer(folder) == self.answer, "the champion's answer differs"
            lines = list(append_only_log.read(folder / "mlruns" / "audit.jsonl"))
            assert lines[-1]["champion"] == 1, f"the audit log does not end with champion 1: {lines[-1]}"
            check_audit_log(lines)


def check_audit_log(lines: Sequence[Mapping[str, Any]]) -> None:
    """Check that an audit log is complete: each line's `before` is the previous line's `champion`.

    A line with the decision `finished` repeats the change on the previous line, which was interrupted.
    """
    for before, line in zip(({"before": None, "champion": None}, *lines), lines, strict=False):
        expected = before["before"] if line["decision"] == "finished" else before["champion"]
        assert line["before"] == expected, f"a gap in the audit log: {before}, {line}"


def kill_groups(context: Context) -> str:
    """Row 8: kill a job's whole process group at random moments, and its process at every crash point."""
    if context.short:
        return _kill_groups(context, ("fetch", "vectorize"), {})
    with prefect_server.temporary_server(context.folder / "prefect") as (address, wait):
        wait()
        return _kill_groups(context, tuple(STEPS), {"PREFECT_API_URL": address})


def _kill_groups(context: Context, steps: Sequence[str], later: Mapping[str, str]) -> str:
    reference = replace(measure(context.baseline, steps), later=later)
    moments = draw_moments(reference.seconds, context.count(100, 2), SEED)
    points = [(POINTS[point], point) for point in (SHORT_POINTS if context.short else POINTS)]
    trials = {f"{step} after {after:.2f} s": partial(_kill_at, reference, step, after) for step, after in moments}
    trials |= {point: partial(_kill_at_point, reference, step, point) for step, point in points}
    results = all_of(trials)
    alive = sum(results[: len(moments)])
    return (
        f"{len(moments)} of {len(moments)} random moments ({alive} hit a running job),"
        f" {len(points)} of {len(points)} crash points: the same bytes, no run lost or duplicated"
    )


def kill_dvc_only(context: Context) -> str:
    """Row 9: kill only `dvc` at random moments."""
    steps = ("vectorize",) if context.short else ("vectorize", "validate", "train", "compare")
    reference = measure(context.baseline, steps)
    moments = draw_moments(reference.seconds, context.count(12, 1), SEED + 1)
    delays = all_of(
        {f"{step} after {after:.2f} s": partial(_kill_dvc, reference, step, after) for step, after in moments}
    )
    return f"{len(delays)} of {len(delays)} random moments: the same bytes, no process left after {max(delays):.1f} s"


def measure(baseline: Baseline, steps: Sequence[str]) -> Reference:
    """Run each step undisturbed in a copy of the workspace, measure its time, and check its outputs."""
    results = dict(zip(steps, all_of({name: partial(_run_undisturbed, baseline, name) for name in steps}), strict=True))
    answer = results["promote"][1] if "promote" in results else ""
    return Reference(baseline, {name: seconds for name, (seconds, _) in results.items()}, answer)


def _run_undisturbed(baseline: Baseline, name: str, _number: int) -> tuple[float, str]:
    return _measure_step(baseline, name)


@cache
def _measure_step(baseline: Baseline, name: str) -> tuple[float, str]:
    """Run a step; return its duration in seconds and, after `promote`, the champion's answer."""
    step = STEPS[name]
    # two rows may measure the same step at the same time
    with baseline.copy(f"measured-{name}-{threading.get_ident()}") as folder:
        step.undo(folder)
        began = time.monotonic()
        done = workspace.run(folder, *step.command)
        seconds = time.monotonic() - began
        assert done.returncode == 0, f"{name}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
        baseline.check_outputs(folder)
        return seconds, _answer(folder) if name == "promote" else ""


def _answer(folder: Path) -> str:
    done = workspace.run(folder, *FEEDFORWARD, "predict", NAME, SAMPLE, "--json")
    assert done.returncode == 0, done.stderr[-500:]
    return json.dumps(json.loads(done.stdout)["answers"])


def draw_moments(seconds: Mapping[str, float], count: int, seed: int) -> list[tuple[str, float]]:
    """Draw moments, as (step, seconds after its start): steps in turn, moments uniformly over the step's duration."""
    rng, steps = random.Random(seed), list(seconds)
    return [(step, rng.uniform(0, seconds[step])) for step in (steps[k % len(steps)] for k in range(count))]


def all_of(trials: Mapping[str, Callable[[int], T]]) -> list[T]:
    """Run the trials, several at a time, each with its number as the argument; return their results.

    Raises:
        AssertionError: a trial failed; the message gives the number of failures and describes the first one.
    """
    failures: list[str] = []

    def attempt(number: int, name: str) -> T | None:
        try:
            return trials[name](number)
        except AssertionError as error:
            failures.append(f"{name}: {error}")
            return None

    with ThreadPoolExecutor(workspace.jobs()) as pool:
        results = list(pool.map(attempt, range(len(trials)), trials))
    assert not failures, f"{len(failures)} of {len(trials)} failed; {failures[0]}"
    return [value for value in results if value is not None]


def _kill_at(reference: Reference, name: str, after: float, number: int) -> bool:
    """Kill the job after `after` seconds, then run it again; return whether it was still running when it was killed."""
    with reference.baseline.copy(f"killed-{number}") as folder:
        STEPS[name].undo(folder)
        job = workspace.start(folder, *STEPS[name].command)
        time.sleep(after)
        alive = job.poll() is None
        if alive:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
        workspace.wait_until_idle(folder, GONE)
        _run_again(reference, name, folder)
    return alive


def _kill_at_point(reference: Reference, name: str, point: str, number: int) -> bool:
    """Let the job kill itself at a crash point, then run it again. If it is a stage, DVC reports that it was killed."""
    with reference.baseline.copy(f"killed-{number}") as folder:
        STEPS[name].undo(folder)
        done = workspace.run(folder, *STEPS[name].command, FAULT=point)
        died = done.returncode == -signal.SIGKILL or "exited with -9" in done.stdout + done.stderr
        assert died, f"{point} was not reached: {done.stdout[-300:]}{done.stderr[-300:]}"
        _run_again(reference, name, folder)
    return True


def _kill_dvc(reference: Reference, name: str, after: float, number: int) -> float:
    """Kill only `dvc`, then run it again; return how many seconds its child processes continued to run."""
    with reference.baseline.copy(f"orphaned-{number}") as folder:
        STEPS[name].undo(folder)
        job = workspace.start(folder, *STEPS[name].command)
        time.sleep(after)
        job.kill()
        job.wait()
        seconds = workspace.wait_until_idle(folder, GONE)
        _run_again(reference, name, folder)
    return seconds


def _run_again(reference: Reference, name: str, folder: Path) -> None:
    done = workspace.run(folder, *STEPS[name].again, **reference.later)
    assert done.returncode == 0, f"the run after the kill: {done.stdout[-1000:]}{done.stderr[-1000:]}"
    reference.check_outputs(folder, name)
