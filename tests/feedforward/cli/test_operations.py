"""feedforward ui: what it refuses, and what it does when the tracking store is a server."""

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Shell
from small_data import values, write_params


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_params(tmp_path / "params.yaml", values())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server_address() -> Iterator[str]:
    """An HTTP server on loopback that answers 200 to /health."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.usefixtures("checkout")
def test_a_port_in_use_is_refused(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert shell.run("ui", "--port", str(port)) == 1
    assert f"--port: {port} on 127.0.0.1 is in use; choose another" in shell.printed


@pytest.mark.usefixtures("checkout")
def test_other_machines_need_expose(shell: Shell) -> None:
    assert shell.run("ui", "--host", "0.0.0.0") == 2
    assert "add --expose" in shell.printed


@pytest.mark.usefixtures("checkout")
def test_a_tracking_server_is_named_instead_of_started(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, server_address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:password1@{server_address}")
    assert shell.run("ui") == 0
    assert f"open http://***@{server_address}" in shell.printed


@pytest.mark.usefixtures("checkout")
def test_a_tracking_server_that_does_not_answer_is_an_error(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    assert shell.run("ui") == 1
    assert "the MLflow server does not answer" in shell.printed


@pytest.mark.slow
def test_the_address_of_the_store_is_not_among_the_arguments(
    shell: Shell, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, arguments: started.append(arguments))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_ALLOWED_HOSTS"):
        monkeypatch.setenv(name, "")
    assert shell.run("ui", "--port", str(port), "--allow-host", "mlflow.example") == 0
    assert "--backend-store-uri" not in started[0]
    assert os.environ["MLFLOW_BACKEND_STORE_URI"].startswith("sqlite:///")
    assert {"localhost", "mlflow.example", f"mlflow.example:{port}"} <= set(
        os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    )
    assert (checkout / "mlruns" / "mlflow.db").is_file()
