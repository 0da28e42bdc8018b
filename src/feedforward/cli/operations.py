"""The commands for the tracking store and the registry: promote, rollback, history, retrain, sync, ui."""

import dataclasses
import errno
import json
import math
import os
import socket
import sys
import urllib.error
from typing import Annotated

import typer

from feedforward.cli.options import DatasetArgument, JsonOption
from feedforward.cli.output import escaped, message, print_table
from feedforward.core import http_requests
from feedforward.core.errors import FeedforwardError, ParamsError, TrackingError
from feedforward.core.redaction import shown

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


def promote(
    dataset: DatasetArgument,
    run: Annotated[
        str | None, typer.Option(help="ID of the final run, or a prefix of it. Default: the latest final run.")
    ] = None,
    skip_comparison: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Replace a champion that cannot be compared with the challenger; REASON is stored in the audit log."
            " If the two can be compared, the comparison decides.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a final run, and make its model the champion if it passes all checks and beats the current champion."""
    from feedforward.config.schema import load_params
    from feedforward.promotion import promote as promotion

    outcome = promotion.promote(load_params(), dataset, run, lambda text: print(text, file=sys.stderr), skip_comparison)
    if as_json:
        summary = {"dataset": dataset, "version": outcome.version.number, "champion": outcome.champion}
        decision = dataclasses.asdict(outcome.decision)
        # NaN: the class has no samples
        accuracy = [None if math.isnan(value) else value for value in outcome.decision.class_accuracy]
        print(json.dumps({**summary, **decision, "class_accuracy": accuracy}, indent=2))
        return
    print(f"{dataset} {outcome.sentence}")


def rollback(
    dataset: DatasetArgument,
    reason: Annotated[str, typer.Option(help="Reason for the rollback, stored in the audit log.")],
    to: Annotated[
        int | None, typer.Option(min=1, help="Earlier champion to roll back to. Default: the previous champion.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make an earlier champion the champion again.

    Only another rollback, not a promotion, can then make the replaced version the champion again.
    """
    from feedforward.config.schema import load_params
    from feedforward.core import reasons
    from feedforward.promotion.rollback import rollback as roll_back

    reason = reasons.clean(reason)
    version = roll_back(load_params(), dataset, to, reason, lambda text: print(text, file=sys.stderr))
    if as_json:
        print(json.dumps({"dataset": dataset, "champion": version.number, "reason": reason}, indent=2))
    else:
        print(f"{version.name} is now the champion: rolled back ({reason})")


def history(dataset: DatasetArgument, as_json: JsonOption = False) -> None:
    """Show which version was the champion, when, and why, as recorded in the audit log."""
    from rich.table import Column, Table

    from feedforward.config.schema import load_params
    from feedforward.promotion.history import history as champion_history

    load_params().dataset(dataset)
    record = champion_history(dataset)
    if as_json:
        print(json.dumps(dataclasses.asdict(record), indent=2, ensure_ascii=False))
        return
    unwrapped = [Column(name, no_wrap=True) for name in ("version", "since (UTC)", "until", "decision")]
    table = Table(*unwrapped, "reason", box=None, pad_edge=False)  # in a narrow terminal, only the reason is wrapped
    for period in record.periods:
        until = period.until[:19] if period.until else "now"
        table.add_row(str(period.version), period.since[:19], until, period.decision, escaped(period.reason))
    if record.periods:
        print_table(table)
    else:
        message(f"{dataset}: there has never been a champion")
    for remark in filter(None, (record.left_out, record.mismatch)):
        message(f"[yellow]{escaped(remark)}[/yellow]")


def retrain(
    force: Annotated[bool, typer.Option("--force", help="Train even without a reason.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done, and why.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train again if there is a reason (new samples, drift, changes), and promote models that beat their champions."""
    from feedforward.config.schema import load_params

    if not dry_run:
        if as_json:  # the stages print their progress to standard output
            raise ParamsError(["--json: applies only to --dry-run; add --dry-run, or leave out --json"])
        from pipelines import environment
        from pipelines import operations as prefect_operations

        environment.apply()
        raise typer.Exit(prefect_operations.retrain(force, "cpu"))
    from pipelines import retraining_flow

    decision = retraining_flow.plan(load_params(), force)
    if as_json:
        print(json.dumps(dataclasses.asdict(decision), indent=2, ensure_ascii=False))
        return
    print("would train and promote better models" if decision.retrain else "would not train: there is no reason to")
    for line in decision.reasons:
        print(f"  reason: {line}")
    for line in decision.remarks:
        print(f"  not a reason: {line}")


def sync(as_json: JsonOption = False) -> None:
    """Send the runs that were stored locally while the tracking server was down; no run is sent twice.

    Runs of jobs that were killed are closed as KILLED.
    """
    from feedforward.tracking import open_store

    store = open_store()
    result = store.sync()
    store.close_interrupted()
    if as_json:
        print(json.dumps({"sent": result.sent, "waiting": result.waiting, "problems": list(result.problems)}, indent=2))
    else:
        message(f"sent {result.sent}, waiting {result.waiting}")
    if result.waiting:
        raise FeedforwardError(
            "; ".join(result.problems) or "some runs could not be sent; run `feedforward sync` again"
        )


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    expose: Annotated[bool, typer.Option("--expose", help="Allow an address that other machines can reach.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Additional name to accept in the Host header; repeatable."),
    ] = None,
) -> None:
    """Start MLflow's user interface, with runs, curves and models."""
    from feedforward.core import hosts, paths
    from feedforward.tracking import open_store, settings

    hosts.check(host, expose, "MLflow")
    if not hosts.is_loopback(host):
        message(f"[yellow]warning: other machines can reach MLflow on {escaped(host)}, and it has no login[/yellow]")
    names = [name.lower() for name in allow_host or []]  # browsers send the Host header in lower case
    if wrong := next((name for name in names if "/" in name), None):
        problem = "must be a host name such as models.example, without https:// or a path"
        raise ParamsError([f"--allow-host: {problem}, got {shown(wrong)}"])
    address = settings.tracking_uri()
    if address.startswith(("http://", "https://")):
        _check_server(address)
        message(f"MLFLOW_TRACKING_URI points to a running server; open {escaped(_without_secrets(address))}")
        _print_views(_without_secrets(address))
        return
    _check_port(host, port)
    open_store()  # creates or migrates the database, and corrects artifact locations if the checkout was moved
    # In the environment, because the address may contain a password and other users can read a process's arguments
    os.environ["MLFLOW_BACKEND_STORE_URI"] = address
    allowed = [*LOOPBACK_HOSTS, *(f"{name}:{port}" for name in LOOPBACK_HOSTS), *names]
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join([*allowed, *(f"{name}:{port}" for name in names)])
    message(f"MLflow starts on http://{host}:{port} and answers after a few seconds  (stop with Ctrl-C)")
    _print_views(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    artifacts = (paths.store() / "artifacts").as_uri()
    os.execv(  # noqa: S606
        sys.executable,
        [sys.executable, "-m", "mlflow", "server", "--artifacts-destination", artifacts,
         "--host", host, "--port", str(port)],
    )  # fmt: skip


def _print_views(address: str) -> None:
    """For each dataset that has runs, print a link to MLflow's comparison of its variants."""
    from feedforward.config import protocols
    from feedforward.config.schema import load_params
    from feedforward.tracking import open_store
    from feedforward.tracking.experiment_pages import link

    try:
        params = load_params()
        store = open_store()
        for dataset in params.datasets:
            if experiment := store.experiment(dataset):
                url = link(address, experiment, protocols.main(params))
                # not wrapped, so that terminals recognize the link
                print(f"variants of {dataset}: {url}", file=sys.stderr)
    except FeedforwardError as error:
        message(f"[yellow]no links to the comparisons: {escaped(str(error))}[/yellow]")


def _check_server(address: str) -> None:
    try:
        http_requests.get(f"{address.rstrip('/')}/health", timeout=10, max_bytes=1)
    except urllib.error.HTTPError:
        return  # the server responds, even if only with an error such as a request to log in
    except OSError as error:
        raise TrackingError(f"{_without_secrets(address)}: the MLflow server does not answer ({error})") from None


def _without_secrets(address: str) -> str:
    from feedforward.core.redaction import redact

    return redact(address)


def _check_port(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise FeedforwardError(f"--port: {port} on {host} is in use; choose another") from None
        raise FeedforwardError(
            f"--host: cannot listen on {host}, port {port} ({error.strerror or error}); choose another address or port"
        ) from None
