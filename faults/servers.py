"""Row 13 of docs/reliability.md: the tracking server is killed or frozen in the middle of training."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from live_servers import free_port

from faults import workspace
from faults.context import Context
from faults.workspace import FEEDFORWARD

MAX_DELAY = 15.0  # s; how much longer a job may take if the server stops answering
TRAIN = (sys.executable, "-m", "pipelines.stages", "train", "fair")
# role, variant, seed; `finals` and `variant` are parent runs, which have no seed
ALL_RUNS = ["final original 0", "finals original None", "replica original 0", "variant original None"]


def stop_server(context: Context) -> str:
    """Row 13: stop the server during training; the job may end at most MAX_DELAY later, and `sync` sends the rest."""
    undisturbed, _ = _train(context, "undisturbed", None)
    observations = []
    for name, stop in (("killed", signal.SIGKILL), ("frozen", signal.SIGSTOP)):
        seconds, sync_line = _train(context, name, stop)
        delay = max(0.0, seconds - undisturbed)
        assert delay <= MAX_DELAY, f"{name}: {delay:.1f} s longer"
        observations.append(f"{name}: the job took {delay:.1f} s longer; sync: {sync_line}")
    return "; ".join(observations) + "; each run is on the server exactly once, and the outputs match the baseline"


def _train(context: Context, name: str, stop: signal.Signals | None) -> tuple[float, str]:
    """Train, and send the server the signal `stop`, if any, once it has a run.

    Returns the duration in seconds and the line that the first `sync` printed, empty without a signal.
    """
    sync_line = ""
    with context.baseline.copy(f"server-{name}") as folder, Server(folder) as server:
        shutil.rmtree(folder / "mlruns")
        (folder / "data" / "trained" / "fair.json").unlink()
        began = time.monotonic()
        job = workspace.start(folder, *TRAIN, MLFLOW_TRACKING_URI=server.address)
        if stop:
            while not server.runs():
                assert job.poll() is None, workspace.output(folder)[-1000:]
                time.sleep(0.05)
            server.signal(stop)
        assert job.wait(workspace.TIMEOUT) == 0, workspace.output(folder)[-1000:]
        seconds = time.monotonic() - began
        assert "Traceback" not in workspace.output(folder), workspace.output(folder)[-1000:]
        context.baseline.check_outputs(folder)
        if stop:
            assert "send them with `feedforward sync`" in workspace.output(folder), "the remedy was not printed"
            server.revive()
            sync_line = _sync(folder, server, "sent ")
            assert not sync_line.startswith("sent 0"), "the server was stopped too late: it already had every record"
            _sync(folder, server, "sent 0, waiting 0")
        assert server.runs() == ALL_RUNS, f"the server has {server.runs()}"
    return seconds, sync_line


def _sync(folder: Path, server: "Server", expected: str) -> str:
    done = workspace.run(folder, *FEEDFORWARD, "sync", MLFLOW_TRACKING_URI=server.address)
    return workspace.one_line(done, 0, expected, "waiting 0")


class Server:
    """A real `mlflow server` on loopback, with its store in `folder`; killed when the block ends."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._folder = folder / "server"
        self._folder.mkdir()
        self.address = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> "Server":
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for signal_number in (signal.SIGCONT, signal.SIGKILL):
            self.signal(signal_number)
        self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=workspace.environment(self._folder), stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + workspace.TIMEOUT
        while time.monotonic() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=1):
                return
            assert self._process.poll() is None, "the server exited"
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def signal(self, signal_number: signal.Signals) -> None:
        """Send a signal to all processes of the server."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal_number)

    def revive(self) -> None:
        """Resume the server if it is frozen, or start it again if it was killed."""
        self.signal(signal.SIGCONT)
        if self._process.poll() is not None:
            self._start()
        self._wait()

    def runs(self) -> list[str]:
        """Return the role, variant and seed of each run on the server, except deleted runs."""
        return sorted(run for runs in workspace.runs(self._folder / "mlflow.db").values() for run in runs)
