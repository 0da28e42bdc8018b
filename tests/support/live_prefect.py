"""Real Prefect servers on loopback: one that all jobs of a pytest run share, and servers that `make server` starts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import live_servers
from clean_environment import environment
from waiting import until


def shared(base: Path) -> str:
    """Return the API address of a temporary server that all pytest workers share. base: see live_servers.shared."""

    def start(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "pipelines.prefect_server", str(port)]
        return command, environment(PREFECT_HOME=str(folder))

    _, port = live_servers.shared(base / "prefect", start, "/api/health")
    return f"http://127.0.0.1:{port}/api"


def ask(api: str, resource: str, **conditions: Any) -> Any:
    """Return the items of a resource, for instance `flow_runs`, that meet the conditions."""
    import httpx

    return httpx.post(f"{api}/{resource}/filter", json=conditions, timeout=30).raise_for_status().json()


def cancel(api: str, flow_run: str) -> None:
    """Request the cancellation of a flow run, as the button on its page does."""
    state = {"type": "CANCELLING", "name": "Cancelling"}
    _send("POST", f"{api}/flow_runs/{flow_run}/set_state", {"state": state})


def delete(api: str, flow_run: str) -> None:
    """Delete a flow run."""
    _send("DELETE", f"{api}/flow_runs/{flow_run}")


def _send(method: str, url: str, content: dict[str, Any] | None = None) -> None:
    """Send a request, again and again if the server has no access to its database because a job is writing to it."""
    import httpx

    def is_done() -> bool:
        response = httpx.request(method, url, json=content, timeout=30)
        return response.status_code != httpx.codes.SERVICE_UNAVAILABLE and response.raise_for_status().is_success

    until(is_done)


class Server:
    """A server that `make server` starts, with its own workspace. environment: variables for clients of the server."""

    def __init__(self, folder: Path) -> None:
        (folder / "params.yaml").touch()
        self.port = live_servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = f"{self.url}/api"
        self.environment = environment(
            FEEDFORWARD_ROOT=str(folder), PREFECT_HOME=str(folder / ".prefect"), PREFECT_API_URL=self.api
        )

    def __enter__(self) -> "Server":
        command = [sys.executable, "-m", "pipelines.operations", "server", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=self.environment)
        live_servers.wait_for(f"{self.url}/api/health", self.process)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
