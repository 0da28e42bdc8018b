"""Runs Prefect on one machine: `python -m pipelines.operations server | deploy | pool NAME | worker POOL | retrain`."""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedforward.config.schema import Params, load_params
from feedforward.core import hosts, paths
from feedforward.core.errors import Busy, FeedforwardError, run_reporting_errors
from feedforward.core.redaction import redact
from pipelines import environment, interruption, job_templates, prefect_server
from pipelines.host_check import LOOPBACK

if TYPE_CHECKING:
    from pipelines.gpu_slots import Device

POOLS = ("cpu", "gpu")
PORT = 4200
MAX_PORT = 2**16 - 1
HERE = Path(__file__).resolve().parents[1]  # the folder of prefect.yaml
SERVER_VARIABLES = {
    "PREFECT_SERVER_UI_API_URL": "/api",  # relative, so that it also works on ports other than 4200
    # leases on slots must survive a server restart; if kept in memory, the slot of a killed job would stay taken
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}


def serve(port: int, host: str, expose: bool, allowed: Sequence[str]) -> None:
    """Run Prefect's server with its UI until a signal ends it; its database is in $PREFECT_HOME.

    expose: allow an address that other machines can reach. allowed: host names that requests may be addressed to, in
    addition to those of the loopback address.

    Raises:
        ParamsError: other machines can reach `host`, and `expose` is not set.
        FeedforwardError: the port is in use, or this machine does not have the address `host`.
    """
    hosts.check(host, expose, "Prefect's server")
    os.environ |= SERVER_VARIABLES
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise FeedforwardError(f"{host}:{port}: {error.strerror}; choose another --port or --host") from None
    if not hosts.is_loopback(host):
        danger = f"anyone who can reach {host} can run code through its workers"
        print(f"warning: Prefect's server has no login: {danger}", file=sys.stderr)
    address = f"[{host}]" if ":" in host else host
    print(f"Prefect on http://{address}:{port}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
    prefect_server.run(port, host, LOOPBACK | set(allowed))


def work(pool: str) -> None:
    """Run a worker for a pool of the project; it starts each flow run as a process in this checkout."""
    _check_server()
    os.environ["FEEDFORWARD_ROOT"] = str(paths.root())
    _become("worker", "start", "--pool", prefix(load_params()) + pool, "--type", "process")


def deploy() -> None:
    """Create missing pools; create or update GPU slots, automations and deployments, scheduled as in params.yaml."""
    _check_server()
    from pipelines import request_alerts, zombie_flow_runs

    params = load_params()
    name_prefix, other_checkout = prefix(params), asyncio.run(_other_checkout(params))
    asyncio.run(_make_pools(params))
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "prefect.yaml"]
    result = subprocess.run(
        command, cwd=HERE, env=os.environ | schedule_variables(params), capture_output=True, text=True, check=False
    )
    if result.returncode:
        output = redact(result.stdout)[-2000:] + redact(result.stderr)[-2000:]
        raise FeedforwardError("`prefect deploy` failed:", *output.splitlines())
    schedule = params.retraining.schedule
    when = (
        f"scheduled on the {schedule.pool} pool: {schedule.cron} {schedule.timezone}"
        if schedule.cron
        else "no schedule"
    )
    asyncio.run(zombie_flow_runs.deploy())
    block = asyncio.run(request_alerts.deploy(params))
    print(f"deployed: retraining/{name_prefix}cpu, retraining/{name_prefix}gpu; {when}")
    drift_schedule = "every 15 minutes" if params.serving.reservoir else "not scheduled, since serving.reservoir is 0"
    print(f"deployed: request-drift/{name_prefix}watch; {drift_schedule}; alerts go to the block {block}")
    if params.retraining.notify not in (None, block):
        print(f"{params.retraining.notify}: there is no such block yet; create it, then run `make deploy` again")
    if other_checkout:
        remedy = "if these are different projects, give one of them another `project` in params.yaml"
        print(
            f"retraining/{name_prefix}cpu was deployed from {other_checkout} before: workers of both run it; {remedy}",
            file=sys.stderr,
        )


def schedule_variables(params: Params) -> dict[str, str]:
    """Environment variables that prefect.yaml uses. Prefect requires a time even for an inactive schedule."""
    schedule = params.retraining.schedule
    variables = {
        "FEEDFORWARD_CRON": schedule.cron or "0 3 * * *",
        "FEEDFORWARD_TIMEZONE": schedule.timezone,
        "FEEDFORWARD_PREFIX": prefix(params),
        "FEEDFORWARD_CHECKOUT": _checkout(),
    }
    active = {pool: schedule.cron is not None and schedule.pool == pool for pool in POOLS}
    active["drift"] = params.serving.reservoir > 0
    return variables | {f"FEEDFORWARD_ON_{name.upper()}": str(is_active).lower() for name, is_active in active.items()}


def prefix(params: Params) -> str:
    """What the names of pools and deployments begin with, so that projects can share a server: `PROJECT-` or empty."""
    return f"{params.project}-" if params.project else ""


def _checkout() -> str:
    """The tag of deployments that says which checkout created them."""
    return f"checkout: {paths.root()}"


async def _other_checkout(params: Params) -> str | None:
    """The other checkout that the project's retraining has been deployed from, if any."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(f"retraining/{prefix(params)}cpu")
        except ObjectNotFound:
            return None
    label = "checkout: "
    tags = [tag for tag in deployment.tags if tag.startswith(label) and tag != _checkout()]
    return tags[0].removeprefix(label) if tags else None


def retrain(force: bool, device: "Device") -> int:
    """Run the retraining flow now, with the server in PREFECT_API_URL or a temporary one; return the exit code."""
    load_params()  # so that a mistake in the file has an exit code of its own
    with prefect_server.serving() as wait_for_server:
        from pipelines import cancellation, retraining_flow

        wait_for_server()
        with cancellation.deletion_interrupts():
            state = cancellation.ending_when_cancelled(retraining_flow.retrain)(force, device, return_state=True)
    outcome = str(state.name).lower()
    if not state.is_completed():
        reason = state.message or "see mlruns/retrainings.jsonl"  # no message: it was cancelled just before its end
        raise FeedforwardError(f"retraining {'' if state.is_failed() else 'is '}{outcome}: {reason}")
    print(f"{outcome}: {state.message}")
    return Busy.exit_code if state.name == "Skipped" else 0


def add_pool(name: str, kind: str) -> None:
    """Create a Docker or Kubernetes pool instead of a process pool; call this before `deploy`.

    Raises:
        FeedforwardError: a pool of that name exists, or there is no server.
    """
    _check_server()
    name = prefix(load_params()) + name
    template = job_templates.template(os.environ["PREFECT_API_URL"], kind)
    if not asyncio.run(_create_pool(name, kind, template)):
        raise FeedforwardError(f"{name}: the pool already exists; `prefect work-pool delete {name}` removes it")
    print(f"created: {name} ({kind})")


async def _create_pool(name: str, kind: str, template: dict[str, Any]) -> bool:
    """Create the pool unless it exists; return whether it is new. An existing pool keeps its type and settings."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    async with get_client() as client:
        try:
            await client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
        except ObjectAlreadyExists:
            return False
    return True


async def _make_pools(params: Params) -> None:
    from prefect.client.orchestration import get_client
    from prefect.workers.process import ProcessWorker

    from pipelines.gpu_slots import LIMIT

    for pool in POOLS:
        await _create_pool(prefix(params) + pool, "process", ProcessWorker.get_default_base_job_template())
    async with get_client() as client:
        await client.upsert_global_concurrency_limit_by_name(LIMIT, params.retraining.gpus)


def _check_server() -> None:
    environment.drop_unusable_proxies()
    address = os.environ.setdefault("PREFECT_API_URL", f"http://127.0.0.1:{PORT}/api")
    prefect_server.check(
        address, "start one with `python -m pipelines.operations server` (`make server`) in another terminal"
    )


def _become(*arguments: str) -> None:
    """Replace this process with Prefect's command, so that signals reach it."""
    os.execv(sys.executable, [sys.executable, "-m", "prefect", *arguments])  # noqa: S606


def _port(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MAX_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be an integer between 1 and {MAX_PORT}, got {text}")


def main(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; the message of an error is printed."""
    parser = argparse.ArgumentParser(prog="pipelines.operations", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("server")
    server.add_argument("--port", type=_port, default=PORT)
    server.add_argument("--host", default="127.0.0.1", help="address to listen on; the server has no authentication")
    server.add_argument("--expose", action="store_true", help="allow an address that other machines can reach")
    server.add_argument("--allow-host", action="append", default=[], help="additional host name to allow in requests")
    commands.add_parser("worker").add_argument("pool", choices=POOLS)
    commands.add_parser("deploy")
    pool = commands.add_parser("pool")
    pool.add_argument("name", choices=POOLS)
    pool.add_argument("--type", choices=job_templates.POOL_TYPES, required=True)
    retraining = commands.add_parser("retrain")
    retraining.add_argument("--force", action="store_true", help="train even if there is no reason to")
    retraining.add_argument("--device", choices=POOLS, default="cpu")
    options = parser.parse_args(arguments)
    actions: dict[str, Callable[[], int | None]] = {
        "server": lambda: serve(options.port, options.host, options.expose, options.allow_host),
        "worker": lambda: work(options.pool),
        "deploy": deploy,
        "pool": lambda: add_pool(options.name, options.type),
        "retrain": lambda: retrain(options.force, options.device),
    }
    if options.command != "retrain":
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")

    def run() -> int | None:
        environment.apply()
        return actions[options.command]()

    return interruption.reporting_interruption(lambda: run_reporting_errors(run))


if __name__ == "__main__":
    interruption.leave(main(sys.argv[1:]))
