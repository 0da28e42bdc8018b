"""Atomic writes: write a temporary file next to the target, flush it to disk, then rename it.

A reader sees either the old file or the new one, never part of one, even if the writer is killed with kill -9.
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from feedforward.core import locks

TEMPORARY_SUFFIX = ".partial"


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL if the environment variable FAULT names this point.

    Only tests set FAULT (docs/reliability.md). There is a crash point between each write and its rename.
    """
    if os.environ.get("FAULT") == name:
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def writing(path: Path, point: str = "write", *, private: bool = False) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes `path` if the block ends without an exception. Other writers of `path` wait.

    private: at no time can other users open the file; otherwise the umask decides.

    Raises:
        Busy: another process has been writing `path` for locks.LONG seconds.
        OSError: the file cannot be written; see also `_open_untruncated`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    with _open_exclusively(temporary, 0o600 if private else 0o666) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            crash_point(f"{point}.before_rename")
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _open_exclusively(temporary: Path, mode: int) -> IO[bytes]:
    """Open an empty file that no other writer can open like this until it is closed.

    The lock belongs to the file, not to its name. While this writer waits for the lock, the writer that holds it
    may rename the file; if so, open the name again.
    """
    opener = functools.partial(_open_untruncated, mode=mode)
    while True:
        file = open(temporary, "wb", opener=opener)  # noqa: SIM115  unlike fdopen, keeps the file name
        try:
            locks.lock_descriptor(file.fileno(), temporary)
            status = os.fstat(file.fileno())
            if temporary.exists() and os.path.samestat(status, temporary.stat()):
                if not stat.S_IMODE(status.st_mode) & ~mode:
                    file.truncate(0)
                    return file
                temporary.unlink()  # left by a killed process; other users may have opened it
        except BaseException:
            file.close()
            raise
        file.close()


def _open_untruncated(path: str, _: int, mode: int) -> int:
    """Open or create a temporary file without truncating it. mode: of a new file, less the umask.

    The name is predictable, so another user who can write to the folder could put a link to any file there.

    Raises:
        OSError: the name belongs to a link, a pipe, or a file of another user.
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # O_NONBLOCK: if this is a pipe, do not wait for a reader
    while True:
        with contextlib.suppress(FileExistsError):
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
        try:
            file = os.open(path, flags)
        except FileNotFoundError:  # another writer has renamed the file
            continue
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise _unsafe_file(path) from None
            raise
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1 and status.st_uid == os.geteuid():
            return file
        os.close(file)
        raise _unsafe_file(path)


def _unsafe_file(path: str) -> OSError:
    return OSError(errno.EEXIST, "is a link, a pipe or a file of another user, so nothing is written; remove it", path)


@contextlib.contextmanager
def writing_folder(path: Path, point: str = "write") -> Iterator[Path]:
    """Yield an empty temporary folder that replaces the folder `path` if the block ends without an exception.

    A folder cannot be replaced atomically, so the old one is renamed first. If the process is killed between the two
    renames, there is no folder `path` until the next writer restores the old one.
    """
    temporary, old_folder = temporary_folders(path)
    _restore_and_delete(path, temporary, old_folder)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        crash_point(f"{point}.before_rename")
        if path.exists():
            path.replace(old_folder)
        crash_point(f"{point}.between_renames")
        temporary.replace(path)
    finally:
        _restore_and_delete(path, temporary, old_folder)


def temporary_folders(path: Path) -> tuple[Path, Path]:
    """The temporary folders of `writing_folder(path)`: the new one, and the old one until it is deleted."""
    return path.with_name(path.name + TEMPORARY_SUFFIX), path.with_name(path.name + ".old" + TEMPORARY_SUFFIX)


def _restore_and_delete(path: Path, temporary: Path, old_folder: Path) -> None:
    """Restore the old folder if no folder `path` exists, and delete the temporary folders."""
    if old_folder.exists() and not path.exists():
        old_folder.replace(path)
    for folder in (temporary, old_folder):
        if folder.is_symlink():  # `path` may have been a link to a folder elsewhere; rmtree does not delete links
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str, point: str = "write") -> None:
    """Write UTF-8 `text` to `path`, completely or not at all."""
    with writing(path, point) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any, point: str = "write") -> None:
    """Write `value` as JSON with sorted keys; NaN and infinity raise ValueError."""
    write_text(path, canonical_json(value, indent=2) + "\n", point)


def read_json(path: Path) -> Any:
    """Read a JSON file; invalid JSON raises ValueError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def canonical_json(value: Any, indent: int | None = None) -> str:
    """JSON text that is the same for equal values: sorted keys, no NaN or infinity.

    >>> canonical_json({"b": 1, "a": [0.5]})
    '{"a": [0.5], "b": 1}'
    """
    return json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
