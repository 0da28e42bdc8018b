"""Scheduled retraining with a real server, worker and deployments, from the schedule to the champion."""

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_prefect import ask, cancel
from live_servers import free_port
from waiting import until

from faults import ROOT
from faults.workspace import NAME, Completed, change_params, environment, prepare, tiny_params
from feedforward.core.errors import Busy
from pipelines import interruption

LABELED = 6  # number of labeled samples
pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


class Workspace:
    """A small workspace with its own Prefect server and worker, and an HTTP server that receives notifications."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.messages = folder, list[str]()
        self.listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = environment(folder, FEEDFORWARD_ROOT=str(folder), PREFECT_API_URL=self.api)
        self.processes: list[subprocess.Popen[bytes]] = []

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        messages = self.messages

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                messages.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def run(self, *command: str, **variables: str) -> Completed:
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def start(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}.log").open("wb")
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "pipelines.operations", *command],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )

    def answers(self, **headers: str) -> bool:
        """Return whether the server accepts a request with these headers."""
        request = urllib.request.Request(f"{self.api}/health", headers=headers)
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=10):
            return True
        return False

    def artifacts(self, key: str) -> Any:
        """Return the artifacts with this key on the server."""
        return ask(self.api, "artifacts", artifacts={"key": {"any_": [key]}})

    def log(self) -> list[dict[str, Any]]:
        """Return the log of retrainings."""
        path = self.folder / "mlruns" / "retrainings.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def logged(self, *outcomes: str) -> dict[str, Any] | None:
        """Return the first logged retraining with one of these outcomes."""
        return next((entry for entry in self.log() if entry["outcome"] in outcomes), None)

    def statuses(self) -> set[str]:
        """Return the statuses of the runs in MLflow's database, or none if there is no database yet."""
        address = f"file:{self.folder / 'mlruns' / 'mlflow.db'}?mode=ro"
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            return {status for (status,) in connection.execute("SELECT status FROM runs")}
        return set()

    def wait(self, condition: Callable[[], Any]) -> Any:
        def details() -> str:
            logs = "\n".join(path.read_text()[-3000:] for path in self.folder.glob("*.log"))
            return f"{self.log()}\n{logs}"

        return until(condition, 240, details)

    def close(self) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):  # a job that has ended
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        self.listener.shutdown()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    params = tiny_params()
    params["datasets"][NAME]["expectations"]["class_share"] = [0.4, 0.6]
    params["datasets"][NAME]["training"] |= {"epochs": 2, "final": {"variant": "original", "epochs": 2}}
    params["retraining"] = {
        "use_feedback": True,
        "review": False,
        "minimum_new_samples": LABELED,
        "schedule": {"cron": "* * * * *"},  # every minute
        "notify": "custom-webhook/ops",
    }
    change_params(prepare(tmp_path), params)
    shutil.copy(ROOT / "prefect.yaml", tmp_path)
    new_workspace = Workspace(tmp_path)
    try:
        yield new_workspace
    finally:
        new_workspace.close()


def store_samples(folder: Path) -> None:
    """Write labeled samples as the service stores them."""
    lines = []
    for k in range(LABELED):
        text = f"A rather fine film, number {k}, with a good story and good actors in it."
        entry = {"text": text, "label": "positive", "digest": hashlib.sha256(text.encode()).hexdigest()}
        lines.append(json.dumps(entry) + "\n")
    (folder / "data" / "incoming").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "incoming" / f"{NAME}.jsonl").write_text("".join(lines))


SAVE_BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
CustomWebhookNotificationBlock(name="ops", url=sys.argv[1], json_data={"said": "{{body}}"}).save("ops")
"""
CHECK_SLOTS = """
import os
from pipelines import gpu_slots as slots
from prefect.concurrency.sync import concurrency
from prefect.concurrency._asyncio import ConcurrencySlotAcquisitionError
with slots.computing_on("gpu", fallback=False) as device:
    print(device, os.environ["CUDA_VISIBLE_DEVICES"])
    try:
        with concurrency("gpu", occupy=1, strict=True, timeout_seconds=1):
            print("a second slot")
    except TimeoutError:
        print("no second slot")
slots.LIMIT = "none-such"
try:
    with slots.computing_on("gpu", fallback=False):
        print("a slot of a limit that does not exist")
except ConcurrencySlotAcquisitionError:
    print("no slot without a limit")
"""


@pytest.mark.proves(
    "A scheduled retraining trains on new samples, promotes the first valid model, and does nothing without a reason"
)
def test_scheduled_retraining_trains_promotes_and_notifies(workspace: Workspace) -> None:
    workspace.start("server", "--port", str(workspace.port))
    done = workspace.run("-m", "dvc", "repro", f"vectorize@{NAME}")
    assert done.returncode == 0, done.stdout + done.stderr
    store_samples(workspace.folder)
    workspace.wait(workspace.answers)
    saved = workspace.run("-c", SAVE_BLOCK, f"http://127.0.0.1:{workspace.listener.server_port}/")
    assert saved.returncode == 0, saved.stderr  # `deploy` checks that the block named in params.yaml exists
    deployed = workspace.run("-m", "pipelines.operations", "deploy")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert "scheduled on the cpu pool: * * * * *" in deployed.stdout
    assert not workspace.answers(Origin="http://evil.example")
    workspace.start("worker", "cpu")
    slots = workspace.run("-c", CHECK_SLOTS, CUDA_VISIBLE_DEVICES="3")
    assert slots.stdout.splitlines() == ["GPU 3 3", "no second slot", "no slot without a limit"], slots.stderr

    workspace.wait(lambda: workspace.logged("started", "failed"))
    second = workspace.run("-m", "pipelines.operations", "retrain")  # while the first one is running
    assert second.returncode == Busy.exit_code, second.stdout + second.stderr
    skipped = workspace.logged("skipped")
    assert skipped is not None
    assert "(retraining) is running here" in skipped["problem"]

    trained = workspace.wait(lambda: workspace.logged("trained", "failed"))
    assert trained["outcome"] == "trained", trained
    assert f"{NAME}: {LABELED} new samples" in trained["reasons"]
    assert trained["gate"][NAME].startswith("version 1 is now the champion"), trained
    manifest = json.loads((workspace.folder / "data" / "vectorized" / NAME / "manifest.json").read_text())
    assert manifest["collected"] == LABELED
    assert "<svg" in (workspace.folder / "reports" / "retraining" / "index.html").read_text()
    assert workspace.wait(lambda: any("is now the champion" in message for message in workspace.messages))

    [artifact] = workspace.artifacts("retraining")
    for text in (
        "# Trained",
        f"{NAME}: {LABELED} new samples",
        "version 1 is now the champion",
        "| p-value |",
        "MLflow",
    ):
        assert text in artifact["data"]
    [artifact] = workspace.artifacts("training")  # from the flow started by `dvc repro`
    assert f"| {NAME} |" in artifact["data"]

    # the next time, there is no reason to train
    unchanged = workspace.wait(lambda: workspace.logged("unchanged"))
    assert unchanged["samples"] == {NAME: {"new": 0, "refused": {}}}


def test_a_worker_prints_no_traceback_if_the_tracking_server_is_down(workspace: Workspace) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    workspace.environment["MLFLOW_TRACKING_URI"] = address
    workspace.start("server", "--port", str(workspace.port))
    done = workspace.run("-m", "dvc", "repro", f"vectorize@{NAME}")
    assert done.returncode == 0, done.stdout + done.stderr
    params = tiny_params()
    params["datasets"][NAME]["training"] |= {"epochs": 2, "final": {"variant": "original", "epochs": 2}}
    params["retraining"] = {"use_feedback": False, "review": False, "schedule": {"cron": "* * * * *"}}
    change_params(workspace.folder, params)
    workspace.wait(workspace.answers)
    deployed = workspace.run("-m", "pipelines.operations", "deploy")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    workspace.start("worker", "cpu")
    failed = workspace.wait(lambda: workspace.logged("failed"))
    assert address in str(failed), failed
    workspace.wait(lambda: len([entry for entry in workspace.log() if entry["outcome"] == "failed"]) > 1)
    text = (workspace.folder / "worker.log").read_text()  # all of the first flow run, because the second one has ended
    assert "Finished in state Failed" in text
    assert not [words for words in ("Traceback", "Retrying", "FailedRun") if words in text], text
    assert (workspace.folder / "data" / "trained" / "fair.json").is_file()  # training did not need the server


def start_server_for_endless_training(workspace: Workspace) -> None:
    """Write parameters with which training would take hours, and start Prefect's server."""
    params = tiny_params()
    params["datasets"][NAME]["training"] |= {"epochs": 100_000, "final": {"variant": "original", "epochs": 100_000}}
    change_params(workspace.folder, params)
    workspace.start("server", "--port", str(workspace.port))
    workspace.wait(workspace.answers)


def test_a_cancelled_retraining_ends_and_is_recorded(workspace: Workspace) -> None:
    start_server_for_endless_training(workspace)
    deployed = workspace.run("-m", "pipelines.operations", "deploy")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr

    def states() -> dict[str, str]:
        """Return the state of each retraining by the ID of its flow run."""
        runs = ask(workspace.api, "flow_runs", flows={"name": {"any_": ["retraining"]}})
        return {run["id"]: run["state_name"] for run in runs}

    def cancel_running() -> None:
        workspace.wait(lambda: "RUNNING" in workspace.statuses())
        [flow_run] = [name for name, state in states().items() if state == "Running"]
        cancelled = workspace.run("-m", "prefect", "flow-run", "cancel", flow_run)
        assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
        workspace.wait(lambda: states()[flow_run] == "Cancelled")

    workspace.start("retrain", "--force")
    cancel_running()
    assert workspace.processes[-1].wait(60) == interruption.EXIT_CODE
    assert [entry["outcome"] for entry in workspace.log()] == ["started", "interrupted"]
    assert workspace.statuses() == {"KILLED"}

    workspace.start("worker", "cpu")
    workspace.run("-m", "prefect", "deployment", "run", "retraining/cpu", "--param", "force=true")
    cancel_running()
    workspace.wait(lambda: len(workspace.log()) == 4)
    assert workspace.statuses() == {"KILLED"}
    assert [entry["outcome"] for entry in workspace.log()] == ["started", "interrupted"] * 2


def test_a_retraining_whose_training_is_canceled_fails_and_is_recorded(workspace: Workspace) -> None:
    start_server_for_endless_training(workspace)
    workspace.start("retrain", "--force")
    workspace.wait(lambda: "RUNNING" in workspace.statuses())
    flow_runs = {run["name"]: run["id"] for run in ask(workspace.api, "flow_runs")}
    cancel(workspace.api, flow_runs["train (fair)"])
    assert workspace.processes[-1].wait(60) == 1
    states = {run["name"].split()[0]: run["state_name"] for run in ask(workspace.api, "flow_runs")}
    assert states == {"retraining": "Failed", "train": "Cancelled"}
    assert [entry["outcome"] for entry in workspace.log()] == ["started", "failed"]
    assert "`dvc repro` failed" in workspace.log()[-1]["problem"]
    assert workspace.statuses() <= {"KILLED", "FINISHED"}


EDIT = """
import json
from feedforward.config.schema import load_params
from feedforward.core import paths
from pipelines import dvc_repro, retraining_flow

before, repro = load_params(), dvc_repro.repro

def edit_and_reproduce(root):  # as if somebody edited the file while an earlier stage was running
    edited = before.model_dump(mode="json")
    edited["datasets"]["NAME"]["training"]["final"]["epochs"] = 1
    paths.params().write_text(json.dumps(edited))
    repro(root)

dvc_repro.repro = edit_and_reproduce
print(retraining_flow.promote.fn(retraining_flow.train.fn(before), "NAME"))
"""


@pytest.mark.proves("A retraining decides with the parameters that it trained with, even if params.yaml was edited")
def test_params_edited_during_a_retraining_are_those_of_the_decision(
    workspace: Workspace, prefect_server_address: str
) -> None:
    done = workspace.run("-c", EDIT.replace("NAME", NAME), PREFECT_API_URL=prefect_server_address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("version 1 is now the champion")
