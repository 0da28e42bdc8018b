"""The retraining flow: look for reasons to train, decide, run `dvc repro` and the promotion gate, and write a report.

Only one retraining runs at a time. It may be killed at any point and started again: either all new feedback or
none is added to the snapshot, DVC and the fingerprints show which work is done, an interrupted promotion is completed,
and a run on which the gate has not decided is a reason to continue. Every outcome is recorded.
"""

import asyncio
import inspect
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from feedforward.config import file_values
from feedforward.config.schema import Params, load_params
from feedforward.core import paths
from feedforward.core.errors import Busy, DataError, FeedforwardError, TrackingError, os_error_line
from feedforward.core.redaction import redact
from feedforward.data import feedback
from feedforward.experiments import runner
from feedforward.promotion import promote as gate
from feedforward.retraining import policy, report
from feedforward.retraining.policy import Decision, Observations
from pipelines import (
    dvc_repro,
    environment,
    gpu_slots,
    locks,
    log_notification,  # noqa: F401  so that Prefect can load blocks of this type
    prefect_logs,
    retraining_summary,
    run_artifacts,
)
from pipelines.gpu_slots import Device

NAMES_SHOWN = 3  # per kind of change
CODE = ("src/", "pipelines/", "requirements/")  # a change below these is a change of the code, not of the data


def _run_name() -> str:
    """The name shown in the list of runs: start time in UTC, and device."""
    return f"retraining {datetime.now(UTC):%Y-%m-%d %H:%M} {runtime.flow_run.parameters.get('device', 'cpu')}"


@flow(name="retraining", flow_run_name=_run_name, persist_result=False)
def retrain(force: bool = False, device: Device = "cpu") -> State[Any]:
    """Retrain if there is a reason, and let the gate decide. Final states: Trained, Unchanged, Skipped or Failed.

    force: train even if there is no reason to; finished runs are not repeated. device: where to train.
    """
    environment.apply()
    prefect_logs.omit_tracebacks()
    get_run_logger().info("in %s on %s", paths.root(), platform.node())
    params: Params | None = None
    try:
        params = load_params()
        with locks.job("retraining"):
            return _retrain(params, force, device)
    except Busy as error:
        _end_early(params, f"skipped: {error}", "skipped", problem=str(error))
        return Completed(name="Skipped", message=str(error))
    except Exception as error:
        # The state goes to Prefect's database, and a library's message may contain an address with a password.
        problem = redact(_line(error) or type(error).__name__)
        _end_early(params, f"failed: {problem}", "failed", problem=problem)
        if not isinstance(error, FeedforwardError | OSError):
            get_run_logger().exception("unexpected error")
        return Failed(message=problem)
    except BaseException:  # Ctrl-C, SIGTERM or a cancellation in Prefect
        _end_early(params, "interrupted; the next retraining continues", "interrupted")
        raise


def _end_early(params: Params | None, text: str, outcome: str, **fields: Any) -> None:
    """Record why the flow ends early, then send `text`, which may take long, or be stopped, on a slow network.

    Failing to record, for instance on a full disk, must hide neither the reason nor the message.
    """
    try:
        policy.record(outcome, None, **fields)
    except (FeedforwardError, OSError) as error:
        get_run_logger().warning("the outcome (%s) was not recorded: %s", outcome, redact(_line(error)))
    finally:
        _notify(_block(params), text)


def _line(error: Exception) -> str:
    """The reason in one line; that of an OSError names the file first and has no error number."""
    return os_error_line(error) if isinstance(error, OSError) else str(error)


def plan(params: Params, force: bool = False) -> Decision:
    """The decision that `retrain` would make now, with reasons. Nothing is trained, promoted or recorded."""
    now = datetime.now(UTC)
    observations, unobserved = _observe_all(params, lambda name: policy.observe(params, name, now))
    return _decide(params, observations, unobserved, find_changes.fn(), force)


def _observe_all(
    params: Params, observe_one: Callable[[str], Observations]
) -> tuple[dict[str, Observations], list[str]]:
    """What is known about each dataset, and a line about each that cannot be observed.

    A dataset cannot be observed if its data or records are damaged, or if the tracking server does not answer. Even
    then, changed inputs are a reason to train.
    """
    observations: dict[str, Observations] = {}
    unobserved: list[str] = []
    for name in params.datasets:
        try:
            observations[name] = observe_one(name)
        except (DataError, TrackingError) as error:
            unobserved.append(redact(f"{name}: {error}"))
    return observations, unobserved


def _decide(
    params: Params,
    observations: Mapping[str, Observations],
    unobserved: Sequence[str],
    changed: Sequence[str],
    force: bool,
) -> Decision:
    decision = policy.decide(params, observations, changed, force)
    return replace(decision, remarks=[*unobserved, *decision.remarks])


def _retrain(params: Params, force: bool, device: Device) -> State[Any]:
    dvc_repro.repair(paths.root())
    observations, unobserved = _observe_all(params, lambda name: observe(params, name))
    decision = _decide(params, observations, unobserved, find_changes(), force)
    samples = {name: {"new": observed.new, "refused": observed.refused} for name, observed in observations.items()}
    outcomes: dict[str, str] = {}
    problems = unobserved
    if decision.retrain:
        policy.record("started", decision, samples=samples)
        with gpu_slots.computing_on(device, params.retraining.cpu_fallback) as processor:
            get_run_logger().info("%s; on %s", decision.text, processor)
            outcomes, undecided = _promote_all(train(params))
        problems = [*unobserved, *undecided]
    page = report.write(params, decision, observations, outcomes)
    markdown = retraining_summary.text(params, decision, observations, outcomes, page)
    run_artifacts.publish("retraining", markdown, "Reasons, drift, the gate's verdicts")
    outcome = "failed" if problems else "trained" if decision.retrain else "unchanged"
    policy.record(outcome, decision, samples=samples, gate=outcomes)
    line = _summary(decision, outcomes, unobserved)
    _notify(params.retraining.notify, f"{line}; {page.relative_to(paths.root())}")
    return Failed(message="; ".join(problems)) if problems else Completed(name=outcome.capitalize(), message=line)


def _promote_all(params: Params) -> tuple[dict[str, str], list[str]]:
    """Let the gate decide on each dataset except demos, even if it fails for others; return verdicts and errors."""
    outcomes: dict[str, str] = {}
    problems: list[str] = []
    for name, dataset in params.datasets.items():
        if dataset.demo:
            continue
        try:
            outcomes[name] = promote(params, name)
        except (FeedforwardError, OSError) as error:
            outcomes[name] = f"the gate could not decide: {redact(_line(error))}"
            problems.append(f"{name}: {outcomes[name]}")
    return outcomes, problems


def _summary(decision: Decision, outcomes: Mapping[str, str], unobserved: Sequence[str]) -> str:
    """The decision, the gate's verdicts, and the datasets that could not be observed, in one line."""
    remarks = unobserved if decision.retrain else []  # otherwise, the text of the decision contains them
    return "; ".join([decision.text, *(f"{name}: {line}" for name, line in outcomes.items()), *remarks])


# Prefect's cache is off: DVC, the fingerprints and the gate determine what is up to date.
@task(task_run_name="observe {name}", cache_policy=NO_CACHE, persist_result=False)
def observe(params: Params, name: str) -> Observations:
    """Complete an interrupted promotion, then observe the dataset: feedback, drift, and the age of its champion."""
    policy.complete_interrupted_promotion(params, name)
    return policy.observe(params, name, datetime.now(UTC))


@task(cache_policy=NO_CACHE, persist_result=False)
def find_changes() -> list[str]:
    """Describe what has changed since the last training, in one line per kind of change.

    Raises:
        FeedforwardError: `dvc status` failed.
    """
    dvc_repro.work_without_git(paths.root())
    # only the stages in dvc.yaml: DVC may also track the user's own files, which no training brings up to date
    command = [sys.executable, "-m", "dvc", "status", "--json", "dvc.yaml"]
    result = subprocess.run(command, cwd=paths.root(), capture_output=True, text=True, check=False)
    if result.returncode:
        reason = _reason(result.stderr or result.stdout, result.returncode)
        raise FeedforwardError(f"`dvc status` failed: {reason}; fix it, then run again")
    return describe(json.loads(result.stdout))


def _reason(output: str, code: int) -> str:
    """The error in the output of DVC, which writes a blank line and the address of its support below some errors."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [f"exit code {code}"])[-1].removeprefix("ERROR: ")


def describe(status: Mapping[str, Any]) -> list[str]:
    """Describe the output of `dvc status --json`, one line per kind of change."""
    changes: dict[str, dict[str, None]] = {}  # description → names, in order and without duplicates
    for stage, entries in status.items():
        for kind, states in _changes(entries):
            if kind == "changed command" or "new" in states.values():
                changes.setdefault("stages new or redefined", {})[stage] = None
                break
            for path, state in states.items():
                if kind == "changed outs":
                    changes.setdefault("results changed or missing", {})[path] = None
                elif path == "params.yaml":
                    changes.setdefault("parameters changed", {}).update(dict.fromkeys(state))
                else:
                    category = "code changed" if path.startswith(CODE) else "data changed"
                    changes.setdefault(category, {})[path] = None
    return [f"{description}: {_abbreviate(list(names))}" for description, names in changes.items()]


def _changes(entries: Sequence[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The changes in a stage: their kind, and path → state; for a parameter file, the state is a mapping by name."""
    for entry in entries:
        yield from entry.items() if isinstance(entry, dict) else [(entry, {})]


def _abbreviate(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


@task(cache_policy=NO_CACHE, persist_result=False)
def train(params: Params) -> Params:
    """Add new feedback to the snapshots, bring everything up to date, and return the parameters to decide with.

    These are read again, because the stages read params.yaml themselves, and it may have been edited in the meantime.

    Raises:
        FeedforwardError: DVC or a stage failed and printed the reason.
    """
    for name, dataset in params.datasets.items():
        feedback.take(name, dataset, params.retraining.use_feedback, params.retraining.review)
    dvc_repro.repro(paths.root())
    trained = load_params()
    runner.log_comparison(trained)
    return trained


@task(task_run_name="promote {name}", cache_policy=NO_CACHE, persist_result=False)
def promote(params: Params, name: str) -> str:
    """Let the gate decide on the latest run of a dataset; return its verdict.

    Raises:
        FeedforwardError: the gate could not decide.
    """
    try:
        return gate.promote(params, name).sentence
    except gate.Refused as error:
        return str(error)


def _block(params: Params | None) -> str | None:
    """The notification block that params.yaml names, if any. params: None if they could not be loaded."""
    if params is not None:
        return params.retraining.notify
    try:
        return str(file_values.read_cached(paths.params())["retraining"]["notify"] or "") or None
    except (FeedforwardError, OSError, KeyError, TypeError):
        return None


def _notify(notification_block: str | None, text: str) -> None:
    """Write to the log, and send to the notification block, if any; a failure to send is a warning."""
    text = redact(text)
    get_run_logger().info(text)
    if notification_block:
        try:
            block: Any = Block.load(notification_block)
            sent = block.notify(text, subject="feedforward: retraining")
            if inspect.iscoroutine(sent):  # of a block without a synchronous interface, such as LogNotification
                asyncio.run(sent)
        except Exception as error:
            get_run_logger().warning("%s: the message was not sent: %s", notification_block, redact(str(error)))
