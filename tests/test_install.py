"""`make` installs into a folder that is empty or its own, and deletes nothing else."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import scripts
from waiting import until

ROOT = Path(__file__).resolve().parent.parent
CREATED = ("bin/python", "pyvenv.cfg")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files that install."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # for uv
    (tmp_path / "checkout").mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / "checkout" / name)
    return tmp_path / "checkout"


def make(checkout: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120, check=False)


def create(checkout: Path, venv: Path) -> None:
    """Create the environment as `make` does, without packages, and mark it as complete."""
    install, folder = scripts.load(checkout / "requirements" / "install.py"), venv.resolve()
    with install.claim(folder) as mark:
        install.create(folder, True, mark)
        (folder / ".checkout").write_text(str(checkout))


def test_make_installs_again_in_a_moved_or_copied_checkout(checkout: Path) -> None:
    venv = checkout / ".venv"
    venv.mkdir()
    (venv / ".cpu").touch()
    # "incomplete" changes nothing here: .cpu says that its packages were installed before the interrupted installation
    for mark, installs in [(checkout, False), (f"{checkout}\nincomplete", False), ("/former/place", True)]:
        (venv / ".checkout").write_text(str(mark))
        assert ("requirements/install.py cpu .venv" in make(checkout, "--dry-run", "run").stdout) == installs
        assert (venv / ".cpu").exists()  # a dry run changes nothing


@pytest.mark.proves("`make` deletes nothing in a folder that it did not create")
@pytest.mark.parametrize("name", ["thesis.tex", ".dev", "pyvenv.cfg", "lib/python3.8/site-packages/package.py"])
def test_a_folder_with_other_files_is_refused(checkout: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "used" / name
    file.parent.mkdir(parents=True)
    file.write_text("important")
    done = make(checkout, "run", f"VENV={tmp_path / 'used'}")
    assert f"{tmp_path / 'used'}: has files that make did not create; name another folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path for path in (tmp_path / "used").rglob("*") if path.is_file()] == [file]


def test_the_environment_of_another_checkout_is_refused_while_the_checkout_exists(
    checkout: Path, tmp_path: Path
) -> None:
    venv, other = tmp_path / "venv", tmp_path / "other"
    other.mkdir()
    create(checkout, venv)
    (venv / ".checkout").write_text(str(other))
    (venv / ".cpu").touch()
    for target in ("help", "run"):
        done = make(checkout, target, f"VENV={venv}")
        assert (venv / ".cpu").exists()
    assert f"{venv}: is the environment of {other}; name another folder (VENV=FOLDER)" in done.stderr
    other.rmdir()
    create(checkout, venv)
    assert not (venv / ".cpu").exists()


@pytest.mark.slow
@pytest.mark.proves("`make` replaces an environment on another disk without replacing the link to it")
def test_an_environment_behind_a_link_is_replaced(checkout: Path, tmp_path: Path) -> None:
    disk, venv = tmp_path / "disk" / "venv", checkout / ".venv"
    venv.symlink_to(disk)  # the folder does not exist yet
    create(checkout, venv)
    for kind, mark in [("complete", str(checkout)), ("incomplete", f"{checkout}\nincomplete"), ("moved", "/former")]:
        (venv / "file").touch()
        (venv / ".checkout").write_text(mark)
        create(checkout, venv)
        assert (venv / "file").exists() == (kind == "complete")
        assert all((disk / name).exists() for name in CREATED)
    assert venv.readlink() == disk


def test_a_second_make_waits_until_the_first_has_installed(
    checkout: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    install, venv = scripts.load(checkout / "requirements" / "install.py"), tmp_path / "venv"
    with ThreadPoolExecutor(1) as second:
        with install.claim(venv) as mark:
            install.create(venv, True, mark)
            waiting = second.submit(create, checkout, venv)
            until(lambda: "waiting until another make" in capfd.readouterr().out)
            (venv / "package").touch()
            (venv / ".checkout").write_text(str(checkout))
        waiting.result(timeout=60)
    assert (venv / "package").exists()


def test_an_environment_of_release_0_2_0_which_has_no_mark_is_accepted_and_kept(checkout: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    create(checkout, venv)
    (venv / ".checkout").unlink()
    (venv / ".cpu").touch()
    create(checkout, venv)
    assert (venv / ".cpu").exists()


def test_a_file_in_place_of_the_folder_is_named_without_a_traceback(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "venv").touch()
    done = make(checkout, "run", f"VENV={tmp_path / 'venv'}")
    assert f"{tmp_path / 'venv'}: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.proves("After an interrupted installation, `make` also installs again what was in the environment before")
def test_everything_that_an_interrupted_installation_deletes_is_installed_again(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(checkout, checkout / ".venv")
    (checkout / ".venv" / ".cpu").touch()
    (checkout / ".venv" / ".checkout").write_text(f"{checkout}\nincomplete")
    install, installed = scripts.load(checkout / "requirements" / "install.py"), list[str]()
    monkeypatch.setattr(install, "installers", lambda *_: iter([["installer"]]))
    original = install.succeeds

    def succeeds(*command: str | Path, **options: int) -> bool:
        if command[0] != "installer":
            return bool(original(*command, **options))
        installed.extend(Path(part).name for part in command if str(part).endswith(".txt"))
        return True

    monkeypatch.setattr(install, "succeeds", succeeds)
    install.install("notebook", checkout / ".venv")
    assert installed == ["setup.txt", "cpu.txt", "notebook.txt"]
    assert all((checkout / ".venv" / f".{name}").exists() for name in ("cpu", "notebook"))


def test_make_without_a_target_lists_the_targets_in_a_moved_checkout(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".checkout").write_text("/former/place")
    assert "install.py" not in make(checkout, "--dry-run").stdout
