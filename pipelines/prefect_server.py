"""Prefect's server: a temporary one for a single job, which ends with the job, and the one that `make server` starts.

Prefect can start a temporary server itself, but that one outlives a job that is killed. The temporary server in this
module exits when the process that started it exits. Jobs start it only if there is something to train, while they
import TensorFlow. Both kinds of server check the Host and Origin headers.
"""

import contextlib
import functools
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from feedforward.core import http_requests, processes
from feedforward.core.errors import FeedforwardError, run_reporting_errors
from feedforward.core.redaction import redact
from pipelines import environment, prefect_database
from pipelines.host_check import LOOPBACK, HostCheck

RETRY_AFTER = 0.25  # s after a collision of two writers; a client makes six attempts
START_TIMEOUT = 120.0  # s; a server takes 6 to 9 s to start, and several times that on a busy machine


@contextlib.contextmanager
def serving() -> Iterator[Callable[[], None]]:
    """Use the server at PREFECT_API_URL, after checking that it answers; if the variable is not set, a temporary one.

    The yielded function starts the temporary server and waits until it is ready; with PREFECT_API_URL, it does nothing.

    Raises:
        FeedforwardError: the server that PREFECT_API_URL names does not answer, or either server has ended.
    """
    environment.drop_unusable_proxies()
    if address := os.environ.get("PREFECT_API_URL"):
        check(address, "start that server, or unset PREFECT_API_URL to use a temporary one")
        try:
            yield lambda: None
        except Exception as error:
            if isinstance(error, FeedforwardError) or not (problem := lost()):
                raise
            raise FeedforwardError(problem) from error
        return
    port = _free_port()
    os.environ["PREFECT_API_URL"] = _address(port)  # Prefect reads the variables when it is imported
    os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"  # the server might end before the last line is sent
    with contextlib.ExitStack() as stack:
        start = functools.cache(lambda: stack.enter_context(_server_process(port, os.environ)))
        try:
            yield lambda: start()()  # `start` returns the function that waits
        finally:
            del os.environ["PREFECT_API_URL"], os.environ["PREFECT_LOGGING_TO_API_ENABLED"]


@contextlib.contextmanager
def temporary_server(home: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Run a temporary server; yield its address and a function that waits until it answers. home: its PREFECT_HOME."""
    port = _free_port()
    with _server_process(port, os.environ | {"PREFECT_HOME": str(home)}) as wait:
        yield _address(port), wait


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


@contextlib.contextmanager
def _server_process(port: int, variables: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """Start a temporary server, and yield a function that waits until it answers."""
    command = [sys.executable, "-m", "pipelines.prefect_server", str(port)]
    # In a new session: Ctrl-C in the terminal must not end the server before the job has closed its runs.
    process = subprocess.Popen(
        command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    errors = deque[bytes](maxlen=1)  # only the last line with a reason, which in a traceback is the error message
    threading.Thread(target=lambda: errors.extend(filter(_is_reason, process.stderr or ())), daemon=True).start()
    try:
        yield lambda: _wait_until_ready(process, _address(port), errors)
    except Exception as error:
        if isinstance(error, FeedforwardError) or not _has_ended(process):
            raise
        ending = _ending(process, errors)
        raise FeedforwardError(f"Prefect's temporary server {ending}; run the command again") from error
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _is_reason(line: bytes) -> bool:
    """Whether the line is neither empty nor one that Uvicorn or SQLAlchemy prints below the error message."""
    return bool(line.strip()) and not line.startswith(b"(Background") and not line.rstrip().endswith(b"Exiting.")


def check(address: str, remedy: str) -> None:
    """Check that the server answers.

    Raises:
        FeedforwardError: it does not.
    """
    problem = _problem(address, 5)
    if problem and not _problem(f"{address.rstrip('/')}/api", 5):
        raise FeedforwardError(f"PREFECT_API_URL: must end in /api, got {redact(address)}")
    if problem:
        raise FeedforwardError(f"PREFECT_API_URL: {redact(address)}: no server answers ({problem}); {remedy}")


def lost() -> str:
    """One line about this job's server if it no longer answers; empty if it does."""
    address = os.environ.get("PREFECT_API_URL", "")
    problem = _problem(address, 5) if address else ""
    remedy = "start it again (a temporary one needs no start), then repeat the command; finished runs are kept"
    return f"{redact(address)}: Prefect's server no longer answers ({problem}); {remedy}" if problem else ""


def _problem(address: str, timeout: float) -> str:
    """Why the server does not answer; empty if it does."""
    try:
        http_requests.get(f"{address.rstrip('/')}/health", timeout)
        return ""
    except OSError as error:
        return str(error)


def _wait_until_ready(process: "subprocess.Popen[bytes]", address: str, errors: Sequence[bytes]) -> None:
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end and process.poll() is None:
        if not _problem(address, 2):
            return
        time.sleep(0.1)
    state = f"is not ready after {START_TIMEOUT:.0f} s" if process.poll() is None else _ending(process, errors)
    raise FeedforwardError(
        f"Prefect's temporary server {state}; fix this, or set PREFECT_API_URL to the address of a running server"
    )


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(1)  # the connections of a killed process break slightly before `wait` reports its exit
    except subprocess.TimeoutExpired:
        return False
    return True


def _ending(process: "subprocess.Popen[bytes]", errors: Sequence[bytes]) -> str:
    reason = f": {redact(errors[-1].decode(errors='replace').strip())}" if errors else ""
    return f"ended with exit code {process.returncode}{reason}"


def run(port: int, host: str = "127.0.0.1", names: Collection[str] = LOOPBACK, temporary: bool = False) -> None:
    """Serve until a signal ends the process.

    names: host names allowed in the Host header. temporary: without the UI, and with only the essential services.
    """
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://127.0.0.1:{port}"  # excludes pages of other sites
    prefect_database.create()
    with processes.importing():
        import uvicorn
        from prefect.server.api.server import create_app

        from pipelines import log_notification  # noqa: F401  the server must know this type of block

    app = HostCheck(with_retry_after(create_app(ephemeral=temporary, final=True)), names)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.run(app, host=host, port=port, log_level="error")


def with_retry_after(app: Any) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Make `app` send `Retry-After` with each status 503.

    Prefect's server sends 503 if two writers to its SQLite database collide, which happens whenever one training run
    starts while another ends. Without this header, Prefect's client waits two seconds, during which a core is idle.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_header(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                header = (b"retry-after", str(RETRY_AFTER).encode())
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        await app(scope, receive, send_with_header)

    return answer


def main(port: int) -> None:
    """Run a temporary server until the process that started it ends."""
    processes.end_with_ancestors()
    run(port, temporary=True)


if __name__ == "__main__":
    sys.exit(run_reporting_errors(lambda: main(int(sys.argv[1]))))
