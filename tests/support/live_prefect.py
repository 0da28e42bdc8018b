"""A real Prefect server, as started by `make server`, on a free port."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

TIMEOUT = 120  # s; a busy machine is slow


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server with its own workspace; `environment` connects Prefect's clients to it."""

    def __init__(self, folder: Path) -> None:
        (folder / "params.yaml").touch()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        foreign = ("PREFECT", "MLFLOW", "FEEDFORWARD")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        self.environment |= {
            "FEEDFORWARD_ROOT": str(folder),
            "PREFECT_HOME": str(folder / ".prefect"),
            "PREFECT_API_URL": f"{self.url}/api",
        }

    def __enter__(self) -> "Server":
        command = [sys.executable, "-m", "pipelines.operations", "server", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE)
        for _ in range(TIMEOUT * 10):
            try:
                httpx.get(f"{self.url}/api/health", timeout=5).raise_for_status()
                return self
            except httpx.HTTPError:
                assert self.process.poll() is None, self.process.communicate()
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
