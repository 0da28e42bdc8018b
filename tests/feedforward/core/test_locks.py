"""Lock files that other users cannot open, and limits on how long a process waits for a lock."""

import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from filelock import Timeout

from feedforward.core import append_only_log, atomic_files, locks, processes
from feedforward.core.errors import Busy


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file or folder that is opened for reading, as another user could who may read it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.proves("Other users cannot open the lock files of jobs and logs, so they cannot hold these locks")
def test_lock_files_can_be_opened_only_by_their_owner(tmp_path: Path) -> None:
    with processes.only_one(tmp_path / "job.lock", "a job"):
        append_only_log.append(tmp_path / "log.jsonl", {"a": 1})
        with locks.holding(tmp_path / "other.lock"):
            pass
    lock_files = ["job.lock", ".log.jsonl.lock", "other.lock"]
    assert [permissions(tmp_path / name) for name in lock_files] == [0o600] * 3
    assert permissions(tmp_path / "log.jsonl") != 0o600


def test_a_lock_file_of_an_earlier_release_is_narrowed(tmp_path: Path) -> None:
    lock = tmp_path / "job.lock"
    lock.touch(0o644)
    with locks.private(lock):
        assert permissions(lock) == 0o600


def test_a_link_in_place_of_a_lock_file_changes_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(0o644)
    (tmp_path / "job.lock").symlink_to(target)
    with pytest.raises((OSError, Timeout)):
        locks.private(tmp_path / "job.lock", timeout=0).acquire()
    assert permissions(target) == 0o644


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "NOTICE", 0.05)


@pytest.mark.usefixtures("impatient")
def test_waiting_for_a_lock_is_reported_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "log.jsonl"
    append_only_log.append(path, {"a": 1})
    with (
        locked(tmp_path / ".log.jsonl.lock"),
        pytest.raises(Busy, match=r"log\.jsonl\.lock: another process has locked"),
    ):
        append_only_log.append(path, {"a": 2}, timeout=0.2)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "waiting for up to 0.2 s" in caplog.text
    assert len(list(append_only_log.read(path))) == 1


@pytest.mark.usefixtures("impatient")
def test_a_locked_folder_or_temporary_file_does_not_block_forever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks.lock_descriptor, "__defaults__", (0.2,))
    (tmp_path / "file.partial").touch()
    with ExitStack() as stack:
        stack.enter_context(locked(tmp_path))
        stack.enter_context(locked(tmp_path / "file.partial"))
        with pytest.raises(Busy, match="another process has locked it"), processes.locked_folder(tmp_path):
            raise AssertionError
        with pytest.raises(Busy, match=r"file\.partial: another process has locked it"):
            atomic_files.write_text(tmp_path / "file", "text")
    assert len(caplog.records) == 2
    atomic_files.write_text(tmp_path / "file", "text")
    with processes.locked_folder(tmp_path):
        pass
