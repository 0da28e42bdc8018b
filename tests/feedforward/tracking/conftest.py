"""An empty store in a temporary workspace."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import workspaces

from feedforward import tracking

if TYPE_CHECKING:
    from feedforward.tracking import Store


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = workspaces.create(tmp_path / "work", monkeypatch, "seeds: 1\n")
    return workspaces.add_store(root, empty_database)


@pytest.fixture
def store(workspace: Path) -> "Store":
    return tracking.open_store()
