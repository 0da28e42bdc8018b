"""Measures how MLflow's and Prefect's servers scale: `python -m bench.scale`, or `make bench` (see docs/scale.md).

Simulated workers (processes without TensorFlow) log one complete run after another to an MLflow server through
`feedforward.tracking`: parameters, tags, six curves, metrics, a plot and a model file. Other simulated workers run one
Prefect flow after another. Each server is measured with SQLite and, if it is installed, with PostgreSQL. The workers
share the cores with the servers, so the servers' CPU time is measured as well. Writes reports/bench/scale.json.
"""

import contextlib
import gc
import multiprocessing
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from ruamel.yaml import YAML

from bench import measure, terminal
from bench.clients import quantile
from faults import stack
from faults.stack import Orchestration, Postgres, Server, Tracking
from feedforward import tracking
from feedforward.analysis.run_result import RunResult
from feedforward.core import atomic_files, paths
from feedforward.reports import run_figures
from pipelines import environment

WORKERS = (1, 4, 16, 64)
FLOW_WORKERS = (1, 4)
SECONDS = 20.0  # per server and number of workers
EPOCHS = 20
CURVES = tuple(part + name for part in ("", "val_") for name in ("loss", "accuracy", "cross_entropy"))
METRICS, PARAMS = 8, 20
MODEL = 650_000  # bytes: the file of a network of 10,000 × 16 × 16 × 1 weights
SQLITE, POSTGRES = "sqlite", "PostgreSQL"
POINTS = EPOCHS * len(CURVES) + METRICS  # values in the curves and metrics of a run
DATASET = "scale"


@dataclass(frozen=True)
class Measurement:
    """How well a server coped with a number of workers.

    rate: runs (or flow runs) per second; p50, p99: seconds from the start of a run until the server had received all of
    it; cpu: CPU seconds that the server and its database used per run; late: number of runs that `sync` had to send,
    because the first attempt failed; lost: number of runs, or points of curves, that never arrived.
    """

    workers: int
    rate: float
    p50: float
    p99: float
    cpu: float
    late: int
    lost: int


def main() -> None:
    """Measure, write and print."""
    parser = terminal.parser("scale", __doc__, "few workers, one second, SQLite only")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds per server and number of workers")
    options = parser.parse_args()
    seconds = 1.0 if options.quick else options.seconds
    report = measure_all(seconds, options.quick) | {"quick": options.quick}
    atomic_files.write_json(options.json, report)
    print(text(report))


def measure_all(seconds: float, quick: bool) -> dict[str, Any]:
    """Measure both servers for each database and number of workers, and how many bytes there are to transfer."""
    report: dict[str, Any] = {"machine": measure.machine(), "seconds": seconds, "runs": {}, "flows": {}}
    for backend in [SQLITE] if quick or stack.missing_requirements() else [SQLITE, POSTGRES]:
        with tempfile.TemporaryDirectory(prefix="feedforward-scale-") as name, contextlib.ExitStack() as exits:
            folder = Path(name)
            folder.chmod(0o755)  # if the current user is root, PostgreSQL runs as another user
            postgres = _postgres(folder, exits) if backend == POSTGRES else None
            with run_server(_tracking_server(folder, postgres, 2 if quick else 4)) as server:
                data = TrackingData(folder, server, postgres)
                counts = WORKERS[:2] if quick else WORKERS
                report["runs"][backend] = [asdict(_measure_logging(data, workers, seconds)) for workers in counts]
                report["artifact_bytes"] = data.artifact_bytes() // data.finished_runs()
            address = postgres.url("prefect", "asyncpg") if postgres else None
            with run_server(Orchestration(folder / "prefect", address)) as server:
                counts = FLOW_WORKERS[:1] if quick else FLOW_WORKERS
                flows = [_measure_flows(server, postgres, workers, seconds) for workers in counts]
                report["flows"][backend] = [asdict(measurement) for measurement in flows]
    return report | {"remote": remote_bytes(paths.root() / "dvc.lock")}


# --- servers ---------------------------------------------------------------------------------------


def _postgres(folder: Path, exits: contextlib.ExitStack) -> Postgres:
    postgres = Postgres(folder / "postgres", connections=200)
    exits.callback(postgres.start().kill)
    postgres.wait()
    postgres.make_databases()
    return postgres


def _tracking_server(folder: Path, postgres: Postgres | None, processes: int) -> Server:
    database = postgres.url("mlflow", "psycopg2") if postgres else f"sqlite:///{folder}/mlflow.db"
    return Tracking(folder / "mlflow", database, str(folder / "artifacts"), {}, workers=processes)


@contextlib.contextmanager
def run_server(server: Server) -> Iterator[Any]:
    """Start the server, yield it once it answers, and kill it at the end of the block."""
    try:
        yield server.start().wait()
    finally:
        server.kill()


def cpu_seconds(*servers: Server | None) -> float:
    """CPU seconds that the processes of the servers have used so far."""
    total = 0.0
    for server in filter(None, servers):
        process = psutil.Process(server.process.pid)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += sum(member.cpu_times()[:4])  # includes children that have ended
    return total


@dataclass(frozen=True)
class TrackingData:
    """What MLflow's server has stored, as read from its database and its artifact root."""

    folder: Path
    server: Tracking
    postgres: Postgres | None

    def finished_runs(self) -> int:
        """Number of finished runs."""
        return self._query("SELECT COUNT(*) FROM runs WHERE status = 'FINISHED'")

    def metric_points(self) -> int:
        """Number of values in the curves and metrics of all runs."""
        return self._query("SELECT COUNT(*) FROM metrics")

    def artifact_bytes(self) -> int:
        """Total bytes of all artifacts."""
        return sum(path.stat().st_size for path in (self.folder / "artifacts").rglob("*") if path.is_file())

    def _query(self, query: str) -> int:
        connection: Any
        if self.postgres is None:
            connection = sqlite3.connect(self.folder / "mlflow.db", timeout=60)
        else:
            import psycopg2  # in requirements/cluster.txt

            connection = psycopg2.connect(self.postgres.url("mlflow", "x").replace("+x", ""))
        with contextlib.closing(connection):
            cursor = connection.cursor()
            cursor.execute(query)
            return int(cursor.fetchone()[0])


# --- workers ---------------------------------------------------------------------------------------


def _run_in_workers(
    workers: int, work: Callable[[int, float, float], Any], seconds: float, lead: float = 0.0
) -> list[Any]:
    """Call `work(worker, start_time, end_time)` in `workers` processes, forked to save imports; return the results.

    lead: seconds that each process needs before it can start.
    """
    context = multiprocessing.get_context("fork")
    queue: Any = context.Queue()
    start_time = time.monotonic() + 1.0 + workers * (0.05 + lead)
    gc.freeze()  # the forked processes keep sharing memory pages

    def run(worker: int) -> None:
        queue.put(work(worker, start_time, start_time + seconds))

    processes = [context.Process(target=run, args=(worker,), daemon=True) for worker in range(workers)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=seconds + 300) for _ in processes]
    for process in processes:
        process.join()
    return results


Moments = list[tuple[float, float]]  # start and end of each run


def _summarize(workers: int, moments: Moments, cpu: float, late: int = 0, lost: int = 0) -> Measurement:
    durations = sorted(end - start for start, end in moments)
    span = max(end for _, end in moments) - min(start for start, _ in moments)
    run_count = len(moments)
    p50, p99 = quantile(durations, 0.5), quantile(durations, 0.99)
    measurement = Measurement(workers, run_count / span, p50, p99, cpu / run_count, late, lost)
    print(measurement, flush=True)
    return measurement


def _measure_logging(data: TrackingData, workers: int, seconds: float) -> Measurement:
    os.environ["MLFLOW_TRACKING_URI"] = data.server.address
    tracking.open_store()  # imports MLflow before the workers are forked
    plot = run_figures.curves([_result(0)], "a run")
    network = np.random.default_rng(0).bytes(MODEL)

    def work(worker: int, start_time: float, end_time: float) -> tuple[Moments, int]:
        os.environ["FEEDFORWARD_STORE"] = str(data.folder / f"worker-{workers}-{worker}")
        store, moments, late = tracking.open_store(), [], 0
        time.sleep(max(0.0, start_time - time.monotonic()))
        while not moments or time.monotonic() < end_time:
            began = time.monotonic()
            seed = (workers * 100 + worker) * 10_000 + len(moments)
            tags = tracking.RunTags(DATASET, "original", "fair", "replica", atomic_files.digest(seed), "0" * 64, seed)
            run = store.start(tags, f"seed {seed}")
            store.finish(
                run,
                result=_result(seed),
                params={f"parameter_{k}": k for k in range(PARAMS)},
                files={"figures/curves.svg": plot, "network/model.keras": network},
                inputs=[tracking.DataInput(f"{DATASET}-training", "0" * 64, "training", "data")],
            )
            if (paths.store() / "spool" / run.id).exists():
                late += 1
                while store.sync().waiting:
                    time.sleep(0.5)
            moments.append((began, time.monotonic()))
        return moments, late

    runs_before, points_before = data.finished_runs(), data.metric_points()
    cpu_before = cpu_seconds(data.server, data.postgres)
    results = _run_in_workers(workers, work, seconds)
    cpu = cpu_seconds(data.server, data.postgres) - cpu_before
    moments = [moment for worker_moments, _ in results for moment in worker_moments]
    late = sum(worker_late for _, worker_late in results)
    lost = len(moments) - (data.finished_runs() - runs_before)
    lost += len(moments) * POINTS - (data.metric_points() - points_before)
    return _summarize(workers, moments, cpu, late, lost)


def _result(seed: int) -> RunResult:
    rng = np.random.default_rng(seed)
    curves = {name: rng.random(EPOCHS).tolist() for name in CURVES}
    metrics = {f"metric_{k}": float(rng.random()) for k in range(METRICS)}
    return RunResult(DATASET, "original", seed, "fair", "replica", curves, metrics, atomic_files.digest(seed))


def _measure_flows(server: Orchestration, postgres: Postgres | None, workers: int, seconds: float) -> Measurement:
    environment.apply()  # Prefect reads the variables when it is imported
    from prefect import flow, task
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    @task
    def step() -> None:
        pass

    @flow(log_prints=False, persist_result=False)
    def training() -> None:
        step()

    def work(_worker: int, start_time: float, end_time: float) -> Moments:
        with temporary_settings({PREFECT_API_URL: server.address, PREFECT_LOGGING_TO_API_ENABLED: False}):
            training()  # warm-up, once per process
            moments = []
            time.sleep(max(0.0, start_time - time.monotonic()))
            while not moments or time.monotonic() < end_time:
                began = time.monotonic()
                training()
                moments.append((began, time.monotonic()))
        return moments

    cpu_before = cpu_seconds(server, postgres)
    results = _run_in_workers(workers, work, seconds, lead=2.0)
    cpu = cpu_seconds(server, postgres) - cpu_before
    return _summarize(workers, [moment for moments in results for moment in moments], cpu)


# --- bytes -----------------------------------------------------------------------------------------


def remote_bytes(lock: Path) -> dict[str, int]:
    """Bytes that `dvc push` sends for each dataset and for all results of training (`trained`), without compression."""
    stages = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))["stages"]
    sizes: dict[str, int] = {}
    for stage in stages.values():
        for out in stage.get("outs", []):
            path = Path(out["path"])
            if path.parts[0] == "data":
                name = "trained" if path.parts[1] == "trained" else path.stem
                sizes[name] = sizes.get(name, 0) + out["size"]
    return sizes


# --- output ------------------------------------------------------------------------------------------


def table(report: Mapping[str, Any], part: str) -> list[list[str]]:
    """A header and a row for each database and number of workers. part: `runs` (MLflow) or `flows` (Prefect)."""
    rows = [["", "workers", "per second", "p50 s", "p99 s", "server CPU s per run", "late", "lost"]]
    for backend, measurements in report[part].items():
        for row in measurements:
            seconds = [f"{row[key]:.2f}" for key in ("rate", "p50", "p99")]
            counts = [str(row[key]) for key in ("late", "lost")]
            rows.append([backend, str(row["workers"]), *seconds, f"{row['cpu']:.3f}", *counts])
    return rows


def bytes_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header, a row for each dataset and for the results of training, and a row for a run's artifacts."""
    rows = [["sent by `dvc push`", "MB"]]
    rows += [[name, f"{size / 1e6:.1f}"] for name, size in report["remote"].items()]
    return [*rows, ["MLflow artifacts of one run", f"{report['artifact_bytes'] / 1e6:.1f}"]]


def text(report: Mapping[str, Any]) -> str:
    """All tables, for a terminal."""
    return terminal.text(report, table(report, "runs"), table(report, "flows"), bytes_table(report))


if __name__ == "__main__":
    main()
