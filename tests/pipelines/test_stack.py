"""A job on three workers with the real servers that they share, on loopback: PostgreSQL, S3, MLflow, Prefect, Dask.

Each machine is a clone of one repository and pulls its data from the DVC remote. Runs with `make stack`; takes minutes.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from git_repositories import commit, git

from faults import ROOT, stack, workspace
from faults.stack import Stack, Worker
from faults.workspace import DVC

MISSING = stack.missing_requirements()
pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]
DATASET = "mnist-sample"
TRAIN = (stack.PYTHON, "-m", "pipelines.stages", "train", "fair")
RESULTS = Path("data") / "trained" / "fair.json"
VARIANTS, SEEDS = ("original", "smaller", "larger"), 2
RUNS = (len(VARIANTS) + 1) * SEEDS  # including the final runs


@dataclass(frozen=True)
class Machines:
    """Clones: `head` starts jobs, `workers` train packs, and `single` trains alone, without the shared servers."""

    shared: Stack
    head: Path
    workers: list[Path]
    single: Path

    def train(self, job: int) -> "subprocess.Popen[bytes]":
        """Start job number `job` on the head; each number gives different runs."""
        workspace.change_params(self.head, {"engine": self.shared.scheduler.address, "variants": variants(job)})
        return workspace.start(self.head, *TRAIN, **code_path(self.head), **self.shared.environment)

    def single_results(self, job: int) -> bytes:
        """Train the same job on the single machine, and return its results file."""
        workspace.change_params(self.single, {"engine": "threads", "variants": variants(job)})
        succeed(self.single, *TRAIN)
        return (self.single / RESULTS).read_bytes()

    def start_worker(self, number: int, folder: Path, **extra: str) -> Worker:
        """Start a Dask worker on machine `number`."""
        checkout = self.workers[number]
        variables = code_path(checkout) | self.shared.environment | extra
        worker = Worker(folder / str(number), checkout, self.shared.scheduler.address, **variables)
        worker.start()
        return worker


def variants(job: int) -> dict[str, Any]:
    """Return variants that differ from those of every other job, so that their runs are trained."""
    return {name: {**workspace.demo_params()["variants"][name], "l2": job / 1e6} for name in VARIANTS}


def code_path(checkout: Path) -> dict[str, str]:
    """Return the environment variable with which commands run the code of the clone."""
    return {"PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout}"}


def succeed(folder: Path, *command: str, **extra: str) -> None:
    """Run a command, and check that it succeeds."""
    done = workspace.run(folder, *command, **code_path(folder), **extra)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def repository(folder: Path, shared: Mapping[str, str]) -> Path:
    """Create a repository with code and dvc.lock, and push the prepared data to the DVC remote."""
    folder.mkdir()
    workspace.copy_code(folder, "dvc.yaml", ".dvcignore", ".gitignore")
    demo = workspace.demo_params()
    workspace.change_params(
        folder,
        {
            **demo,
            "mirrors": [str(ROOT / "samples")],
            "seeds": SEEDS,
            "pack_units": 1,  # one run per pack
            "variants": variants(0),
            "datasets": {DATASET: demo["datasets"][DATASET]},
        },
    )
    git(folder, "init", "--quiet")
    succeed(folder, *DVC, "init", "--quiet")
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    succeed(folder, *DVC, "remote", "add", "--default", "team", "s3://dvc")
    succeed(folder, *DVC, "repro", "--quiet", "validate")
    succeed(folder, *DVC, "push", "--quiet", **shared)
    commit(folder, "data")
    return folder


def clone(origin: Path, folder: Path, shared: Mapping[str, str]) -> Path:
    """Clone the repository as another machine would, and pull only the vectorized data."""
    git(origin.parent, "clone", "--quiet", str(origin), str(folder))
    succeed(folder, *DVC, "pull", "--quiet", f"vectorize@{DATASET}", "validate", **shared)
    assert not (folder / "data" / "raw").exists()
    return folder


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    with stack.started() as shared:
        origin = repository(folder / "origin", shared.environment)
        head, single, *workers = (
            clone(origin, folder / name, shared.environment) for name in ("head", "single", "w0", "w1", "w2")
        )
        yield Machines(shared, head, workers, single)


@pytest.fixture
def registered() -> Iterator[Callable[[Worker], Worker]]:
    """Yields a function that returns the worker given to it, which is killed at the end of the test."""
    workers: list[Worker] = []
    yield lambda worker: (workers.append(worker), worker)[1]
    for worker in workers:
        worker.kill()


def runs(machines: Machines, since: float, status: str = "") -> list[Any]:
    """Return replicas and final runs of a job on the shared MLflow server.

    since: start of the job, in Unix time. status: only runs with this status; empty: all.
    """
    from mlflow import MlflowClient

    client = MlflowClient(machines.shared.tracking.address)
    experiment = client.get_experiment_by_name(DATASET)
    all_runs = client.search_runs([experiment.experiment_id]) if experiment else []
    logged_runs = [
        run for run in all_runs if run.data.tags["role"] in ("replica", "final") and run.info.start_time > 1000 * since
    ]
    return [run for run in logged_runs if status in ("", run.info.status)]


def process(run: Any) -> int:
    """Return the ID of the process that trained the run."""
    return int(run.data.tags["process"].partition("@")[0])


def assert_complete(machines: Machines, since: float) -> None:
    """Check that each result of the job is one finished run with all its points, and that no record is left waiting."""
    from mlflow import MlflowClient

    client = MlflowClient(machines.shared.tracking.address)
    finished = {run.data.tags["weights_digest"]: run for run in runs(machines, since, "FINISHED")}
    results = json.loads((machines.head / RESULTS).read_bytes())["runs"]
    assert len(results) == RUNS
    for result in results:
        run = finished[result["weights_digest"]]
        for name, curve in result["curves"].items():
            points = {
                point.step: point.value for point in client.get_metric_history(run.info.run_id, name) if point.step
            }
            assert [points[step] for step in range(1, len(curve) + 1)] == curve, name
        assert {name: run.data.metrics[name] for name in result["metrics"]} == result["metrics"]
        assert any(entry.path == "result.json" for entry in client.list_artifacts(run.info.run_id))
    for checkout in (machines.head, *machines.workers):
        assert not list((checkout / "mlruns" / "spool").glob("*/record.json")), f"{checkout.name}: records wait"
    assert not runs(machines, since, "RUNNING")


def assert_succeeds(machines: Machines, job: "subprocess.Popen[bytes]", workers: list[Worker]) -> None:
    code = job.wait(workspace.TIMEOUT)
    assert code == 0, workspace.output(machines.head)[-3000:] + "".join(worker.output()[-1500:] for worker in workers)


def test_only_the_run_of_a_killed_worker_is_trained_again(
    machines: Machines, tmp_path: Path, registered: Callable[[Worker], Worker]
) -> None:
    workers = [registered(machines.start_worker(number, tmp_path)) for number in range(3)]
    for worker in workers:
        worker.wait()
    since, job = time.time(), machines.train(job=1)
    lost_worker = None
    while lost_worker is None:  # until a worker has started a run
        assert job.poll() is None, workspace.output(machines.head)[-3000:]
        processes = [process(run) for run in runs(machines, since, "RUNNING")]
        lost_worker = next((worker for worker in workers if worker.process.pid in processes), None)
        time.sleep(0.05)
    lost_worker.kill()
    assert_succeeds(machines, job, workers)
    assert lost_worker.process.returncode == -signal.SIGKILL
    assert all(worker.process.poll() is None for worker in workers if worker is not lost_worker)
    assert (machines.head / RESULTS).read_bytes() == machines.single_results(job=1)
    assert_complete(machines, since)
    (killed,) = runs(machines, since, "KILLED")
    assert process(killed) == lost_worker.process.pid
    fingerprint = killed.data.tags["fingerprint"]
    (repeated,) = [run for run in runs(machines, since, "FINISHED") if run.data.tags["fingerprint"] == fingerprint]
    assert process(repeated) != lost_worker.process.pid


def test_no_metric_is_lost_when_the_servers_are_restarted(
    machines: Machines, tmp_path: Path, registered: Callable[[Worker], Worker]
) -> None:
    workers = [registered(machines.start_worker(number, tmp_path)) for number in range(3)]
    for worker in workers:
        worker.wait()
    shared = machines.shared
    since, job = time.time(), machines.train(job=2)
    while not runs(machines, since, "FINISHED"):
        assert job.poll() is None, workspace.output(machines.head)[-3000:]
        time.sleep(0.05)
    for server in (shared.tracking, shared.orchestration, shared.postgres):
        server.stop()
    while not [path for folder in machines.workers for path in (folder / "mlruns" / "spool").glob("*/record.json")]:
        assert job.poll() is None, workspace.output(machines.head)[-3000:]
        time.sleep(0.05)
    for server in (shared.postgres, shared.tracking, shared.orchestration):
        server.start().wait()
    assert_succeeds(machines, job, workers)
    assert (machines.head / RESULTS).read_bytes() == machines.single_results(job=2)
    assert_complete(machines, since)
