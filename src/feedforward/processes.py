"""One job at a time, and no job without the one that asked for it."""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from feedforward.errors import Busy


@contextlib.contextmanager
def only_one(lock: Path, what: str) -> Iterator[None]:
    """Hold `lock` during the block; the lock ends with the process, however it ends.

    Raises:
        Busy: another process holds it; the message says which and at what.
    """
    holder, held = lock.with_suffix(".holder"), FileLock(lock, timeout=0)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held.acquire()
    except Timeout:
        who = _read(holder) or "another process"  # it may be about to write its name, or to take it away
        raise Busy(f"{lock.parent}: {who} is at work here; wait for it, then run the command again") from None
    try:
        holder.write_text(f"process {os.getpid()} ({what})", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        held.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Drop what native code writes to the standard error stream during the block, unless the block fails."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            file.seek(0)
            os.write(kept, file.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def end_with_ancestors(generations: int = 2, interval: float = 0.5) -> None:
    """Watch this process's parents and end it (SIGKILL-like, no clean-up) when one of them is gone.

    Killing `dvc` alone would leave its stage at work as an orphan, writing the same files as the next `dvc repro`.
    There is a shell between the two, hence generations.
    """
    import psutil

    ancestors = psutil.Process().parents()[:generations]

    def watch() -> None:
        # is_running compares start times, so a recycled number is not mistaken for the parent
        while all(ancestor.is_running() and ancestor.status() != psutil.STATUS_ZOMBIE for ancestor in ancestors):
            time.sleep(interval)
        os._exit(1)

    def watch_safely() -> None:
        try:
            watch()
        except psutil.NoSuchProcess:
            os._exit(1)

    threading.Thread(target=watch_safely, name="ancestors", daemon=True).start()
