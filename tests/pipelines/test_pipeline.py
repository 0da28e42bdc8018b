"""The whole pipeline through DVC on small data, from files to reports: killed, run again, and run twice at once."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def environment(**extra: str) -> dict[str, str]:
    variables = {
        key: value for key, value in os.environ.items() if not key.startswith(("PREFECT", "MLFLOW", "FEEDFORWARD"))
    }
    return variables | {"PATH": f"{Path(sys.executable).parent}:{variables['PATH']}"} | extra


def repro(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**extra), capture_output=True, text=True, timeout=500, check=False
    )


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that DVC tracks, without temporary files, which a killed process may leave."""
    tracked = [*(folder / "data").rglob("*"), *(folder / "reports" / "comparison").rglob("*")]
    tracked += (folder / "reports" / "validation").rglob("*")
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(tracked)
        if path.is_file() and path.name != ".gitignore" and ".partial" not in str(path)
    }


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, prefect_server_address: str) -> Path:
    """A workspace like demo/, with one dataset and two variants, run once."""
    folder = tmp_path_factory.mktemp("line")
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((ROOT / "demo" / "params.yaml").read_text())
    name, dataset = next((n, d) for n, d in params["datasets"].items() if d["task"] == "binary")
    dataset["training"] |= {"epochs": 3, "final": {"variant": "original", "epochs": 2}}
    dataset["claims"] = []
    dataset["training"].pop("lecture", None)
    params |= {"mirrors": [str(ROOT / "samples")], "datasets": {name: dataset}}
    params["variants"] = {key: params["variants"][key] for key in ("original", "dropout")}
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params, file)
    for file_name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / file_name, folder)
    for name in (
        "src",
        "pipelines",
        "requirements",
    ):  # dependencies of the stages; the code that runs is the installed package
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, env=environment(), check=True)
    done = repro(folder, PREFECT_API_URL=prefect_server_address)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_pipeline_writes_results_reports_and_runs(workspace: Path) -> None:
    results = json.loads((workspace / "data" / "trained" / "fair.json").read_text())
    assert len(results["runs"]) == 2 * 2 + 2  # variants × seeds, and the final model's seeds
    assert all(run["metrics"]["test_accuracy"] > 0.5 for run in results["runs"] if run["role"] == "final")
    assert "dropout" in (workspace / "reports" / "comparison" / "table.md").read_text()
    assert (workspace / "mlruns" / "mlflow.db").is_file()


def test_a_second_run_does_nothing(workspace: Path) -> None:
    before = digests(workspace)
    done = repro(workspace)
    assert "Data and pipelines are up to date." in done.stdout
    assert digests(workspace) == before


@pytest.mark.proves("A killed job that is started again gives the same bytes")
def test_rerun_after_a_kill_between_logging_and_writing_gives_identical_files(
    workspace: Path, tmp_path: Path, prefect_server_address: str
) -> None:
    copy = tmp_path / "killed"
    shutil.copytree(workspace, copy, symlinks=True, ignore=shutil.ignore_patterns("mlruns", "trained"))
    options = ["-f", "-s", *stages(copy, "train")]  # -f: otherwise, DVC would restore outputs from its cache
    server = {"PREFECT_API_URL": prefect_server_address}
    killed = repro(copy, *options, FAULT="train.after_log", **server)  # `faults` tests the other crash points
    assert killed.returncode != 0
    assert "failed to reproduce 'train" in killed.stderr + killed.stdout
    done = repro(copy, *options, **server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(copy) == digests(workspace)


def stages(folder: Path, prefix: str) -> list[str]:
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split() if name.startswith(prefix)]


@pytest.mark.proves("When DVC is killed, its stage ends too")
def test_a_stage_ends_if_only_dvc_is_killed(workspace: Path, tmp_path: Path) -> None:
    copy = tmp_path / "orphan"
    shutil.copytree(workspace, copy, symlinks=True)
    shutil.rmtree(copy / "mlruns")
    command = [sys.executable, "-m", "dvc", "repro", "-f", "-s", *stages(copy, "train")]
    dvc = subprocess.Popen(command, cwd=copy, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    child = holder(copy / ".locks", "train-*.holder")
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.wait()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists(), "the stage continues as an orphan"


def holder(folder: Path, pattern: str) -> int:
    """Return the process ID in the first file that matches. Wait for it, because the file is empty at first."""
    for _ in range(600):
        for path in folder.glob(pattern):
            if len(words := path.read_text().split()) > 1:
                return int(words[1])
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} in {folder}")


def vectorize(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run the stage directly, without DVC."""
    command = [sys.executable, "-m", "pipelines.stages", "vectorize", name]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def test_error_of_a_second_job_names_the_running_process(workspace: Path) -> None:
    from feedforward.core import processes

    name = next(iter(YAML(typ="safe", pure=True).load((workspace / "params.yaml").read_text())["datasets"]))
    with processes.only_one(workspace / ".locks" / f"vectorize-{name}.lock", "a test"):
        done = vectorize(workspace, name)
    assert done.returncode == 75
    assert f"process {os.getpid()} (a test) is running here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ({"seeds": -1}, "params.yaml: seeds: must be at least 1, got -1"),
        ({"colour": "red"}, "params.yaml: colour: unknown key"),
    ],
)
def test_a_stage_rejects_invalid_params_before_any_work(
    workspace: Path, tmp_path: Path, edit: dict[str, object], line: str
) -> None:
    params = YAML(typ="safe", pure=True).load((workspace / "params.yaml").read_text()) | edit
    with (tmp_path / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params, file)
    done = vectorize(tmp_path, next(iter(params["datasets"])))
    assert done.returncode == 2
    assert line in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"params.yaml", ".locks"}
