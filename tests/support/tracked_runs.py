"""Log runs to a real store and read them with MLflow's client; start real servers, and processes that log."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import live_servers
import numpy as np
from filelock import FileLock

from feedforward import tracking
from feedforward.analysis.run_result import RunResult
from feedforward.tracking import RunTags, records, settings

if TYPE_CHECKING:
    from feedforward.tracking import Store

DIGEST = "0123456789abcdef" * 4


def tags(role: Any = "replica", seed: int | None = 0, fingerprint: str = DIGEST, dataset: str = "words") -> RunTags:
    return RunTags(dataset, "original", "fair", role, fingerprint, "data" + DIGEST[4:], seed)


def result(seed: int = 0, epochs: int = 20) -> RunResult:
    rng = np.random.default_rng(seed)
    names = ("loss", "accuracy", "cross_entropy", "val_loss", "val_accuracy", "val_cross_entropy")
    curves = {name: [float(value) for value in rng.random(epochs)] for name in names}
    metrics = {"best_epoch": 4.0, "best_val_cross_entropy": float(rng.random()), "tiny": 5e-324, "third": 1 / 3}
    return RunResult("words", "original", seed, "fair", "replica", curves, metrics, DIGEST)


def log(store: "Store", seed: int = 0, parent: tracking.Run | None = None, **more: Any) -> tracking.Run:
    """Log a finished run with a random result. more: arguments of `Store.finish`."""
    run = store.start(tags(seed=seed, fingerprint=f"{seed:064x}"), f"original seed {seed}", parent)
    store.finish(run, result=result(seed), **more)
    return run


def results_in(store: "Store", *arguments: Any) -> dict[str, RunResult]:
    """Return the results that `find_results` finds, without the other data of the runs."""
    return {fingerprint: stored.result for fingerprint, stored in store.find_results(*arguments).items()}


def client() -> Any:
    settings.apply()
    from mlflow import MlflowClient

    return MlflowClient(settings.tracking_uri())


def all_runs() -> list[Any]:
    """Return all runs that are not deleted, read with MLflow's client."""
    mlflow_client = client()
    ids = [experiment.experiment_id for experiment in mlflow_client.search_experiments()]
    return list(mlflow_client.search_runs(ids, max_results=5000))


def stored_runs(dataset: str, **tags: str) -> list[Any]:
    """Return the runs of a dataset's experiment that have these tags, read with MLflow's client."""
    mlflow_client = client()
    experiment_id = mlflow_client.get_experiment_by_name(dataset).experiment_id
    condition = " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
    return list(mlflow_client.search_runs([experiment_id], condition))


def history(run_id: str, key: str) -> list[tuple[int, float]]:
    """Return the points of a metric as (step, value)."""
    return sorted((point.step, point.value) for point in client().get_metric_history(run_id, key))


def spooled_ids() -> list[str]:
    """Return the IDs of the records in the spool, which have not been sent."""
    return [path.name for path in records.spool().glob("*") if path.is_dir()]


def run_python(workspace: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code`, which can use the names of this module, in a separate process."""
    setup = f"import os, signal, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from tracked_runs import *\n"
    return subprocess.run(
        [sys.executable, "-c", setup + code],
        env=os.environ | {"FEEDFORWARD_ROOT": str(workspace)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@contextlib.contextmanager
def server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a real `mlflow server` on loopback, in a separate process group that is killed at the end of the block."""
    with (folder / "log").open("ab") as output:
        command = server_command(folder, port)
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=server_environment(), start_new_session=True
        )
    try:
        live_servers.wait_for(health(port), process)
        yield process
    finally:
        for signal_number in (signal.SIGCONT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)
        process.wait()


def server_command(folder: Path, port: int) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    database = f"sqlite:///{folder}/mlflow.db"
    return [*command, "--backend-store-uri", database, "--artifacts-destination", str(folder / "kept")]


def server_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}


def health(port: int) -> str:
    return f"http://127.0.0.1:{port}/health"


@contextlib.contextmanager
def shared_server(base: Path, empty_database: Path) -> Iterator[Callable[[Path], int]]:
    """Run a real `mlflow server` that all pytest workers share; a test holds a lock while it uses the server.

    Yields a function that makes the server show a copy of a database and returns the server's port. base: see
    live_servers.shared.
    """

    def start(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        shutil.copy(empty_database, folder / "mlflow.db")
        return server_command(folder, port), server_environment()

    folder, port = live_servers.shared(base / "mlflow", start, "/health")

    def show(database: Path) -> int:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(folder / "mlflow.db")) as target:
            source.backup(target)
        return port

    with FileLock(folder / "test.lock"):
        yield show
