"""An empty store in a temporary workspace."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feedforward import tracking

if TYPE_CHECKING:
    from feedforward.tracking import Store


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "work"
    (root / "mlruns").mkdir(parents=True)
    (root / "params.yaml").write_text("seeds: 1\n")
    shutil.copy(empty_database, root / "mlruns" / "mlflow.db")
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.fixture
def store(workspace: Path) -> "Store":
    return tracking.open_store()
