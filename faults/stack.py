"""Runs, on this machine's loopback interface, the servers that several machines share in production.

These are PostgreSQL, an S3 store, MLflow, Prefect and Dask: the services of compose.yaml without Docker. Each is a
process that can be stopped, killed and started again at the same address. Requires PostgreSQL's programs and
requirements/cluster.txt.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from live_servers import free_port

from faults import workspace

PACKAGES = ("psycopg2", "asyncpg", "boto3", "moto", "prefect_dask")
BUCKETS = ("dvc", "mlflow")
DATABASES = ("mlflow", "prefect")
OWNER = "feedforward"  # the owner of the databases
PYTHON = sys.executable


def missing_requirements() -> str:
    """Return a message that names what is not installed on this machine; empty if the stack can start."""
    names = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not _program("postgres"):
        names.append("PostgreSQL")
    return f"not installed: {', '.join(names)}" if names else ""


class Server:
    """A server in its own process group. answers: returns whether the server is ready."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        answers: Callable[[], bool],
        user: int | None = None,
    ) -> None:
        self.folder, self._command, self._environment = folder, command, dict(environment)
        self._answers, self._user = answers, user
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> "Server":
        """Start the server; do not wait for it to be ready."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
            )
        return self

    def wait(self, timeout: float = 180.0) -> "Server":
        """Wait until the server answers.

        Raises:
            AssertionError: the server exited, or does not answer within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while not self._answers():
            assert self.process.poll() is None, f"{self._command[:4]} exited: {self.output()[-2000:]}"
            assert time.monotonic() < end, f"{self._command[:4]} does not answer: {self.output()[-2000:]}"
            time.sleep(0.1)
        return self

    def signal(self, signal_number: signal.Signals) -> None:
        """Send a signal to all processes of the server."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal_number)

    def stop(self) -> None:
        """Terminate the server and wait until it exits."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.kill()

    def kill(self) -> None:
        """Kill all processes of the server."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def output(self) -> str:
        """Return the server's log."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


def health(address: str) -> Callable[[], bool]:
    """Return a function that returns whether the address answers without an error."""

    def answers() -> bool:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return True
        except OSError:
            return False

    return answers


# --- servers -------------------------------------------------------------------------------------


class Postgres(Server):
    """PostgreSQL in `folder`, for MLflow and Prefect; runs as the user `postgres` if the current user is root."""

    def __init__(self, folder: Path, connections: int = 100) -> None:
        user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
        self.port = free_port()
        data = folder / "data"
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "max_connections": connections}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        command = [_program("postgres"), "-D", str(data), "-k", "", *options]
        super().__init__(folder, command, workspace.environment(folder), self._accepts_connections, user)
        if user is not None:
            os.chown(folder, user, -1)
        create = [_program("initdb"), "-D", str(data), "-U", OWNER, "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run(create, user=user, cwd=folder, check=True, capture_output=True)

    def url(self, database: str, driver: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+{driver}://{OWNER}@127.0.0.1:{self.port}/{database}"

    def make_databases(self) -> None:
        """Create empty databases for MLflow and Prefect."""
        for name in DATABASES:
            self.make_database(name)

    def make_database(self, name: str) -> None:
        """Create an empty database."""
        command = [_program("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", OWNER, name]
        subprocess.run(command, check=True, capture_output=True)

    def _accepts_connections(self) -> bool:
        command = [_program("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(command, check=False).returncode == 0


def _program(name: str) -> str:
    """Return the path of a PostgreSQL program, which may not be on PATH; empty if it is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(programs[-1]) if programs else shutil.which(name) or ""


class ObjectStore(Server):
    """moto's S3 server; its content is lost when it exits."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        command = [PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(folder, command, workspace.environment(folder), health(f"{self.address}/moto-api/"))

    def make_buckets(self) -> None:
        """Create empty buckets for DVC and MLflow."""
        for name in BUCKETS:
            urllib.request.urlopen(urllib.request.Request(f"{self.address}/{name}", method="PUT"), timeout=10).close()


class Tracking(Server):
    """`mlflow server` with a database and an artifact root (a folder or s3://BUCKET). store: variables for S3."""

    def __init__(self, folder: Path, database: str, artifacts: str, store: Mapping[str, str], workers: int = 1) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        command = [PYTHON, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(workers), "--artifacts-destination", artifacts]
        settings = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment = workspace.environment(folder, MLFLOW_DISABLE_TELEMETRY="true", **settings)
        super().__init__(folder, command, environment | dict(store), health(f"{self.address}/health"))


class Orchestration(Server):
    """Prefect's server as `make server` starts it, in a separate workspace. database: None for SQLite in `folder`."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/api"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "params.yaml").touch()
        settings = {"FEEDFORWARD_ROOT": str(folder), "PREFECT_HOME": str(folder / ".prefect")}
        if database:
            settings["PREFECT_API_DATABASE_CONNECTION_URL"] = database
        command = [PYTHON, "-m", "pipelines.operations", "server", "--port", str(port)]
        super().__init__(folder, command, workspace.environment(folder, **settings), health(f"{self.address}/ready"))


class Scheduler(Server):
    """Dask's scheduler."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        command = [PYTHON, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
        super().__init__(folder, [*command, "--no-dashboard"], workspace.environment(folder), lambda: _listens(port))


class Worker(Server):
    """A Dask worker with one thread and its own checkout; no nanny restarts it when it dies."""

    def __init__(self, folder: Path, checkout: Path, scheduler: str, **variables: str) -> None:
        command = [PYTHON, "-m", "distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-nanny"]
        environment = workspace.environment(checkout, FEEDFORWARD_ROOT=str(checkout), **variables)
        super().__init__(folder, [*command, "--no-dashboard"], environment, lambda: "Registered to" in self.output())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- all servers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stack:
    """All servers. environment: the variables that a client needs to use them."""

    postgres: Postgres
    store: ObjectStore
    tracking: Tracking
    orchestration: Orchestration
    scheduler: Scheduler
    environment: dict[str, str]


@contextlib.contextmanager
def started() -> Iterator[Stack]:
    """Start all servers; they are killed when the `with` block ends."""
    with contextlib.ExitStack() as exit_stack, tempfile.TemporaryDirectory(prefix="feedforward-stack-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # if the current user is root, PostgreSQL runs as another user
        postgres, store, scheduler = (
            Postgres(folder / "postgres"),
            ObjectStore(folder / "s3"),
            Scheduler(folder / "dask"),
        )
        server: Server
        for server in (postgres, store, scheduler):
            exit_stack.callback(server.start().kill)
        postgres.wait()
        postgres.make_databases()
        store.wait()
        store.make_buckets()
        tracking = Tracking(folder / "mlflow", postgres.url("mlflow", "psycopg2"), "s3://mlflow", store.environment)
        orchestration = Orchestration(folder / "prefect", postgres.url("prefect", "asyncpg"))
        for server in (tracking, orchestration):
            exit_stack.callback(server.start().kill)
        for server in (scheduler, tracking, orchestration):
            server.wait()
        shared = {"MLFLOW_TRACKING_URI": tracking.address, "PREFECT_API_URL": orchestration.address}
        yield Stack(postgres, store, tracking, orchestration, scheduler, shared | store.environment)
