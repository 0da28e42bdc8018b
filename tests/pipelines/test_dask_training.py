"""Two Dask workers, one of which is lost, train packs: the bytes are the same as with threads, and no run stays open.

Needs requirements/cluster.txt.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import workspaces
from live_cluster import environment
from small_data import values, write_workspace

import pipelines.dask_training
from feedforward.analysis import run_result
from feedforward.config.schema import load_params
from feedforward.core import paths, provenance
from feedforward.core.errors import DataError, FeedforwardError
from feedforward.experiments import plan, runner
from feedforward.tracking import open_store

distributed = pytest.importorskip("distributed")
pytest.importorskip("prefect_dask")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TRAIN = """
from feedforward.config.schema import load_params
from pipelines import environment as settings, prefect_server as server
settings.apply()
with server.serving() as wait_for_server:
    from pipelines import training_flow as training
    training.stage(load_params(), "fair", wait_for_server)
"""


def workspace(folder: Path, engine: str) -> Path:
    plain = values()
    variants = {name: plain["variants"][name] for name in ("original", "smaller")}
    datasets = {"tones": plain["datasets"]["tones"]}
    return write_workspace(folder, engine=engine, variants=variants, datasets=datasets)


def run(folder: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    settings = environment(folder, **variables)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=settings, capture_output=True, text=True, check=False
    )


def prefect_servers(folder: Path) -> list[str]:
    """Return the process IDs of Prefect servers that a job in this folder started."""
    process_ids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"pipelines.prefect_server" in (path / "cmdline").read_bytes():
                process_ids += [path.name] if str(folder).encode() in (path / "environ").read_bytes() else []
        except OSError:
            continue
    return process_ids


@pytest.fixture
def local_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that this process has entered."""
    return workspaces.enter(workspace(tmp_path / "local_workspace", "threads"), monkeypatch)


def test_two_workers_one_of_which_is_lost_write_the_same_bytes_as_one_machine(
    tmp_path: Path, cluster: Any, local_workspace: Path
) -> None:
    address, start = cluster
    cluster_workspace = workspace(tmp_path / "cluster_workspace", address)
    lost_worker = start(FAULT="train.before_log")  # is killed after training its first pack
    start()
    runner.prepare(1)
    params, store = load_params(), open_store()
    local_results = [run for pack in plan.plan(params, "fair") for run in runner.train_pack(pack, params, store)]
    facts = {"computed_by": provenance.computed_by()}
    run_result.save(paths.trained("fair"), local_results, provenance.cpu_digest(), "train", facts=facts)
    done = run(cluster_workspace, TRAIN)
    assert done.returncode == 0, done.stderr + "".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
    assert lost_worker.wait(10) == -signal.SIGKILL
    results_path = Path("data") / "trained" / "fair.json"
    assert (cluster_workspace / results_path).read_bytes() == (local_workspace / results_path).read_bytes()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{cluster_workspace}/mlruns/mlflow.db")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    states = [f"{run.info.status} {run.data.tags['role']}" for run in runs]
    assert "RUNNING" not in " ".join(states)
    assert any(state.startswith("KILLED") for state in states)
    assert sum(state == "FINISHED replica" for state in states) == 2 * 2  # variants × seeds
    time.sleep(1)
    assert not prefect_servers(cluster_workspace)


def test_a_worker_with_different_data_refuses_the_work(local_workspace: Path) -> None:
    params = load_params()
    (pack, *_) = plan.plan(params, "fair")
    manifest = local_workspace / "data" / "vectorized" / "tones" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"data_digest": "', '"data_digest": "0'))
    expected = r"the worker inproc://\S+ has different data, code or versions, or another kind of CPU"
    with (
        distributed.Client(processes=False, n_workers=1, dashboard_address=None, set_as_default=False) as client,
        pytest.raises(DataError, match=expected),
    ):
        client.submit(pipelines.dask_training.train_pack, pack, params, None).result()


def test_a_missing_scheduler_is_reported() -> None:
    with pytest.raises(FeedforwardError, match=r"engine: tcp://127\.0\.0\.1:9: no scheduler answers"):
        pipelines.dask_training.task_runner("tcp://127.0.0.1:9")
