"""Neither DVC nor git takes an archive that is in a checkout for a part of the checkout."""

import shutil
from pathlib import Path

import pytest
from dvc_projects import dvc
from git_repositories import git
from shell import Shell

from feedforward.archive import contents


@pytest.mark.slow
@pytest.mark.proves("An archive that is unpacked in a checkout is not part of the checkout's pipeline")
@pytest.mark.parametrize("unpack", [("export", "result"), ("import", "result.zip")], ids=lambda command: command[0])
def test_dvc_does_not_collect_the_pipeline_of_an_archive(
    finished: Path, small_shell: Shell, monkeypatch: pytest.MonkeyPatch, unpack: tuple[str, ...]
) -> None:
    monkeypatch.chdir(finished)
    assert small_shell.run("export", "result.zip") == 0
    assert small_shell.run(*unpack) == 0, small_shell.stderr
    assert (finished / "result" / "pipeline.yaml").read_bytes() == (finished / contents.PIPELINE).read_bytes()
    assert "result" not in dvc(finished, "stage", "list", "--all", "--names-only")
    assert dvc(finished, "status") == "Data and pipelines are up to date.\n"
    assert dvc(finished, "checkout") == ""
    assert dvc(finished, "repro").endswith("Data and pipelines are up to date.\n")
    assert small_shell.run("import", "result") == 0  # all files are as they were


def test_git_ignores_the_archives_that_the_documentation_writes(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[3] / ".gitignore", tmp_path)
    git(tmp_path, "init", "-q")
    (tmp_path / "result").mkdir()
    for name in ("result.zip", "mine.zip", "result/params.yaml"):
        (tmp_path / name).touch()
    assert git(tmp_path, "status", "--porcelain", "--untracked-files=all") == "?? .gitignore"
