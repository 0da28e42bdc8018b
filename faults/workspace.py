"""A small workspace, in which the whole line runs in seconds: 2,000 sentences, one variant, one seed, one epoch."""

import contextlib
import functools
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

import psutil
from ruamel.yaml import YAML

from faults import ROOT
from feedforward.core import processes

NAME = "reviews"
EMPTY = "empty"  # folder with a store that holds no run: to make one takes seconds
DVC = (sys.executable, "-m", "dvc")
REPRO = (sys.executable, "-m", "pipelines.dvc_repro")  # what `make run` calls
FEEDFORWARD = (sys.executable, "-m", "feedforward.cli")
TIMEOUT = 300.0  # s for one command
FOREIGN = ("DVC", "FAULT", "FEEDFORWARD", "MLFLOW", "PREFECT")
Done = subprocess.CompletedProcess[str]


def jobs() -> int:
    """How many jobs run side by side: one more than there are cores, for some wait for servers or for their moment."""
    return max(2, processes.cores()) + 1


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Of commands in a workspace: this Python, nothing of the workspace's surroundings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site"),
        "DVC_NO_ANALYTICS": "1",
        "NO_COLOR": "1",
        **more,
    }


def run(folder: Path, *command: str, **more: str) -> Done:
    """Run a command in a workspace, to its end."""
    return subprocess.run(
        command, cwd=folder, env=environment(folder, **more), capture_output=True, text=True, timeout=TIMEOUT
    )


def start(folder: Path, *command: str, **more: str) -> "subprocess.Popen[bytes]":
    """Start a command in a workspace, as a process group of its own; what it prints is in `said`."""
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            command, cwd=folder, env=environment(folder, **more), stdout=said, stderr=said, start_new_session=True
        )


def said(folder: Path) -> str:
    """What the command that was started printed."""
    return (folder / "said").read_text(encoding="utf-8", errors="replace")


def one_line(done: Done, code: int, *words: str) -> str:
    """The message of a command that ended as it should: with that code, in one line with these words, no traceback."""
    assert done.returncode == code, f"exit code {done.returncode} instead of {code}: {done.stderr[-500:]}"
    assert "Traceback" not in done.stderr, f"a traceback: {done.stderr[-500:]}"
    lines = [line for line in done.stderr.splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, f"no line, or several, with {words}: {done.stderr[-500:]}"
    return lines[0]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that DVC tracks, and of no half that a killed process left."""
    tracked = [path for place in ("data", "reports/comparison", "reports/validation") for path in walk(folder / place)]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tracked
        if path.name != ".gitignore" and ".partial" not in str(path)
    }


def walk(folder: Path) -> list[Path]:
    """The files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def runs(database: Path) -> dict[str, list[str]]:
    """Status → role, variant and seed of each run of an MLflow database that is not deleted, in order."""
    pick = ", ".join(f"MAX(CASE WHEN key = '{key}' THEN value END)" for key in ("role", "variant", "seed"))
    query = f"SELECT status, {pick} FROM runs JOIN tags USING (run_uuid) WHERE lifecycle_stage = 'active'"
    found: dict[str, list[str]] = {}
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        for status, *which in connection.execute(f"{query} GROUP BY run_uuid ORDER BY 2, 3, 4"):
            found.setdefault(status, []).append(" ".join(map(str, which)))
    return found


def at_work(folder: Path) -> list[psutil.Process]:
    """The processes whose working directory lies in the workspace."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def wait_until_alone(folder: Path, seconds: float) -> float:
    """Wait until nobody works in the workspace; how long that took, in seconds."""
    began = time.monotonic()
    while left := at_work(folder):
        waited = time.monotonic() - began
        assert waited < seconds, f"{len(left)} processes still at work after {seconds:.0f} s"
        time.sleep(0.05)
    return time.monotonic() - began


@dataclass(frozen=True, eq=False)
class Line:
    """A workspace in which the line has run once, undisturbed. digests: of what it left."""

    folder: Path
    digests: Mapping[str, str]

    @contextlib.contextmanager
    def copy(self, name: str) -> Iterator[Path]:
        """A copy beside it, which is removed when the block ends well."""
        folder = self.folder.with_name(name)
        shutil.copytree(self.folder, folder, symlinks=True)
        yield folder
        shutil.rmtree(folder)

    def same(self, folder: Path) -> None:
        """Hold the outputs of another workspace to these, byte by byte; no half of a file lies among them."""
        found = digests(folder)
        differ = sorted(name for name in self.digests.keys() | found if self.digests.get(name) != found.get(name))
        assert not differ, f"{len(differ)} outputs differ, {differ[0]} first"
        halves = [path for place in ("data", "reports") for path in walk(folder / place) if ".partial" in str(path)]
        assert not halves, f"{halves[0]} was left"


def prepare(folder: Path) -> Path:
    """A workspace in which nothing has run yet."""
    folder.mkdir(parents=True)
    change(folder, tiny())
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("src", "pipelines", "requirements"):  # dependencies of the stages; what runs is the installed package
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(folder, *DVC, "init", "--quiet", "--no-scm").returncode == 0
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    assert run(folder, *DVC, "config", "core.no_scm", "true").returncode == 0
    return folder


def finish(folder: Path) -> Line:
    """Run the line in a fresh workspace."""
    prepare(folder)
    done = run(folder, sys.executable, "-c", "from feedforward import tracking; tracking.open_store()")
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.copytree(folder / "mlruns", folder / EMPTY)
    done = run(folder, *REPRO)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Line(folder, digests(folder))


@functools.cache
def _demo() -> Any:
    return YAML(typ="safe", pure=True).load((ROOT / "demo" / "params.yaml").read_text(encoding="utf-8"))


def tiny() -> dict[str, Any]:
    """The parameters: the embedded reviews, called real so that they may be promoted."""
    data = next(dict(values) for values in _demo()["datasets"].values() if values["task"] == "binary")
    training = {**data["training"], "epochs": 1, "final": {"variant": "original", "epochs": 1}}
    training.pop("lecture")
    data |= {"demo": False, "claims": [], "training": training}
    return {
        **_demo(),
        "seeds": 1,
        "mirrors": [str(ROOT / "samples")],
        "promotion": {"holdout_models": 1},
        "variants": {"original": {}},
        "datasets": {NAME: data},
    }


def forget(folder: Path, stage: str) -> None:
    """Let DVC take a stage for one that never ran: not in dvc.lock, nor to be brought back from the run cache."""
    shutil.rmtree(folder / ".dvc" / "cache" / "runs")
    yaml, path = YAML(), folder / "dvc.lock"
    lock = yaml.load(path)
    del lock["stages"][stage]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(lock, file)


def change(folder: Path, values: Mapping[str, Any]) -> None:
    """Set keys of the top level of params.yaml."""
    yaml, path = YAML(typ="safe", pure=True), folder / "params.yaml"
    before = yaml.load(path) if path.exists() else {}
    with path.open("w", encoding="utf-8") as file:
        yaml.dump({**before, **values}, file)
