"""Rows 8 and 9 of docs/reliability.md: kill -9 during the steps on the way from raw files to a champion.

Row 8 kills the job's whole process group at random moments and, at every crash point, only the process that reaches it.
Row 9 kills only `dvc`, at random moments.
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
EXIT_TIMEOUT = 10.0  # s; all processes in the workspace must exit within this time after a kill


@dataclass(frozen=True)
class Step:
    """A step on the way from raw files to a champion.

    command: the command to kill. rerun: the command to run after the kill. undo: undoes the step in a workspace in
    which the pipeline has run, so that `command` has something to do.
    """

    command: tuple[str, ...]
    rerun: tuple[str, ...]
    undo: Callable[[Path], None] = lambda _: None


def _remove_files(folder: Path) -> None:
    for name in ("raw", "collected"):
        shutil.rmtree(folder / "data" / name)


def _remove_store(folder: Path) -> None:
    shutil.rmtree(folder / "mlruns")


def _empty_store(folder: Path) -> None:
    _remove_store(folder)
    shutil.copytree(folder / workspace.EMPTY_STORE, folder / "mlruns")


def _stage(name: str, remove: Callable[[Path], None] = lambda _: None) -> Step:
    """Return the step that runs a DVC stage. It is undone by `remove` and by deleting DVC's record of the stage."""

    def undo(folder: Path) -> None:
        workspace.forget_stage(folder, name)
        remove(folder)

    return Step((*DVC, "repro", "--force", "--single-item", name), REPRO, undo)


_PROMOTE = (*FEEDFORWARD, "promote", NAME)
_WRITE = (sys.executable, "-m", "faults.writers")  # creates the store, if there is none, and logs runs
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
# The crash points (atomic_files.crash_point) in these steps, each with its step; a test compares this with the code.
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
SHORT_POINTS = (  # the crash points of a short run
    "vectorize.before_rename",
    "vectorize.between_renames",
)


@dataclass(frozen=True)
class Reference:
    """What undisturbed steps produce, to compare with killed steps, and how long they take, to draw moments for kills.

    answer: the champion's answer for SAMPLE. rerun_environment: environment variables for the commands that run after
    the kills; they make these commands share one Prefect server.
    """

    baseline: Baseline
    seconds: Mapping[str, float]
    answer: str
    rerun_environment: Mapping[str, str] = field(default_factory=dict)

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

    A line with the decision `finished` completes the interrupted change that the previous line records, and repeats its
    `before`.
    """
    for previous, line in zip(({"before": None, "champion": None}, *lines), lines, strict=False):
        expected = previous["before"] if line["decision"] == "finished" else previous["champion"]
        assert line["before"] == expected, f"a gap in the audit log: {previous}, {line}"


def kill_groups(context: Context) -> str:
    """Row 8: kill a job's process group at random moments and, at every crash point, the process that reaches it."""
    if context.short:
        return _kill_groups(context, ("fetch", "vectorize"), {})
    with prefect_server.temporary_server(context.folder / "prefect") as (address, wait):
        wait()
        return _kill_groups(context, tuple(STEPS), {"PREFECT_API_URL": address})


def _kill_groups(context: Context, steps: Sequence[str], rerun_environment: Mapping[str, str]) -> str:
    reference = replace(measure(context.baseline, steps), rerun_environment=rerun_environment)
    moments = draw_moments(reference.seconds, context.count(100, 2), SEED)
    points = [(POINTS[point], point) for point in (SHORT_POINTS if context.short else POINTS)]
    trials = {f"{step} after {delay:.2f} s": partial(_kill_at, reference, step, delay) for step, delay in moments}
    trials |= {point: partial(_kill_at_point, reference, step, point) for step, point in points}
    results = run_trials(trials)
    kills = sum(results[: len(moments)])
    return (
        f"{len(moments)} of {len(moments)} random moments ({kills} hit a running job),"
        f" {len(points)} of {len(points)} crash points: the same bytes as without a kill, no run lost or duplicated"
    )


def kill_dvc_only(context: Context) -> str:
    """Row 9: kill only `dvc` at random moments."""
    steps = ("vectorize",) if context.short else ("vectorize", "validate", "train", "compare")
    reference = measure(context.baseline, steps)
    moments = draw_moments(reference.seconds, context.count(12, 1), SEED + 1)
    survival_seconds = run_trials(
        {f"{step} after {delay:.2f} s": partial(_kill_dvc, reference, step, delay) for step, delay in moments}
    )
    return (
        f"{len(survival_seconds)} of {len(survival_seconds)} random moments: the same bytes as without a kill,"
        f" no process left after {max(survival_seconds):.1f} s"
    )


def measure(baseline: Baseline, steps: Sequence[str]) -> Reference:
    """Run each step undisturbed in a copy of the baseline, measure its time, and check its outputs."""
    trials = {name: partial(_run_undisturbed, baseline, name) for name in steps}
    results = dict(zip(steps, run_trials(trials), strict=True))
    answer = results["promote"][1] if "promote" in results else ""
    return Reference(baseline, {name: seconds for name, (seconds, _) in results.items()}, answer)


def _run_undisturbed(baseline: Baseline, name: str, _number: int) -> tuple[float, str]:
    """Call `_measure_step` without the number that `run_trials` gives each trial, so that its cache works."""
    return _measure_step(baseline, name)


@cache
def _measure_step(baseline: Baseline, name: str) -> tuple[float, str]:
    """Run a step; return its duration in seconds and, after `promote`, the champion's answer."""
    step = STEPS[name]
    # rows 8 and 9 may run at the same time, in different threads, and measure the same step
    with baseline.copy(f"measured-{name}-{threading.get_ident()}") as folder:
        step.undo(folder)
        began = time.monotonic()
        done = workspace.run(folder, *step.command)
        seconds = time.monotonic() - began
        assert done.returncode == 0, f"{name}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
        baseline.check_outputs(folder)
        return seconds, _answer(folder) if name == "promote" else ""


def _answer(folder: Path) -> str:
    """Return the champion's answer for SAMPLE, as JSON."""
    done = workspace.run(folder, *FEEDFORWARD, "predict", NAME, SAMPLE, "--json")
    assert done.returncode == 0, done.stderr[-500:]
    return json.dumps(json.loads(done.stdout)["answers"])


def draw_moments(seconds: Mapping[str, float], count: int, seed: int) -> list[tuple[str, float]]:
    """Draw moments, each as (step, seconds after its start): the steps in turn, the times uniformly distributed."""
    rng, steps = random.Random(seed), list(seconds)
    return [(step, rng.uniform(0, seconds[step])) for step in (steps[k % len(steps)] for k in range(count))]


def run_trials(trials: Mapping[str, Callable[[int], T]]) -> list[T]:
    """Call the functions, several at a time, each with the number of its trial; return their results in order.

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

    with ThreadPoolExecutor(workspace.job_count()) as pool:
        results = list(pool.map(attempt, range(len(trials)), trials))
    assert not failures, f"{len(failures)} of {len(trials)} failed; {failures[0]}"
    return [value for value in results if value is not None]


def _kill_at(reference: Reference, name: str, delay: float, number: int) -> bool:
    """Start a step, kill it after `delay` seconds unless it has ended, and rerun it; return whether it was killed."""
    with reference.baseline.copy(f"killed-{number}") as folder:
        STEPS[name].undo(folder)
        job = workspace.start(folder, *STEPS[name].command)
        time.sleep(delay)
        killed = job.poll() is None
        if killed:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
        workspace.wait_until_idle(folder, EXIT_TIMEOUT)
        _rerun(reference, name, folder)
    return killed


def _kill_at_point(reference: Reference, name: str, point: str, number: int) -> bool:
    """Run a step so that it kills itself at a crash point, and rerun it. DVC's output reports the kill of a stage."""
    with reference.baseline.copy(f"killed-{number}") as folder:
        STEPS[name].undo(folder)
        done = workspace.run(folder, *STEPS[name].command, FAULT=point)
        killed = done.returncode == -signal.SIGKILL or "exited with -9" in done.stdout + done.stderr
        assert killed, f"{point} was not reached: {done.stdout[-300:]}{done.stderr[-300:]}"
        _rerun(reference, name, folder)
    return True


def _kill_dvc(reference: Reference, name: str, delay: float, number: int) -> float:
    """Start a step, kill only `dvc` after `delay` seconds, and rerun it; return how long child processes survived."""
    with reference.baseline.copy(f"orphaned-{number}") as folder:
        STEPS[name].undo(folder)
        job = workspace.start(folder, *STEPS[name].command)
        time.sleep(delay)
        job.kill()
        job.wait()
        seconds = workspace.wait_until_idle(folder, EXIT_TIMEOUT)
        _rerun(reference, name, folder)
    return seconds


def _rerun(reference: Reference, name: str, folder: Path) -> None:
    """Run the step's `rerun` command after a kill, and check the outputs."""
    done = workspace.run(folder, *STEPS[name].rerun, **reference.rerun_environment)
    assert done.returncode == 0, f"the run after the kill failed: {done.stdout[-1000:]}{done.stderr[-1000:]}"
    reference.check_outputs(folder, name)
