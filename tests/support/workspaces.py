"""Create and enter workspaces, for code that runs in the process of the test."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

VARIABLES = ("FEEDFORWARD_STORE", "FEEDFORWARD_MIRROR", "MLFLOW_TRACKING_URI")


def create(root: Path, patch: pytest.MonkeyPatch, params: str = "") -> Path:
    """Create a workspace with this params.yaml, and enter it until `patch` is undone."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(params)
    return enter(root, patch)


def enter(root: Path, patch: pytest.MonkeyPatch) -> Path:
    """Enter a workspace, with its own store and without a mirror, until `patch` is undone."""
    for name in VARIABLES:
        patch.delenv(name, raising=False)
    patch.setenv("FEEDFORWARD_ROOT", str(root))
    return root


@contextlib.contextmanager
def inside(root: Path) -> Iterator[Path]:
    """Enter a workspace for the duration of the block."""
    with pytest.MonkeyPatch.context() as patch:
        yield enter(root, patch)


def add_store(root: Path, empty_database: Path) -> Path:
    """Copy the database of the `empty_database` fixture into a workspace, which then has a store without runs."""
    (root / "mlruns").mkdir()
    shutil.copy(empty_database, root / "mlruns" / "mlflow.db")
    return root
