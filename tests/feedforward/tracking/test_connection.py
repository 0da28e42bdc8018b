"""Servers that are not MLflow or send too slowly, and processes that insert the same row at the same time."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import workspaces
from foreign_servers import not_http
from threads import at_once
from tracked_runs import all_runs, log, run_python, spooled_ids

from feedforward import tracking
from feedforward.tracking import connection

LOGIN = b"<!DOCTYPE html><html><body>" + b"<p>Please sign in</p>\n" * 200 + b"</body></html>"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return workspaces.create(tmp_path, monkeypatch, "seeds: 1\n")


@contextlib.contextmanager
def fake_server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Run a server on loopback that answers each request by calling `answer`, and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                answer(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.proves("A login page in place of MLflow is reported in one line")
@pytest.mark.parametrize("status", [200, 404])
def test_a_page_that_is_not_mlflow_is_reported_in_one_line(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    def login(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(LOGIN)))
        request.end_headers()
        request.wfile.write(LOGIN)

    with fake_server(login) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        store = tracking.open_store()
        for seed in range(3):
            log(store, seed)
    assert len(spooled_ids()) == 3
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "an HTML page instead of a response from MLflow" in warning.getMessage()
    assert "\n" not in warning.getMessage()
    assert "sign in" not in caplog.text


@pytest.mark.proves("A job finishes if the tracking server stops answering with valid HTTP")
def test_a_server_that_does_not_speak_http_is_reported_in_one_line(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with not_http() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
        log(tracking.open_store())
    assert len(spooled_ids()) == 1
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"http://{address}: start original seed 0 failed" in warning.getMessage()


@pytest.mark.proves("A job gives up on a tracking server that sends only a few bytes per second")
def test_a_server_that_sends_too_slowly_is_reported_as_not_answering(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()

    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        while not stop.wait(0.2):
            request.wfile.write(b" ")

    monkeypatch.setattr(connection, "PROBE_INTERVAL", 0.5)
    monkeypatch.setattr(connection, "PROBE_TIMEOUT", 0.5)
    with fake_server(trickle) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        log(tracking.open_store())
        stop.set()
    assert len(spooled_ids()) == 1
    assert "the server does not answer" in caplog.text


@pytest.mark.proves("Runs that log the same inputs to a new store at the same time are all complete")
@pytest.mark.slow
def test_concurrent_processes_that_log_the_same_inputs_complete_their_runs(workspace: Path, tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from feedforward.tracking import DataInput; s = tracking.open_store();"
        "p = int(os.environ['PART']); Path(f'ready{p}').touch();"
        "[time.sleep(0.001) for _ in iter(lambda: all(Path(f'ready{k}').exists() for k in range(4)), True)];"
        "[log(s, 100 * p + k, inputs=[DataInput(f'words {k}', DIGEST, 'training', 'data')]) for k in range(10)]"
    )
    at_once(lambda part: run_python(workspace, f"os.chdir({str(tmp_path)!r}); {code}", PART=str(part)), range(4))
    assert spooled_ids() == []
    assert [run.info.status for run in all_runs()] == ["FINISHED"] * 40
