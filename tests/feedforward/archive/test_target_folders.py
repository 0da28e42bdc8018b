"""`import` replaces only a folder that it has unpacked itself, and keeps every file that a person added or changed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Shell

from feedforward.archive.layout import DIGESTS


def test_a_folder_that_is_not_an_archive_is_not_overwritten(archive: Path, small_shell: Shell) -> None:
    target = archive.with_name("mine")
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    assert small_shell.run("import", str(archive), "--to", str(target)) == 1
    assert "exists and is not an archive; name another folder with --to" in small_shell.stderr
    assert (target / "thesis.txt").read_text() == "years of work"


FOREIGN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "other digests": (
        "exists and is not an archive",
        lambda folder: (folder / DIGESTS).write_text('{"texts.tar": {"entry": "0", "sha256": "0"}}'),
    ),
    "unreadable": ("exists and is not an archive", lambda folder: (folder / DIGESTS).write_bytes(b"\xff")),
    "added": ("notes.md was added or changed", lambda folder: (folder / "notes.md").write_text("mine")),
    "changed": ("params.yaml was added or changed", lambda folder: (folder / "params.yaml").write_text("mine")),
    "link": (
        "params.yaml was added or changed",
        lambda folder: (
            (folder / "params.yaml").rename(folder.parent / "x")
            and (folder / "params.yaml").symlink_to(folder.parent / "x")
        ),
    ),
}


@pytest.mark.proves("`import` deletes no file that a person added to an unpacked archive, or changed there")
@pytest.mark.parametrize("suffix", ["", ".old.partial"])
@pytest.mark.parametrize("case", FOREIGN)
def test_a_folder_with_other_files_is_not_overwritten(
    archive: Path, unpacked: Path, small_shell: Shell, case: str, suffix: str
) -> None:
    message, change = FOREIGN[case]
    folder = unpacked.rename(unpacked.with_name(f"mine{suffix}"))
    change(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert small_shell.run("import", str(archive), "--to", str(folder.with_name("mine"))) == 1
    assert f"{folder}: {message}" in small_shell.stderr
    assert "; name another folder with --to\n" in small_shell.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_incomplete_file_of_a_killed_import_is_replaced(archive: Path, unpacked: Path, small_shell: Shell) -> None:
    (unpacked / "params.yaml").write_bytes(b"datasets:")
    unpacked.rename(archive.with_name("result.partial"))
    assert small_shell.run("import", str(archive)) == 0
    assert not archive.with_name("result.partial").exists()


@pytest.mark.proves("`import` deletes no folder that is not an archive")
@pytest.mark.parametrize("suffix", [".partial", ".old.partial"])
def test_folders_that_an_import_would_delete_are_kept(archive: Path, small_shell: Shell, suffix: str) -> None:
    mine = archive.with_name(f"result{suffix}")
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    assert small_shell.run("import", str(archive)) == 1
    assert f"result{suffix}: exists and is not an archive; name another folder with --to" in small_shell.stderr
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert not archive.with_suffix("").exists()
    (mine / "thesis.txt").unlink()
    assert small_shell.run("import", str(archive)) == 0


@pytest.mark.parametrize("folder", [".", "..", "/"])
def test_a_folder_without_a_name_is_not_replaced(
    archive: Path, small_shell: Shell, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(archive.parent)
    assert small_shell.run("import", str(archive), "--to", folder) == 1
    assert "exists and is not an archive; name another folder with --to" in small_shell.stderr


@pytest.mark.parametrize("inside", ["", "reports"])
def test_the_current_folder_is_not_replaced(
    archive: Path, small_shell: Shell, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    target = archive.with_name("mine")
    target.mkdir()
    if inside:
        assert small_shell.run("import", str(archive), "--to", str(target)) == 0
    monkeypatch.chdir(target / inside)
    assert small_shell.run("import", str(archive), "--to", str(target)) == 1
    assert "mine: is or contains the current folder and would be replaced; name another folder" in small_shell.stderr
    assert Path.cwd().is_dir()


def test_a_link_to_a_folder_is_kept(archive: Path, small_shell: Shell) -> None:
    target, link = archive.with_name("elsewhere"), archive.with_name("link")
    target.mkdir()
    link.symlink_to(target)
    for _ in range(2):
        assert small_shell.run("import", str(archive), "--to", str(link)) == 0
        assert link.is_symlink()
        assert (target / "digests.json").is_file()


@pytest.mark.slow
def test_concurrent_imports_do_not_affect_each_other(archive: Path, workspace: Path) -> None:
    command = [sys.executable, "-m", "feedforward.cli", "import", str(archive)]
    running = [subprocess.Popen(command, cwd=workspace, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert {path.name for path in archive.parent.iterdir()} == {"result", "result.zip"}


@pytest.mark.slow
def test_an_import_succeeds_after_a_killed_one(archive: Path, workspace: Path) -> None:
    def run(point: str) -> int:
        command = [sys.executable, "-m", "feedforward.cli", "import", str(archive)]
        return subprocess.run(command, cwd=workspace, env=os.environ | {"FAULT": point}).returncode

    assert run("import.before_rename") == -signal.SIGKILL
    assert {path.name for path in archive.parent.iterdir() if path.is_dir()} == {"result.partial"}
    assert run("") == 0
    assert run("import.between_renames") == -signal.SIGKILL
    assert run("") == 0
    assert {path.name for path in archive.parent.iterdir() if path.is_dir()} == {"result"}
