"""A Dask cluster of processes on loopback."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clean_environment
import pytest
from live_servers import free_port


def environment(folder: Path, **variables: str) -> dict[str, str]:
    return clean_environment.environment(FEEDFORWARD_ROOT=str(folder), **variables)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """The address of a scheduler, and a function that starts a worker."""
    address = f"tcp://127.0.0.1:{free_port()}"
    processes = []

    def start(*command: str, **variables: str) -> "subprocess.Popen[bytes]":
        log = (tmp_path / f"{len(processes)}.log").open("wb")
        command = (sys.executable, "-m", "distributed.cli." + command[0], *command[1:], "--no-dashboard")
        settings = environment(tmp_path / "cluster_workspace", **variables)
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=log, stderr=subprocess.STDOUT))
        return processes[-1]

    start("dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2])
    yield address, lambda **variables: start("dask_worker", address, "--nthreads", "1", "--no-nanny", **variables)
    for process in processes:
        process.kill()
        process.wait()
