"""Packs on a Dask cluster of two workers, one of which is lost: the same bytes as in threads, and nothing left over.

Needs requirements/cluster.txt.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prefect_dask")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "feedforward"))
from small_data import values, write_params, write_vectorized  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TRAIN = """
from feedforward.params import load_params
from pipelines import server, settings
settings.apply()
with server.serving() as wait_for_server:
    from pipelines import training
    training.stage(load_params(), "fair", wait_for_server)
"""
STATES = """
from feedforward.tracking import open_store
from mlflow import MlflowClient
store = open_store()
store.reconcile()
client = MlflowClient(store._connection.uri)
for experiment in client.search_experiments():
    for run in client.search_runs([experiment.experiment_id]):
        print(run.info.status, run.data.tags["role"])
"""


def workspace(folder: Path, engine: str) -> Path:
    write_vectorized(folder)
    changed = values(engine=engine)
    del changed["datasets"]["notes"]
    changed["variants"] = {name: changed["variants"][name] for name in ("original", "smaller")}
    write_params(folder / "params.yaml", changed)
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT", "MLFLOW", "FAULT"))}
    return kept | {"FEEDFORWARD_ROOT": str(folder), **more}


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """A scheduler, and a function that starts a worker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    started = []

    def start(*command: str, **more: str) -> "subprocess.Popen[bytes]":
        log = (tmp_path / f"{len(started)}.log").open("wb")
        command = (sys.executable, "-m", "distributed.cli." + command[0], *command[1:], "--no-dashboard")
        settings = environment(tmp_path / "apart", **more)
        started.append(subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=log, stderr=subprocess.STDOUT))
        return started[-1]

    start("dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2])
    yield address, lambda **more: start("dask_worker", address, "--nthreads", "1", "--no-nanny", **more)
    for process in started:
        process.kill()
        process.wait()


def servers(folder: Path) -> list[str]:
    """Prefect's servers that a job in the folder started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"pipelines.server" in (path / "cmdline").read_bytes():
                found += [path.name] if str(folder).encode() in (path / "environ").read_bytes() else []
        except OSError:
            continue
    return found


def test_two_workers_one_of_them_lost_leave_the_bytes_of_one_machine(tmp_path: Path, cluster: Any) -> None:
    address, start = cluster
    here, apart = workspace(tmp_path / "here", "threads"), workspace(tmp_path / "apart", address)
    lost = start(FAULT="train.before_log")  # dies when it has trained its first pack
    start()
    done = run(here, TRAIN)
    assert done.returncode == 0, done.stderr
    done = run(apart, TRAIN)
    assert done.returncode == 0, done.stderr + "".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
    assert lost.wait(10) == -signal.SIGKILL
    results = Path("data") / "trained" / "fair.json"
    assert (apart / results).read_bytes() == (here / results).read_bytes()
    states = run(apart, STATES).stdout.splitlines()
    assert "RUNNING" not in " ".join(states)
    assert any(line.startswith("KILLED") for line in states)
    assert sum(line == "FINISHED replica" for line in states) == 2 * 2  # variants × seeds
    time.sleep(1)
    assert not servers(apart)


def test_a_worker_with_other_data_refuses(tmp_path: Path, cluster: Any) -> None:
    address, start = cluster
    apart = workspace(tmp_path / "apart", address)
    other = tmp_path / "other"
    workspace(other, address)
    manifest = other / "data" / "vectorized" / "tones" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"data_digest": "', '"data_digest": "0'))
    start(FEEDFORWARD_ROOT=str(other))
    done = run(apart, TRAIN)
    assert done.returncode != 0
    assert "has other data, code, versions or another kind of CPU" in done.stderr


def test_without_a_scheduler_it_says_so(tmp_path: Path) -> None:
    done = run(workspace(tmp_path, "tcp://127.0.0.1:9"), TRAIN)
    assert "engine: tcp://127.0.0.1:9: no scheduler answers" in done.stderr
