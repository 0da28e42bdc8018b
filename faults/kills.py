"""Rows 8 and 9: kill -9 of the whole process group, or of `dvc` alone, at random moments and at every crash point."""

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
from faults.workspace import DVC, FEEDFORWARD, NAME, REPRO, Line
from feedforward.core import append_only_log
from pipelines import prefect_server

T = TypeVar("T")
SAMPLE = "a fine film"
GONE = 10.0  # s after which nothing that dvc started may be at work any more


@dataclass(frozen=True)
class Step:
    """A part of the way from files to a champion: what is killed, what is run then.

    ready: makes a workspace in which the line has run one in which the step is still to be done.
    """

    command: tuple[str, ...]
    again: tuple[str, ...]
    ready: Callable[[Path], None] = lambda _: None


def _without_files(folder: Path) -> None:
    for name in ("raw", "collected"):
        shutil.rmtree(folder / "data" / name)


def _without_store(folder: Path) -> None:
    shutil.rmtree(folder / "mlruns")


def _with_empty_store(folder: Path) -> None:
    _without_store(folder)
    shutil.copytree(folder / workspace.EMPTY, folder / "mlruns")


def _stage(name: str, prepare: Callable[[Path], None] = Step.ready) -> Step:
    def ready(folder: Path) -> None:
        workspace.forget(folder, name)
        prepare(folder)

    return Step((*DVC, "repro", "--force", "--single-item", name), REPRO, ready)


_PROMOTE = (*FEEDFORWARD, "promote", NAME)
_WRITE = (sys.executable, "-m", "faults.writers")  # makes the store first
STEPS: Mapping[str, Step] = {
    "fetch": _stage(f"fetch@{NAME}", _without_files),
    "vectorize": _stage(f"vectorize@{NAME}"),
    "validate": _stage("validate"),
    "store": Step((*_WRITE, "0"), (*_WRITE, "1"), _without_store),
    "train": _stage("train@fair", _with_empty_store),
    "compare": _stage("compare"),
    "promote": Step(_PROMOTE, _PROMOTE),
}
# Every armed point (storage.crash_point) and the step that passes it; a test holds this to the code.
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
    """What undisturbed steps leave and how long they take.

    answer: of the champion. later: environment of the run after a kill: a hundred need no Prefect server each.
    """

    line: Line
    seconds: Mapping[str, float]
    answer: str
    later: Mapping[str, str] = field(default_factory=dict)

    def same(self, folder: Path, step: str) -> None:
        """Hold a workspace to it."""
        self.line.same(folder)
        found = workspace.runs(folder / "mlruns" / "mlflow.db")
        assert not found.get("RUNNING"), f"runs left RUNNING: {found['RUNNING']}"
        finished = found.get("FINISHED", [])
        assert len(finished) == len(set(finished)), f"runs that are there twice: {sorted(finished)}"
        if step == "promote":
            assert _answer(folder) == self.answer, "the champion answers something else"
            lines = list(append_only_log.read(folder / "mlruns" / "audit.jsonl"))
            assert lines[-1]["champion"] == 1, f"not the champion of the audit log: {lines[-1]}"
            chained(lines)


def chained(lines: Sequence[Mapping[str, Any]]) -> None:
    """Hold an audit log to being complete: each line begins with the champion that the line before ended with.

    A line `finished` repeats the move of the line before, which was cut off.
    """
    for before, line in zip(({"before": None, "champion": None}, *lines), lines, strict=False):
        expected = before["before"] if line["decision"] == "finished" else before["champion"]
        assert line["before"] == expected, f"a gap in the audit log: {before}, {line}"


def of_the_group(context: Context) -> str:
    """Row 8."""
    if context.short:
        return _of_the_group(context, ("fetch", "vectorize"), {})
    with prefect_server.started(context.folder / "prefect") as (address, wait):
        wait()
        return _of_the_group(context, tuple(STEPS), {"PREFECT_API_URL": address})


def _of_the_group(context: Context, steps: Sequence[str], later: Mapping[str, str]) -> str:
    reference = replace(measure(context.line, steps), later=later)
    moments = drawn(reference.seconds, context.count(100, 2), SEED)
    points = [(POINTS[point], point) for point in (SHORT_POINTS if context.short else POINTS)]
    trials = {f"{step} after {after:.2f} s": partial(_killed_at, reference, step, after) for step, after in moments}
    trials |= {point: partial(_killed_by, reference, step, point) for step, point in points}
    seen = all_of(trials)
    alive = sum(seen[: len(moments)])
    return (
        f"{len(moments)} of {len(moments)} random moments ({alive} hit a living job),"
        f" {len(points)} of {len(points)} crash points: the same bytes, no run lost or doubled"
    )


def of_dvc_alone(context: Context) -> str:
    """Row 9."""
    steps = ("vectorize",) if context.short else ("vectorize", "validate", "train", "compare")
    reference = measure(context.line, steps)
    moments = drawn(reference.seconds, context.count(12, 1), SEED + 1)
    seen = all_of(
        {f"{step} after {after:.2f} s": partial(_orphaned, reference, step, after) for step, after in moments}
    )
    return f"{len(seen)} of {len(seen)}: the same bytes, nothing at work after {max(seen):.1f} s"


def measure(line: Line, steps: Sequence[str]) -> Reference:
    """Do each step undisturbed, in a copy: seconds, and whether forced again it leaves the same bytes."""
    seen = dict(zip(steps, all_of({name: partial(_seen, line, name) for name in steps}), strict=True))
    answer = seen["promote"][1] if "promote" in seen else ""
    return Reference(line, {name: seconds for name, (seconds, _) in seen.items()}, answer)


def _seen(line: Line, name: str, _number: int) -> tuple[float, str]:
    return _measured(line, name)


@cache
def _measured(line: Line, name: str) -> tuple[float, str]:
    """Seconds of a step, and what the champion answers after it."""
    step = STEPS[name]
    with line.copy(f"measured-{name}-{threading.get_ident()}") as folder:  # two rows may ask at once
        step.ready(folder)
        began = time.monotonic()
        done = workspace.run(folder, *step.command)
        seconds = time.monotonic() - began
        assert done.returncode == 0, f"{name}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
        line.same(folder)
        return seconds, _answer(folder) if name == "promote" else ""


def _answer(folder: Path) -> str:
    done = workspace.run(folder, *FEEDFORWARD, "predict", NAME, SAMPLE, "--json")
    assert done.returncode == 0, done.stderr[-500:]
    return json.dumps(json.loads(done.stdout)["answers"])


def drawn(seconds: Mapping[str, float], count: int, seed: int) -> list[tuple[str, float]]:
    """(step, seconds after its start): the steps in turn, the moments drawn evenly over the time that each takes."""
    numbers, steps = random.Random(seed), list(seconds)
    return [(step, numbers.uniform(0, seconds[step])) for step in (steps[k % len(steps)] for k in range(count))]


def all_of(trials: Mapping[str, Callable[[int], T]]) -> list[T]:
    """What the trials came to, several at a time; each is given its number.

    Raises:
        AssertionError: one failed; the message says how many, and what the first said.
    """
    failures: list[str] = []

    def attempt(number: int, name: str) -> T | None:
        try:
            return trials[name](number)
        except AssertionError as error:
            failures.append(f"{name}: {error}")
            return None

    with ThreadPoolExecutor(workspace.jobs()) as pool:
        found = list(pool.map(attempt, range(len(trials)), trials))
    assert not failures, f"{len(failures)} of {len(trials)} failed; {failures[0]}"
    return [value for value in found if value is not None]


def _killed_at(reference: Reference, name: str, after: float, number: int) -> bool:
    """Whether the job was still at work when it was killed."""
    with reference.line.copy(f"killed-{number}") as folder:
        STEPS[name].ready(folder)
        job = workspace.start(folder, *STEPS[name].command)
        time.sleep(after)
        alive = job.poll() is None
        if alive:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
        workspace.wait_until_alone(folder, GONE)
        _once_more(reference, name, folder)
    return alive


def _killed_by(reference: Reference, name: str, point: str, number: int) -> bool:
    """Killed where the code itself does it; under DVC the stage dies, and DVC says so."""
    with reference.line.copy(f"killed-{number}") as folder:
        STEPS[name].ready(folder)
        done = workspace.run(folder, *STEPS[name].command, FAULT=point)
        died = done.returncode == -signal.SIGKILL or "exited with -9" in done.stdout + done.stderr
        assert died, f"{point} was not passed: {done.stdout[-300:]}{done.stderr[-300:]}"
        _once_more(reference, name, folder)
    return True


def _orphaned(reference: Reference, name: str, after: float, number: int) -> float:
    """Seconds that what `dvc` had started went on after it."""
    with reference.line.copy(f"orphaned-{number}") as folder:
        STEPS[name].ready(folder)
        job = workspace.start(folder, *STEPS[name].command)
        time.sleep(after)
        job.kill()
        job.wait()
        went_on = workspace.wait_until_alone(folder, GONE)
        _once_more(reference, name, folder)
    return went_on


def _once_more(reference: Reference, name: str, folder: Path) -> None:
    done = workspace.run(folder, *STEPS[name].again, **reference.later)
    assert done.returncode == 0, f"the run after it: {done.stdout[-1000:]}{done.stderr[-1000:]}"
    reference.same(folder, name)
