"""Determine which processes are still logging runs: each process holds a lock in its store's folder while it lives.

The lock works across containers that share a checkout, where process IDs and host names mean nothing. Runs of processes
that logged to another folder are checked by process ID, if they are of the same host.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from feedforward.core import atomic_files, locks, paths, provenance

MAX_AGE = 86400.0  # s; an ended session's lock file is removed if it is older
_sessions: dict[tuple[int, Path], tuple[str, FileLock]] = {}  # by process (a fork is another process) and folder


def tags() -> dict[str, str]:
    """Return tags that identify this process: host, `PID@START` (START in s since 1970), session and store.

    The first call starts the session: it creates and locks the lock file of this process.
    """
    import psutil

    return {
        "host": provenance.host_digest(),
        "process": f"{os.getpid()}@{psutil.Process().create_time():.0f}",
        "session": _session(),
        "store": _store_id(),
    }


def has_ended(run_tags: Mapping[str, str]) -> bool | None:
    """Whether the process that wrote these tags has ended; None if this machine cannot tell."""
    if "session" in run_tags and run_tags.get("store") == _store_id():
        return not _is_held(_folder() / f"{Path(run_tags['session']).name}.lock")
    if run_tags.get("host") == provenance.host_digest():
        return not _is_running(run_tags.get("process", ""))
    return None


def remove_old_locks() -> None:
    """Remove old lock files of ended sessions."""
    for lock in _folder().glob("*.lock"):
        with contextlib.suppress(OSError):
            if time.time() - lock.stat().st_mtime > MAX_AGE and not _is_held(lock):
                lock.unlink()


def _folder() -> Path:
    return paths.store() / ".sessions"


def _session() -> str:
    folder = _folder()
    key = os.getpid(), folder
    if key not in _sessions:
        folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        lock = locks.private(folder / f"{name}.lock", timeout=0)
        lock.acquire()
        _sessions[key] = name, lock
    return _sessions[key][0]


def _store_id() -> str:
    """Return twelve hex digits that distinguish this store from all others, including copies of it."""
    path = _folder() / "id"
    if not path.exists():
        _folder().mkdir(parents=True, exist_ok=True)
        with locks.holding(path.with_suffix(".creation")):
            if not path.exists():
                atomic_files.write_text(path, uuid.uuid4().hex)
    return atomic_files.digest([path.read_text(encoding="utf-8"), path.stat().st_ino])[:12]


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with locks.private(lock, timeout=0):
            return False
    except Timeout:
        return True


def _is_running(process: str) -> bool:
    """Whether the process named by a `process` tag is still running; a zombie does not count."""
    import psutil

    pid, _, started = process.partition("@")
    try:
        candidate = psutil.Process(int(pid))
        is_same = abs(candidate.create_time() - float(started)) < 2  # the clock may have been adjusted meanwhile
        return is_same and candidate.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False
