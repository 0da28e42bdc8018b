"""Locks between processes: files that only their owner can open, so that no other user can make a process wait.

Anyone who can open a file for reading can lock it with `flock`. Waiting therefore has a limit where a file or folder
itself is locked instead of a private lock file, and where others may have opened the lock file of an earlier release.
"""

import contextlib
import fcntl
import logging
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from feedforward.core.errors import Busy

NOTICE = 20.0  # s of waiting after which a warning is logged
# s to wait: SHORT for processes that write a few lines, LONG for those that download, migrate or write archives
SHORT, LONG = 30.0, 600.0
log = logging.getLogger(__name__)


def private(path: Path, timeout: float = -1) -> FileLock:
    """A lock whose file only this user can open; permissions that an existing file gives to others are removed.

    timeout: see FileLock.
    """
    with contextlib.suppress(OSError):  # there is no file yet, or it is another user's, which FileLock reports
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            path.chmod(0o600)
    return FileLock(path, timeout=timeout, mode=0o600)


@contextlib.contextmanager
def holding(path: Path, timeout: float = SHORT) -> Iterator[None]:
    """Hold the private lock `path` during the block. Warn after NOTICE seconds of waiting.

    Raises:
        Busy: the lock was not released within `timeout` seconds.
    """
    lock = private(path)
    try:
        lock.acquire(timeout=min(NOTICE, timeout))
    except Timeout:
        if timeout <= NOTICE:
            raise _busy(path, timeout) from None
        _warn(path, timeout)
        try:
            lock.acquire(timeout=timeout - NOTICE)
        except Timeout:
            raise _busy(path, timeout) from None
    try:
        yield
    finally:
        lock.release()


def lock_descriptor(descriptor: int, path: Path, timeout: float = LONG) -> None:
    """Lock an open file or folder until the descriptor is closed. Warn after NOTICE seconds of waiting.

    Raises:
        Busy: the lock was not released within `timeout` seconds.
    """
    began, warned = time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - began
        if waited >= timeout:
            raise _busy(path, timeout)
        if waited >= NOTICE and not warned:
            warned = True
            _warn(path, timeout)
        time.sleep(0.02)


def _warn(path: Path, timeout: float) -> None:
    log.warning("%s: another process has locked it; waiting for up to %g s", path, timeout)


def _busy(path: Path, timeout: float) -> Busy:
    problem = f"another process has locked it for more than {timeout:g} s"
    return Busy(f"{path}: {problem}; wait until that process ends, or end it, then run again")
