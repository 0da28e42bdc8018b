"""The folder of DVC's cache is the one that DVC itself uses."""

import subprocess
import sys
from pathlib import Path

import pytest
import workspaces

from feedforward.core import dvc_cache
from feedforward.core.errors import DataError

pytestmark = pytest.mark.slow

DVC = (sys.executable, "-m", "dvc")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a DVC project, and with separate settings of the user and the system."""
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level.lower()))
    root = workspaces.create(tmp_path / "work", monkeypatch, "seeds: 1\n")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    return root


def test_default_is_in_the_project(project: Path) -> None:
    assert dvc_cache.folder() == project / ".dvc" / "cache" / "files" / "md5"


@pytest.mark.parametrize("level", ["--local", "--project", "--global", "--system"])
@pytest.mark.parametrize("where", ["../else where", "/nowhere/cache#1"], ids=["relative", "absolute"])
def test_a_moved_cache_is_found_as_dvc_finds_it(project: Path, level: str, where: str) -> None:
    subprocess.run([*DVC, "cache", "dir", level, where], cwd=project, check=True)
    asked = subprocess.run([*DVC, "cache", "dir"], cwd=project, check=True, capture_output=True, text=True)
    assert dvc_cache.folder() == Path(asked.stdout.strip()) / "files" / "md5"


def test_the_most_specific_setting_applies(project: Path, tmp_path: Path) -> None:
    for config in (tmp_path / "system" / "config", project / ".dvc" / "config", project / ".dvc" / "config.local"):
        config.parent.mkdir(exist_ok=True)
        config.write_text(f"[cache]\n    dir = {config.name}-cache\n['remote \"main\"']\n    url = elsewhere\n")
    assert dvc_cache.folder() == project / ".dvc" / "config.local-cache" / "files" / "md5"


def test_a_damaged_setting_is_reported(project: Path) -> None:
    (project / ".dvc" / "config").write_text("cache.dir = /elsewhere\n")
    with pytest.raises(DataError, match=r"config: cannot be read \(.*\); correct it"):
        dvc_cache.folder()
