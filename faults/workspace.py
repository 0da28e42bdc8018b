"""A small workspace in which the pipeline runs in seconds: 2,000 sentences, one variant, one seed, one epoch."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clean_environment
import dvc_projects
import psutil
from ruamel.yaml import YAML

from faults import ROOT
from feedforward.core import processes

NAME = "reviews"  # the only dataset
EMPTY_STORE = "empty"  # folder with an empty store; scenarios copy it, because creating a store takes seconds
DVC = (sys.executable, "-m", "dvc")
REPRO = (sys.executable, "-m", "pipelines.dvc_repro")  # does what `feedforward run` does
FEEDFORWARD = (sys.executable, "-m", "feedforward.cli")
TIMEOUT = 300.0  # s for one command
Completed = subprocess.CompletedProcess[str]


def job_count() -> int:
    """Return the number of parallel jobs: one more than there are cores, because some wait for a server or a kill."""
    return max(2, processes.cores()) + 1


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return the environment variables for commands in a workspace.

    PATH starts with this Python's folder; the caller's variables for DVC, MLflow, Prefect and feedforward are left out.
    """
    return clean_environment.environment() | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site"),
        "DVC_NO_ANALYTICS": "1",
        "NO_COLOR": "1",
        **variables,
    }


def run(folder: Path, *command: str, **variables: str) -> Completed:
    """Run a command in a workspace and wait for it."""
    return subprocess.run(
        command, cwd=folder, env=environment(folder, **variables), capture_output=True, text=True, timeout=TIMEOUT
    )


def start(folder: Path, *command: str, **variables: str) -> "subprocess.Popen[bytes]":
    """Start a command in a workspace, in a new process group; `output` returns what it printed."""
    with (folder / "output.log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=folder, env=environment(folder, **variables), stdout=log, stderr=log, start_new_session=True
        )


def output(folder: Path) -> str:
    """Return the output of the command that `start` started in this workspace."""
    return (folder / "output.log").read_text(encoding="utf-8", errors="replace")


def one_line(done: Completed, code: int, *words: str) -> str:
    """Check the exit code, and that standard error has no traceback and one line with all `words`; return that line."""
    assert done.returncode == code, f"exit code {done.returncode} instead of {code}: {done.stderr[-500:]}"
    assert "Traceback" not in done.stderr, f"a traceback: {done.stderr[-500:]}"
    lines = [line for line in done.stderr.splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, f"{len(lines)} lines instead of 1 with {words}: {done.stderr[-500:]}"
    return lines[0]


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every output that DVC tracks; partial files of killed processes do not count."""
    tracked = [path for name in ("data", "reports/comparison", "reports/validation") for path in walk(folder / name)]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tracked
        if path.name != ".gitignore" and ".partial" not in str(path)
    }


def walk(folder: Path) -> list[Path]:
    """Return the files in a folder and its subfolders, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def runs(database: Path) -> dict[str, list[str]]:
    """Return role, variant and seed of each run in an MLflow database, except deleted runs: sorted, by status."""
    columns = ", ".join(f"MAX(CASE WHEN key = '{key}' THEN value END)" for key in ("role", "variant", "seed"))
    query = f"SELECT status, {columns} FROM runs JOIN tags USING (run_uuid) WHERE lifecycle_stage = 'active'"
    by_status: dict[str, list[str]] = {}
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        for status, *tags in connection.execute(f"{query} GROUP BY run_uuid ORDER BY 2, 3, 4"):
            by_status.setdefault(status, []).append(" ".join(map(str, tags)))
    return by_status


def running_processes(folder: Path) -> list[psutil.Process]:
    """Return the running processes whose working directory is in the workspace."""
    matches = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                matches.append(process)
    return matches


def wait_until_idle(folder: Path, seconds: float) -> float:
    """Wait at most this long until no process runs in the workspace; return how many seconds that took."""
    began = time.monotonic()
    while running := running_processes(folder):
        waited = time.monotonic() - began
        assert waited < seconds, f"{len(running)} processes still running after {seconds:.0f} s"
        time.sleep(0.05)
    return time.monotonic() - began


@dataclass(frozen=True, eq=False)
class Baseline:
    """A workspace in which the pipeline has run once, undisturbed. digests: the digests of its outputs."""

    folder: Path
    digests: Mapping[str, str]

    @contextlib.contextmanager
    def copy(self, name: str) -> Iterator[Path]:
        """Yield a copy next to this workspace; the copy is removed unless the block fails."""
        folder = self.folder.with_name(name)
        shutil.copytree(self.folder, folder, symlinks=True)
        yield folder
        shutil.rmtree(folder)

    def check_outputs(self, folder: Path) -> None:
        """Check that another workspace's outputs have the same bytes as these, and that no partial files are left."""
        received = digests(folder)
        names = self.digests.keys() | received
        different = sorted(name for name in names if self.digests.get(name) != received.get(name))
        assert not different, f"{len(different)} outputs differ from the baseline; the first is {different[0]}"
        files = [path for name in ("data", "reports") for path in walk(folder / name)]
        partial_files = [path for path in files if ".partial" in str(path)]
        assert not partial_files, f"{partial_files[0]} was not removed"


def copy_code(folder: Path, *files: str) -> None:
    """Copy files of the checkout and its code, because DVC hashes the code; `feedforward` itself runs as installed."""
    for name in files:
        shutil.copy(ROOT / name, folder)
    for name in ("src", "pipelines", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def prepare(folder: Path) -> Path:
    """Create a workspace in which nothing has run yet."""
    folder.mkdir(parents=True, exist_ok=True)
    change_params(folder, tiny_params())
    copy_code(folder, "dvc.yaml", ".dvcignore")
    dvc_projects.init(folder, (ROOT / ".dvc" / "config").read_text())
    return folder


def make_baseline(folder: Path) -> Baseline:
    """Create a workspace, run the pipeline in it once, and return it as the baseline."""
    prepare(folder)
    done = run(folder, sys.executable, "-c", "from feedforward import tracking; tracking.open_store()")
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.copytree(folder / "mlruns", folder / EMPTY_STORE)
    done = run(folder, *REPRO)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Baseline(folder, digests(folder))


def demo_params() -> dict[str, Any]:
    """Return the parameters of the demo."""
    values: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "demo" / "params.yaml").read_text("utf-8"))
    return values


def tiny_params() -> dict[str, Any]:
    """Return small parameters for the bundled sample reviews, with `demo` off, so that models can be promoted."""
    values = demo_params()
    dataset = next(entry for entry in values["datasets"].values() if entry["task"] == "binary")
    dataset |= {"demo": False, "claims": []}
    dataset["training"] |= {"epochs": 1, "final": {"variant": "original", "epochs": 1}}
    del dataset["training"]["lecture"]
    return {
        **values,
        "seeds": 1,
        "mirrors": [str(ROOT / "samples")],
        "promotion": {"holdout_models": 1},
        "variants": {"original": {}},
        "datasets": {NAME: dataset},
    }


def forget_stage(folder: Path, stage: str) -> None:
    """Make DVC forget that a stage has run: remove the stage from dvc.lock, and delete the run cache."""
    shutil.rmtree(folder / ".dvc" / "cache" / "runs")
    yaml, path = YAML(), folder / "dvc.lock"
    lock = yaml.load(path)
    del lock["stages"][stage]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(lock, file)


def change_params(folder: Path, values: Mapping[str, Any]) -> None:
    """Set top-level keys of params.yaml, which is created if it does not exist."""
    yaml, path = YAML(typ="safe", pure=True), folder / "params.yaml"
    before = yaml.load(path) if path.exists() else {}
    yaml.default_flow_style = False  # libyaml cannot read a URL with a port and a query in a one-line list
    with path.open("w", encoding="utf-8") as file:
        yaml.dump({**before, **values}, file)
