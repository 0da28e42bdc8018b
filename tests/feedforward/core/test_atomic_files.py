"""Readers see the old content or the new, never part of it, even if the writer fails or is killed."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st

from feedforward.core import atomic_files, locks

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def file_names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# --- files -------------------------------------------------------------------------------------


def test_a_file_is_written_completely_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "text.txt"
    atomic_files.write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    assert file_names(tmp_path) == {"a/b/text.txt"}


@pytest.mark.parametrize(("private", "expected"), [(False, 0o644), (True, 0o600)])
def test_a_private_file_is_never_open_to_other_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: bool, expected: int
) -> None:
    modes, lock = [], locks.lock_descriptor
    leftover = tmp_path / "key.partial"
    leftover.touch(0o644)  # as a killed process leaves it
    reader = leftover.open("rb")

    def observed_lock(file: int, path: Path) -> None:  # the first that happens to a new file
        modes.append(os.fstat(file).st_mode & 0o777)
        lock(file, path)

    monkeypatch.setattr(locks, "lock_descriptor", observed_lock)
    umask = os.umask(0o022)
    try:
        with atomic_files.writing(tmp_path / "key", private=private) as file:
            file.write(b"secret")
    finally:
        os.umask(umask)
    assert [modes[-1], (tmp_path / "key").stat().st_mode & 0o777] == [expected, expected]
    with reader:
        assert reader.read() == (b"" if private else b"secret")


def test_readers_see_the_old_content_until_the_new_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    atomic_files.write_text(path, "old")
    with atomic_files.writing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_writers_of_one_file_wait_for_each_other(tmp_path: Path) -> None:
    """All writers use one temporary name, so a second writer would truncate the file that the first one renames."""
    path = tmp_path / "text.txt"
    with ThreadPoolExecutor() as threads:
        with atomic_files.writing(path) as file:
            file.write(b"first")
            second = threads.submit(atomic_files.write_text, path, "second")
            assert not wait([second], timeout=0.2).done
        assert path.read_text() in ("first", "second")
        second.result()
    assert path.read_text() == "second"
    assert file_names(tmp_path) == {"text.txt"}


def test_after_an_exception_only_the_old_content_exists(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    atomic_files.write_text(path, "old")

    def fail() -> None:
        with atomic_files.writing(path) as file:
            file.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert file_names(tmp_path) == {"text.txt"}


def test_the_old_content_is_kept_if_json_cannot_represent_the_new_values(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    atomic_files.write_json(path, {"loss": 0.5})
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            atomic_files.write_json(path, {"loss": value})
    assert atomic_files.read_json(path) == {"loss": 0.5}


@pytest.mark.proves("A link planted in place of a temporary file is never followed")
@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to], ids=["symbolic", "hard"])
def test_a_planted_link_is_not_followed(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    victim, path = tmp_path / "victim", tmp_path / "text.txt"
    victim.write_text("precious")
    plant(tmp_path / f"text.txt{atomic_files.TEMPORARY_SUFFIX}", victim)
    with pytest.raises(OSError, match=r"is a link, .* remove it: '.*text\.txt\.partial'"):
        atomic_files.write_text(path, "new")
    assert victim.read_text() == "precious"
    assert not path.exists()


def test_a_dangling_link_and_a_pipe_are_refused(tmp_path: Path) -> None:
    temporary = tmp_path / f"text.txt{atomic_files.TEMPORARY_SUFFIX}"
    temporary.symlink_to(tmp_path / "new")
    with pytest.raises(OSError, match="is a link"):
        atomic_files.write_text(tmp_path / "text.txt", "new")
    temporary.unlink()
    os.mkfifo(temporary)
    with pytest.raises(OSError, match="is a link, a pipe"):
        atomic_files.write_text(tmp_path / "text.txt", "new")
    assert file_names(tmp_path) == set()


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other user could keep the file open, and change it after its digest was checked."""
    (tmp_path / f"text.txt{atomic_files.TEMPORARY_SUFFIX}").touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OSError, match="a file of another user"):
        atomic_files.write_text(tmp_path / "text.txt", "new")


# --- folders -----------------------------------------------------------------------------------


def write_folder(path: Path, *files: str) -> None:
    with atomic_files.writing_folder(path) as temporary:
        for name in files:
            (temporary / name).write_text(name)


def fail_to_write(path: Path) -> None:
    with atomic_files.writing_folder(path) as temporary:
        (temporary / "c").write_text("half")
        raise RuntimeError


def test_a_folder_is_replaced_with_all_its_files(tmp_path: Path) -> None:
    write_folder(tmp_path / "split", "a", "b")
    write_folder(tmp_path / "split", "c")
    assert file_names(tmp_path) == {"split/c"}


def test_after_an_exception_only_the_old_folder_exists(tmp_path: Path) -> None:
    write_folder(tmp_path / "split", "a", "b")
    with pytest.raises(RuntimeError):
        fail_to_write(tmp_path / "split")
    assert file_names(tmp_path) == {"split/a", "split/b"}


def test_the_old_folder_remains_if_the_new_one_cannot_be_renamed(tmp_path: Path) -> None:
    write_folder(tmp_path / "split", "a")
    folder = atomic_files.writing_folder(tmp_path / "split")
    folder.__enter__().rename(tmp_path / "taken away")
    with pytest.raises(FileNotFoundError, match="split"):
        folder.__exit__(None, None, None)
    assert (tmp_path / "split" / "a").read_text() == "a"


def test_files_of_a_killed_writer_are_not_mixed_into_the_next_folder(tmp_path: Path) -> None:
    temporary = tmp_path / f"split{atomic_files.TEMPORARY_SUFFIX}"
    temporary.mkdir()
    (temporary / "stale").write_text("x")
    write_folder(tmp_path / "split", "a")
    assert file_names(tmp_path) == {"split/a"}


def test_links_in_place_of_temporary_folders_are_removed_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    write_folder(tmp_path / "split", "a")
    for planted in atomic_files.temporary_folders(tmp_path / "split"):
        planted.symlink_to(elsewhere)
    write_folder(tmp_path / "split", "b")
    assert file_names(tmp_path) == {"split/b", "elsewhere/precious"}
    assert not any(folder.is_symlink() for folder in tmp_path.iterdir())


def test_a_folder_that_is_a_link_is_replaced_every_time(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "split").symlink_to(tmp_path / "disk")
    for name in "abc":
        write_folder(tmp_path / "split", name)
    assert file_names(tmp_path) == {"split/c"}


# --- killed writers ----------------------------------------------------------------------------

WRITE_FILE = """
from pathlib import Path
from feedforward.core import atomic_files
atomic_files.write_text(Path({path!r}), "new", "here")
"""
WRITE_FOLDER = """
from pathlib import Path
from feedforward.core import atomic_files
with atomic_files.writing_folder(Path({path!r}), "here") as folder:
    (folder / "content").write_text("new")
"""


def run_child(script: str, path: Path, fault: str) -> int:
    environment = {**os.environ, "FAULT": fault}
    return subprocess.run([sys.executable, "-c", script.format(path=str(path))], env=environment).returncode


@pytest.mark.slow
def test_after_a_kill_the_old_file_exists_and_the_next_write_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    atomic_files.write_text(path, "old")
    assert run_child(WRITE_FILE, path, "here.before_rename") == -signal.SIGKILL
    assert path.read_text() == "old"
    assert run_child(WRITE_FILE, path, "elsewhere.before_rename") == 0
    assert path.read_text() == "new"
    assert file_names(tmp_path) == {"text.txt"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["here.before_rename", "here.between_renames"])
def test_after_a_kill_the_old_folder_is_complete_or_is_restored(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "folder"
    write_folder(path, "old")
    assert run_child(WRITE_FOLDER, path, fault) == -signal.SIGKILL
    assert not path.exists() or file_names(path) == {"old"}
    with pytest.raises(RuntimeError):
        fail_to_write(path)  # restores the old folder
    assert file_names(tmp_path) == {"folder/old"}
    assert run_child(WRITE_FOLDER, path, "") == 0
    assert file_names(tmp_path) == {"folder/content"}


@pytest.mark.parametrize("fault", [None, "other"])
def test_crash_points_do_nothing_unless_named_in_the_environment(fault: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "FAULT"}
    environment |= {"FAULT": fault} if fault else {}
    code = "from feedforward.core import atomic_files; atomic_files.crash_point('write.before_rename'); print('alive')"
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert process.stdout == "alive\n"


# --- digests -----------------------------------------------------------------------------------


@examples(100)
@given(JSON_VALUES)
def test_canonical_json_round_trips(value: Any) -> None:
    assert json.loads(atomic_files.canonical_json(value)) == value


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=6))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert atomic_files.digest(value) == atomic_files.digest(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [{"a": 2}, {"b": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": [1]}, {}])
def test_different_values_have_different_digests(value: Any) -> None:
    assert atomic_files.digest(value) != atomic_files.digest({"a": 1})


def test_file_digest_is_the_sha_256_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert atomic_files.file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_open_file_has_a_path_in_the_target_folder(tmp_path: Path) -> None:
    with atomic_files.writing(tmp_path / "data") as file:
        assert Path(file.name).parent == tmp_path  # `archives` creates its temporary files in the folder of this path
