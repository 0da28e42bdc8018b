"""A temporary Prefect server on the loopback address for one job, which ends with the job however the job ends.

Prefect starts one by itself, but only when the first flow does, and leaves it behind as an orphan when the job is
killed. This one starts while the heavy libraries are imported, and watches its parent.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from feedforward.core import processes
from feedforward.core.errors import FeedforwardError
from pipelines import prefect_database

PATIENCE = 120.0  # s; a server starts in 6 to 9 s, and several times that on a machine that is busy


@contextlib.contextmanager
def serving() -> Iterator[Callable[[], None]]:
    """Yield wait(), after which flows can run: on the server that PREFECT_API_URL names, else on one started here."""
    if os.environ.get("PREFECT_API_URL"):
        yield lambda: None
        return
    with started() as (address, wait):
        os.environ["PREFECT_API_URL"] = address
        os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"  # it ends before the last line is sent
        try:
            yield wait
        finally:
            del os.environ["PREFECT_API_URL"], os.environ["PREFECT_LOGGING_TO_API_ENABLED"]


@contextlib.contextmanager
def started(home: Path | None = None) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a server that ends with this, and wait(), after which it answers. home: its folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "pipelines.prefect_server", str(port)]
    environment = os.environ | ({"PREFECT_HOME": str(home)} if home else {})
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield address, lambda: _wait(process, address)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: "subprocess.Popen[bytes]", address: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):  # noqa: S310
            return
        time.sleep(0.1)
    raise FeedforwardError(
        f"Prefect's temporary server did not start within {PATIENCE:.0f} s (its exit code: {process.poll()});"
        " run again, or name a running server in PREFECT_API_URL"
    )


def main(port: int) -> None:
    """Serve until the parent ends."""
    processes.end_with_ancestors()
    prefect_database.create()
    os.environ |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://127.0.0.1:{port}"  # not pages of other sites
    with processes.importing():
        import uvicorn
        from prefect.server.api.server import create_app

    uvicorn.run(create_app, factory=True, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]))
