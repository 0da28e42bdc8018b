"""Creates a fresh workspace outside the checkout, with the checkout's dvc.yaml, code and raw data, but no results."""

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
# environment variables that would connect a workspace to the checkout or to a server
REMOVED_VARIABLES = ("FEEDFORWARD_ROOT", "FEEDFORWARD_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME")


def environment(folder: Path) -> dict[str, str]:
    """Environment variables that make the stages in a workspace use this Python and the workspace's code and state."""
    variables = {name: value for name, value in os.environ.items() if name not in REMOVED_VARIABLES}
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
    # the import compiles the kernels, as installation does (requirements/install.py)
    subprocess.run([sys.executable, "-c", "import feedforward.training.kernels"], env=environment(folder), check=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy2(checkout / name, folder / name)
    call(folder, "init", "--quiet", "--no-scm")
    shutil.copytree(checkout / ".dvc" / "plots", folder / ".dvc" / "plots")
    shutil.copy2(checkout / ".dvc" / "config", folder / ".dvc" / "config")
    call(folder, "config", "core.no_scm", "true")


def prepare(checkout: Path, folder: Path) -> None:
    """Create the workspace that every round copies; commit its raw data, so that `dvc repro` skips `fetch`.

    Raises:
        SystemExit: an output of the `fetch` stage does not exist.
    """
    raw, collected = (checkout / "data" / name for name in ("raw", "collected"))
    for source in (raw, collected):
        if not source.is_dir():
            raise SystemExit(f"data/{source.name}: does not exist; run `dvc repro fetch` first")
    create(checkout, folder)
    for source in (raw, collected):
        shutil.copytree(source, folder / "data" / source.name)
    change(folder, {})  # rewrites params.yaml with the formatting that it will have in all copies
    names = [path.name for path in sorted(raw.iterdir()) if path.is_dir()]
    call(folder, "commit", "--quiet", "--force", *(f"fetch@{name}" for name in names))


def call(folder: Path, *arguments: str) -> None:
    """Run a DVC command in the workspace, without measuring it."""
    done = subprocess.run([*DVC, *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"dvc {arguments[0]} exited with code {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        )


def copy(base: Path, folder: Path, changes: Mapping[str, Any]) -> None:
    """Copy the workspace `base` to `folder`, and apply `changes` to the copy's params.yaml (see `change`)."""
    shutil.copytree(base, folder, symlinks=True)
    change(folder, changes)


def change(folder: Path, changes: Mapping[str, Any]) -> None:
    """Set values in the workspace's params.yaml. changes: new value by dotted key, such as `variants.l2.l2`."""
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
