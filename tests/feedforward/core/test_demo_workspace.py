"""The demo's workspace is recognized by its place in a checkout."""

from pathlib import Path

import pytest

from feedforward.core import demo_workspace


def test_commands_for_the_workspace_of_the_demo_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = tmp_path / "demo"
    demo.mkdir()
    (demo / "params.yaml").touch()
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(demo))
    assert demo_workspace.prefix() == ""  # an own workspace with this name
    (tmp_path / "params.yaml").touch()
    assert demo_workspace.prefix() == "FEEDFORWARD_ROOT=demo "
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
    assert demo_workspace.prefix() == ""
