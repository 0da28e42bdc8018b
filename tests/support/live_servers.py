"""Servers on loopback: find a free port, wait for a server, and share a server among all workers of a pytest run."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock
from waiting import PATIENCE

# A script that runs a command, and kills it when the process with the given ID ends
RUN_UNTIL_PROCESS_ENDS = """
import os, signal, subprocess, sys, time
import psutil

server = subprocess.Popen(sys.argv[2:], start_new_session=True)
while server.poll() is None and psutil.pid_exists(int(sys.argv[1])):
    time.sleep(0.5)
os.killpg(server.pid, signal.SIGKILL)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the server answers at `url`. process: the server, or the script that runs it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


def shared(
    folder: Path, start: Callable[[Path, int], tuple[Sequence[str], Mapping[str, str]]], health: str
) -> tuple[Path, int]:
    """Return the folder and port of a server that all pytest workers share. It ends when the pytest run ends.

    The first worker that asks for the server starts it. folder: a path in pytest's temporary folder of this worker; the
    server's folder has the same name, but is in the parent of all workers' folders. start: returns the command and the
    environment of the server, for a folder and a port. health: a path at which the server answers once it is ready.
    """
    pytest_pid = os.getpid()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder, pytest_pid = folder.parents[1] / folder.name, os.getppid()
    with FileLock(f"{folder}.lock"):
        if not (folder / "port").exists():
            folder.mkdir()
            port = free_port()
            command, environment = start(folder, port)
            script = [sys.executable, "-c", RUN_UNTIL_PROCESS_ENDS, str(pytest_pid), *command]
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(script, env=environment, stdout=log, stderr=log, start_new_session=True)
            wait_for(f"http://127.0.0.1:{port}{health}", process)
            (folder / "port").write_text(str(port))
    return folder, int((folder / "port").read_text())
