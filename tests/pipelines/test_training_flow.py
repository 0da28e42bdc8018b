"""The training flow from the command line: the files that it writes, and how it ends."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import live_prefect
import pytest
import small_data
from clean_environment import environment

from feedforward.core import processes
from pipelines import interruption

pytestmark = pytest.mark.slow

FEEDFORWARD = (sys.executable, "-m", "feedforward.cli")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with small prepared data, in which nothing has been trained."""
    return small_data.write_workspace(tmp_path, seeds=1)


def files_that_contain(folder: Path, text: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if text.encode() in path.read_bytes()]


@pytest.mark.proves("The password in the tracking server's address is stored nowhere, not even in Prefect's database")
def test_the_password_of_the_tracking_server_is_stored_nowhere(workspace: Path) -> None:
    store = "http://someone:c4n4ry-7d1e55@127.0.0.1:9"  # no server listens there, so the runs wait in the spool
    command = [*FEEDFORWARD, "train", "notes", "--variant", "original"]
    done = subprocess.run(
        command, cwd=workspace, env=environment(MLFLOW_TRACKING_URI=store), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "c4n4ry" not in done.stdout + done.stderr
    assert (workspace / ".prefect" / "prefect.db").is_file()
    assert files_that_contain(workspace, "c4n4ry") == []


def test_a_variant_that_the_chosen_dataset_does_not_train_is_an_error(workspace: Path) -> None:
    values = small_data.values(seeds=1)
    values["datasets"]["notes"]["training"] |= {"variants": ["original", "l2"]}
    small_data.write_params(workspace / "params.yaml", values)
    command = [*FEEDFORWARD, "train", "notes", "--variant", "dropout", "--json"]
    done = subprocess.run(command, cwd=workspace, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing to train: `training.variants` of the chosen datasets names none of the chosen" in done.stderr


# --- interruptions and locks ------------------------------------------------------------------


def statuses(folder: Path) -> list[str]:
    """Return the statuses of the logged runs, or none if there is no database yet."""
    with contextlib.suppress(sqlite3.Error):
        address = f"file:{folder / 'mlruns' / 'mlflow.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            return [status for (status,) in connection.execute("SELECT status FROM runs")]
    return []


def write_endless_params(folder: Path) -> Path:
    """Write parameters with which training would take hours."""
    values = small_data.values(seeds=1)
    values["datasets"]["notes"]["training"]["epochs"] = 100_000
    return small_data.write_params(folder / "params.yaml", values)


@pytest.mark.proves("Ctrl-C or SIGTERM ends a job with exit code 130, without a traceback or a run that stays RUNNING")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "arguments",
    [("train", "notes", "--variant", "original"), ("sweep", "notes", "l2=0.01,0.02")],
    ids=["train", "sweep"],
)
def test_an_interrupted_job_closes_its_runs(
    workspace: Path, arguments: tuple[str, ...], signal_number: signal.Signals
) -> None:
    """SIGINT is sent to the whole process group, as by a terminal; SIGTERM to one process, as by a process manager."""
    write_endless_params(workspace)
    with subprocess.Popen(
        [*FEEDFORWARD, *arguments],
        cwd=workspace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as job:
        while "RUNNING" not in statuses(workspace) and job.poll() is None:
            time.sleep(0.1)
        time.sleep(1)
        if signal_number == signal.SIGINT:
            os.killpg(job.pid, signal_number)
        else:
            job.send_signal(signal_number)
        printed = job.communicate(timeout=60)[0]
    assert job.returncode == interruption.EXIT_CODE, printed
    assert printed.splitlines()[-1] == interruption.MESSAGE, printed
    assert "Traceback" not in printed
    final_statuses = set(statuses(workspace))
    assert "KILLED" in final_statuses
    assert final_statuses <= {"KILLED", "FINISHED"}, "the final run has only two epochs and may be done"


@contextlib.contextmanager
def training_with_server(
    workspace: Path, tmp_path: Path, status: str, **variables: str
) -> Iterator[tuple[live_prefect.Server, "subprocess.Popen[str]"]]:
    """Start a Prefect server of its own and a training, and wait until a run has this status, or the job has ended."""
    (tmp_path / "server").mkdir()
    with (
        live_prefect.Server(tmp_path / "server") as server,
        subprocess.Popen(
            [*FEEDFORWARD, "train", "notes", "--variant", "original"],
            cwd=workspace,
            env=environment(PREFECT_API_URL=server.api, **variables),
            stderr=subprocess.PIPE,
            text=True,
        ) as job,
    ):
        while status not in statuses(workspace) and job.poll() is None:
            time.sleep(0.1)
        yield server, job


@pytest.mark.proves("Canceling a training in Prefect ends its command like Ctrl-C, and its flow run as Cancelled")
@pytest.mark.parametrize("action", [live_prefect.cancel, live_prefect.delete])
def test_a_training_that_is_canceled_or_deleted_in_prefect_ends_as_if_interrupted(
    workspace: Path, tmp_path: Path, action: Callable[[str, str], None]
) -> None:
    write_endless_params(workspace)
    with training_with_server(workspace, tmp_path, "RUNNING") as (server, job):
        [flow_run] = live_prefect.ask(server.api, "flow_runs")
        action(server.api, flow_run["id"])
        printed = job.communicate(timeout=60)[1]
        flow_runs = live_prefect.ask(server.api, "flow_runs")
    assert job.returncode == interruption.EXIT_CODE, printed
    assert printed.splitlines()[-1] == interruption.MESSAGE, printed
    assert "Traceback" not in printed
    assert [run["state_name"] for run in flow_runs] == (["Cancelled"] if action is live_prefect.cancel else [])
    final_statuses = set(statuses(workspace))
    assert "KILLED" in final_statuses
    assert final_statuses <= {"KILLED", "FINISHED"}, "the final run has only two epochs and may be done"


def test_a_job_whose_server_is_lost_ends_with_an_error_that_names_it(workspace: Path, tmp_path: Path) -> None:
    values = small_data.values(seeds=6, pack_units=1)
    values["datasets"]["notes"]["training"]["epochs"] = 200
    small_data.write_params(workspace / "params.yaml", values)
    # normally, the client tries again for a minute
    with training_with_server(workspace, tmp_path, "FINISHED", PREFECT_CLIENT_MAX_RETRIES="0") as (server, job):
        server.process.kill()
        printed = job.communicate(timeout=120)[1]
    assert job.returncode == 1, printed
    assert f"{server.api}: Prefect's server no longer answers (" in printed.splitlines()[-1], printed
    assert "interrupted" not in printed
    assert "Traceback" not in printed
    assert "Marvin" not in printed
    assert "failed to process item" not in printed
    assert "RUNNING" not in statuses(workspace)


@pytest.mark.proves("A second job in a checkout is refused with exit code 75")
@pytest.mark.parametrize("lock", ["run", "training"])
def test_a_second_job_exits_with_75(workspace: Path, lock: str) -> None:
    for arguments in (["train", "notes"], ["sweep", "notes", "l2=0.01"]):
        with processes.only_one(workspace / ".locks" / f"{lock}.lock", "a test"):
            command = [*FEEDFORWARD, *arguments]
            done = subprocess.run(
                command, cwd=workspace, env=environment(), capture_output=True, text=True, check=False
            )
        assert done.returncode == 75, done.stderr
        assert "(a test) is running here" in done.stderr
