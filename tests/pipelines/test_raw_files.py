"""After `git checkout`, raw files of another commit are noticed, and the remedy restores those of this commit."""

import shutil
from pathlib import Path

import pytest
from git_repositories import commit, git

from faults import ROOT
from faults.workspace import DVC, run
from feedforward.core import paths
from pipelines import raw_files

PIPELINE = "stages:\n  fetch:\n    cmd: 'true'\n    outs:\n      - data/raw/wine:\n          persist: true\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits, whose raw files differ."""
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", tmp_path / ".dvc")
    (tmp_path / "params.yaml").touch()
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / ".gitignore").write_text("/data\n/.dvc/cache\n/.dvc/tmp\n/.dvc/site\n")
    git(tmp_path, "init", "-q")
    for content in ("first", "second"):
        fetch(tmp_path, content)
        dvc(tmp_path, "commit", "--force", "fetch")
        commit(tmp_path, content)
    return tmp_path


def fetch(root: Path, content: str) -> None:
    shutil.rmtree(root / "data", ignore_errors=True)
    paths.raw("wine").mkdir(parents=True)
    for name in ("digests.json", "wine.csv"):
        (paths.raw("wine") / name).write_text(content)


def dvc(root: Path, *arguments: str) -> None:
    done = run(root, *DVC, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.proves("`feedforward run` says if the raw files are those of another commit, with a remedy that works")
def test_raw_files_of_another_commit_are_noticed(root: Path) -> None:
    assert raw_files.of_another_commit(root, ["wine"]) == []
    git(root, "checkout", "-q", "HEAD~1")
    assert raw_files.of_another_commit(root, ["wine", "unknown"]) == ["wine"]
    dvc(root, "checkout", "data/raw/wine")
    assert (paths.raw("wine") / "wine.csv").read_text() == "first"
    assert raw_files.of_another_commit(root, ["wine"]) == []
    fetch(root, "third")
    assert raw_files.of_another_commit(root, ["wine"]) == [], "fetched since the last run"
    (root / "dvc.lock").write_text("stages: [")  # damaged by a kill
    assert raw_files.of_another_commit(root, ["wine"]) == []
    (root / "dvc.lock").unlink()
    assert raw_files.of_another_commit(root, ["wine"]) == []
