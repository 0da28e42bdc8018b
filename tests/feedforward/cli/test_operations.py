"""The `ui`, `rollback`, `history` and `retrain` commands."""

import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dvc_projects
import pytest
import registered
from foreign_servers import not_http
from registered import NAME
from shell import Shell
from small_data import values, write_params
from tracked_runs import log

from feedforward import tracking
from feedforward.config.schema import Params
from feedforward.core import paths
from feedforward.promotion import audit_log

if TYPE_CHECKING:
    from feedforward.tracking import Store


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_params(tmp_path / "params.yaml", values())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server_address() -> Iterator[str]:
    """The address of an HTTP server on loopback that answers every request with status 200."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_sync_reports_once_that_the_server_does_not_answer(
    checkout: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    log(tracking.open_store())
    assert shell.run("sync") == 1
    assert "sent 0, waiting 1" in shell.stderr
    assert " ".join(shell.stderr.split()).count("records that cannot be sent wait") == 1


@pytest.mark.proves("`feedforward ui` reports a port that is in use")
@pytest.mark.usefixtures("checkout")
def test_error_reports_a_port_in_use(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert shell.run("ui", "--port", str(port)) == 1
    assert f"--port: {port} on 127.0.0.1 is in use; choose another" in shell.stderr


@pytest.mark.usefixtures("checkout")
def test_listening_on_all_addresses_requires_expose(shell: Shell) -> None:
    assert shell.run("ui", "--host", "0.0.0.0") == 2
    assert "add --expose" in shell.stderr


@pytest.mark.proves("`feedforward ui` prints the address of a configured tracking server instead of starting one")
@pytest.mark.usefixtures("checkout")
def test_ui_prints_the_address_of_a_configured_tracking_server(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, server_address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:password1@{server_address}")
    assert shell.run("ui") == 0
    assert f"open http://***@{server_address}" in shell.stderr


@pytest.mark.usefixtures("checkout")
def test_a_tracking_server_that_does_not_answer_is_an_error(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    assert shell.run("ui") == 1
    assert "the MLflow server does not answer" in shell.stderr


@pytest.mark.usefixtures("checkout")
def test_a_tracking_server_that_does_not_speak_http_is_an_error(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with not_http() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:password1@{address}")
        assert shell.run("ui") == 1
    assert f"http://***@{address}: the MLflow server does not answer (the answer is not valid HTTP" in shell.stderr


@pytest.mark.proves("`feedforward ui` shows no password in the list of processes")
@pytest.mark.slow
def test_store_address_is_not_passed_as_a_command_line_argument(
    shell: Shell, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, arguments: commands.append(arguments))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_ALLOWED_HOSTS"):
        monkeypatch.setenv(name, "")
    assert shell.run("ui", "--port", str(port), "--allow-host", "mlflow.example") == 0
    assert "--backend-store-uri" not in commands[0]
    assert os.environ["MLFLOW_BACKEND_STORE_URI"].startswith("sqlite:///")
    assert {"localhost", "mlflow.example", f"mlflow.example:{port}"} <= set(
        os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    )
    assert (checkout / "mlruns" / "mlflow.db").is_file()


# --- rollback, history, retrain ------------------------------------------------------------------


def test_rollback_and_history_without_a_champion(small_shell: Shell, small_store: "Store") -> None:
    assert small_shell.run("rollback", NAME, "--reason", "worse") == 3
    assert "there is no champion to roll back; run `feedforward promote notes`" in small_shell.stderr
    assert small_shell.run("rollback", NAME) == 2
    assert "--reason" in small_shell.stderr
    assert small_shell.run("history", NAME) == 0
    assert "notes: there has never been a champion" in small_shell.stderr
    assert small_shell.run("history", "nots") == 2


def test_the_history_shows_champions_and_a_mismatch_with_the_registry(
    small_shell: Shell, small_store: "Store", small: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registered.champion(small_store, small)
    assert small_shell.run("history", NAME) == 0
    assert (
        "the audit log of this checkout has no champion, but the registry has version 1 as champion"
        in small_shell.stderr
    )
    audit_log.append(NAME, audit_log.PROMOTED, "it [meets] all criteria", version)
    assert small_shell.run("history", NAME) == 0
    assert small_shell.stderr == ""
    assert "promoted  it [meets] all criteria" in small_shell.stdout
    monkeypatch.setenv("COLUMNS", "60")
    since = audit_log.entries(NAME)[0]["time"][:19]
    for is_terminal in ("0", "1"):
        monkeypatch.setenv("TTY_COMPATIBLE", is_terminal)
        assert small_shell.run("history", NAME) == 0
        # only on a terminal, the table is fitted into its 60 columns
        assert ("promoted  it [meets] all criteria" in small_shell.stdout) == (is_terminal == "0")
        assert f"1        {since}  now    promoted" in small_shell.stdout
    assert small_shell.run("history", NAME, "--json") == 0
    history = json.loads(small_shell.stdout)
    assert [(period["version"], period["until"]) for period in history["periods"]] == [(1, None)]


def test_dry_run_of_retraining_works_without_git(small_shell: Shell, small: Params, tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages:\n  train:\n    cmd: 'true'\n    deps: [params.yaml]\n")
    assert small_shell.run("retrain", "--dry-run") == 0, small_shell.stderr
    assert "would train" in small_shell.stdout


@pytest.mark.slow
def test_dry_run_of_retraining_prints_reasons_and_changes_nothing(
    small_shell: Shell, small: Params, tmp_path: Path
) -> None:
    dvc_projects.init(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages:\n  train:\n    cmd: 'true'\n    deps: [params.yaml]\n")
    assert small_shell.run("retrain", "--dry-run") == 0
    assert small_shell.stdout.startswith("would train and promote better models\n  reason: ")
    assert small_shell.run("retrain", "--dry-run", "--json") == 0
    decision = json.loads(small_shell.stdout)
    assert decision["retrain"]
    assert decision["reasons"]
    assert small_shell.run("retrain", "--json") == 2
    assert "--json: applies only to --dry-run; add --dry-run" in small_shell.stderr
    assert not paths.retrainings().exists()
