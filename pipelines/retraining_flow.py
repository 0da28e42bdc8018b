"""The retraining flow: look, decide, `dvc repro`, the gate, tell. One at a time; what came of it is always recorded.

It may be killed anywhere and run again: samples are taken in whole or not at all, DVC and the fingerprints know what is
done, the gate finishes what was cut off, and a run that was trained but not decided on is a reason to go on.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from feedforward.config.schema import Params, load_params
from feedforward.core import paths
from feedforward.core.errors import Busy, DataError, FeedforwardError
from feedforward.data import feedback
from feedforward.promotion import promote as gate
from feedforward.retraining import policy, report
from feedforward.retraining.policy import Decision, Observations
from pipelines import dvc_repro, environment, gpu_slots, locks
from pipelines.gpu_slots import Device

SHOWN = 3  # names of what changed


@flow(name="retraining", persist_result=False)
def retrain(force: bool = False, device: Device = "cpu") -> State[Any]:
    """Train again if there is a reason, and let the gate decide. Its state: Trained, Unchanged or Skipped.

    force: train in any case, which leaves what it finds up to date. device: what trains.
    """
    environment.apply()
    params = load_params()
    try:
        with locks.job("retraining"), _telling(params):
            return _retrain(params, force, device)
    except Busy as error:
        policy.record("skipped", None, problem=str(error))
        _say(params, f"skipped: {error}")
        return Completed(name="Skipped", message=str(error))


@contextlib.contextmanager
def _telling(params: Params) -> Iterator[None]:
    """A failure is recorded and told before it ends the flow."""
    try:
        yield
    except Busy:
        raise
    except Exception as error:
        policy.record("failed", None, problem=str(error))
        _say(params, f"failed: {error}")
        raise


def _retrain(params: Params, force: bool, device: Device) -> State[Any]:
    dvc_repro.repair(paths.root())
    looks = {name: look(params, name) for name in params.datasets}
    decision = policy.decide(params, looks, changed(), force)
    samples = {name: {"new": seen.new, "refused": seen.refused} for name, seen in looks.items()}
    outcomes: dict[str, str] = {}
    if decision.retrain:
        policy.record("started", decision, samples=samples)
        with gpu_slots.computing_on(device, params.retraining.cpu_fallback) as where:
            get_run_logger().info("%s; on %s", decision.text, where)
            train(params)
            outcomes = {name: promote(params, name) for name, data in params.datasets.items() if not data.demo}
    page = report.write(params, decision, looks, outcomes)
    outcome = "trained" if decision.retrain else "unchanged"
    policy.record(outcome, decision, samples=samples, gate=outcomes)
    text = _summary(decision, outcomes)
    _say(params, f"{text}; {page.relative_to(paths.root())}")
    return Completed(name=outcome.capitalize(), message=text)


def _summary(decision: Decision, outcomes: Mapping[str, str]) -> str:
    return "; ".join([decision.text, *(f"{name}: {line}" for name, line in outcomes.items())])


# Prefect's cache is off: DVC, the fingerprints and the gate know what is up to date.
@task(cache_policy=NO_CACHE, persist_result=False)
def look(params: Params, name: str) -> Observations:
    """What speaks for a training on a data set."""
    return policy.observe(params, name, datetime.now(UTC))


@task(cache_policy=NO_CACHE, persist_result=False)
def changed() -> list[str]:
    """What training reads and is not as it was when it was last read: a line for parameters, code and data each.

    Raises:
        FeedforwardError: DVC cannot tell.
    """
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(command, cwd=paths.root(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise FeedforwardError(f"`dvc status` failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return describe(json.loads(done.stdout))


def describe(status: Mapping[str, Any]) -> list[str]:
    """Lines of what `dvc status --json` says."""
    found: dict[str, dict[str, None]] = {}  # in order, each once
    for stage, entries in status.items():
        for kind, places in _parts(entries):
            if kind == "changed command" or "new" in places.values():
                found.setdefault("not run in this form yet", {})[stage] = None
                break
            for place, how in places.items():
                if kind == "changed outs":
                    found.setdefault("results changed or missing", {})[place] = None
                elif place == "params.yaml":
                    found.setdefault("parameters changed", {}).update(dict.fromkeys(how))
                else:
                    found.setdefault("code changed" if "src/" in place else "data changed", {})[place] = None
    return [f"{what}: {_some(list(names))}" for what, names in found.items()]


def _parts(entries: Sequence[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What changed in a stage: the kind, and places with how they changed; parameters by name."""
    for entry in entries:
        yield from entry.items() if isinstance(entry, dict) else [(entry, {})]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@task(cache_policy=NO_CACHE, persist_result=False)
def train(params: Params) -> None:
    """Take new samples in and bring everything up to date.

    Raises:
        FeedforwardError: a stage failed; it has said why.
    """
    for name, dataset in params.datasets.items():
        feedback.take(name, dataset, params.retraining.use_feedback)
    dvc_repro.repro(paths.root())


@task(cache_policy=NO_CACHE, persist_result=False)
def promote(params: Params, name: str) -> str:
    """What the gate said of the latest run of a data set."""
    try:
        outcome = gate.promote(params, name)
    except (gate.Refused, DataError) as error:
        return str(error)
    version, decision = outcome.version.number, outcome.decision
    if not decision.promoted and outcome.champion == version:
        return f"version {version}: {decision.reason}"
    state = "is champion now" if decision.promoted else f"does not replace version {outcome.champion}"
    return f"version {version} {state}: {decision.reason}"


def _say(params: Params, text: str) -> None:
    """To the log, and to the block that params name; a message that cannot be sent is no failure."""
    get_run_logger().info(text)
    if params.retraining.notify:
        try:
            block: Any = Block.load(params.retraining.notify)
            block.notify(text, subject="feedforward: retraining")
        except Exception as error:
            get_run_logger().warning("%s: the message was not sent: %s", params.retraining.notify, error)
