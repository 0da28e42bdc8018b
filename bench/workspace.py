"""A fresh workspace outside the checkout: the stages of dvc.yaml over the same raw data, without any results."""

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
    """The environment of the stages in a workspace: this Python, the workspace's code and state."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(folder / "src"),
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site"),
        "DVC_NO_ANALYTICS": "1",
    }


def prepare(checkout: Path, folder: Path) -> None:
    """Create the workspace that every round copies: code, params, and raw data marked as fetched.

    Raises:
        SystemExit: the raw data are not there.
    """
    raw, collected = (checkout / "data" / part for part in ("raw", "collected"))
    if not raw.is_dir() or not collected.is_dir():
        raise SystemExit("data/raw: not there; run `dvc repro fetch` first")
    folder.mkdir(parents=True)
    for name in CODE:
        shutil.copytree(checkout / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(folder / name, quiet=2)
    # as installation does, see requirements/install.py
    subprocess.run([sys.executable, "-c", "import feedforward.training.kernels"], env=environment(folder), check=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy2(checkout / name, folder / name)
    for part in (raw, collected):
        shutil.copytree(part, folder / "data" / part.name)
    call(folder, "init", "--quiet", "--no-scm")
    shutil.copy2(checkout / ".dvc" / "config", folder / ".dvc" / "config")
    call(folder, "config", "core.no_scm", "true")
    change(folder, {})
    names = [path.name for path in sorted(raw.iterdir()) if path.is_dir()]
    call(folder, "commit", "--quiet", "--force", *(f"fetch@{name}" for name in names))


def call(folder: Path, *arguments: str) -> None:
    """Run dvc in the workspace without measuring."""
    done = subprocess.run([*DVC, *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"dvc {arguments[0]} ended with {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        )


def copy(base: Path, folder: Path, changes: Mapping[str, Any]) -> None:
    """A fresh workspace like `base` with `changes` of params.yaml (see `change`)."""
    shutil.copytree(base, folder, symlinks=True)
    change(folder, changes)


def change(folder: Path, changes: Mapping[str, Any]) -> None:
    """Set values of params.yaml by dotted keys."""
    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path)
    for key, value in changes.items():
        *above, last = key.split(".")
        at = params
        for name in above:
            at = at[name]
        at[last] = value
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
