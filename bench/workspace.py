"""Creates a fresh workspace outside the checkout, with its dvc.yaml, code and raw data, but without results."""

import compileall
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

CODE = ("src", "pipelines", "requirements")
DVC = (sys.executable, "-m", "dvc")
# variables that would connect a workspace to the checkout or to a server
FOREIGN = ("FEEDFORWARD_ROOT", "FEEDFORWARD_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME")


def environment(folder: Path) -> dict[str, str]:
    """Environment variables for the stages in a workspace, which use this Python and the workspace's code and state."""
    variables = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return variables | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(folder / "src"),
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site"),
        "DVC_NO_ANALYTICS": "1",
    }


def create(checkout: Path, folder: Path) -> None:
    """Create a workspace with the checkout's code, dvc.yaml and params.yaml, but without data."""
    folder.mkdir(parents=True)
    for name in CODE:
        shutil.copytree(checkout / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(folder / name, quiet=2)
    # compiles the kernels, as installation does (requirements/install.py)
    subprocess.run([sys.executable, "-c", "import feedforward.training.kernels"], env=environment(folder), check=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy2(checkout / name, folder / name)
    call(folder, "init", "--quiet", "--no-scm")
    shutil.copytree(checkout / ".dvc" / "plots", folder / ".dvc" / "plots")
    shutil.copy2(checkout / ".dvc" / "config", folder / ".dvc" / "config")
    call(folder, "config", "core.no_scm", "true")


def prepare(checkout: Path, folder: Path) -> None:
    """Create the workspace that every round copies, with raw data that DVC considers fetched.

    Raises:
        SystemExit: the raw data do not exist.
    """
    raw, collected = (checkout / "data" / part for part in ("raw", "collected"))
    if not raw.is_dir() or not collected.is_dir():
        raise SystemExit("data/raw or data/collected: does not exist; run `dvc repro fetch` first")
    create(checkout, folder)
    for part in (raw, collected):
        shutil.copytree(part, folder / "data" / part.name)
    change(folder, {})
    names = [path.name for path in sorted(raw.iterdir()) if path.is_dir()]
    call(folder, "commit", "--quiet", "--force", *(f"fetch@{name}" for name in names))


def call(folder: Path, *arguments: str) -> None:
    """Run DVC in the workspace without measuring it."""
    done = subprocess.run([*DVC, *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"dvc {arguments[0]} exited with code {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        )


def copy(base: Path, folder: Path, changes: Mapping[str, Any]) -> None:
    """Copy the workspace `base` to `folder` and apply `changes` to its params.yaml (see `change`)."""
    shutil.copytree(base, folder, symlinks=True)
    change(folder, changes)


def change(folder: Path, changes: Mapping[str, Any]) -> None:
    """Set values of params.yaml by dotted keys."""
    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path)
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = params
        for name in parents:
            section = section[name]
        section[last] = value
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
