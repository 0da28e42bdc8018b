"""Workspaces without datasets."""

from pathlib import Path

import own_tables
import pytest
import workspaces


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a folder `mirror`, in which tests put the files to fetch."""
    (tmp_path / "checkout" / "mirror").mkdir(parents=True)
    return workspaces.create(tmp_path / "checkout", monkeypatch)


@pytest.fixture
def prepare(tmp_path: Path, shell: object, monkeypatch: pytest.MonkeyPatch) -> own_tables.Prepare:
    """The function `own_tables.prepare`, to be called in a workspace that is the test's folder.

    shell: this fixture leaves any workspace, so it must come first; commands would otherwise change the checkout.
    """
    workspaces.create(tmp_path, monkeypatch)
    return own_tables.prepare
