"""One job at a time, and no job without the one that asked for it."""

import atexit
import contextlib
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from feedforward.core.errors import Busy

ASKERS = ("python", "dvc")  # how the names of programs begin that start stages, servers and DVC


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Import heavy libraries in this block: without the garbage collector, which looks at all they make, in vain.

    They make half a million objects that stay as long as the process. The collector leaves these out from now on, at
    the end of the process too. Together that is a fifth of the time of a process that trains one small network.
    """
    known = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:  # else they were there already, and what is garbage now would stay for ever
            gc.freeze()
            atexit.unregister(gc.freeze)
            atexit.register(gc.freeze)
        gc.enable()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def end_with_ancestors(interval: float = 0.5) -> None:
    """Watch the Python or DVC process that asked for this one, and end this one (no clean-up) when that is gone.

    Killing `dvc` alone would leave its stage at work as an orphan, writing the same files as the next `dvc repro`.
    There may be a shell between the two, which is watched too. Whoever was killed before this process could look is
    gone as well: then there is only a shell, or the first process of the machine, above this one.
    """
    import psutil

    def asks(process: psutil.Process) -> bool:
        return Path(process.exe()).name.lower().startswith(ASKERS)  # its name would be that of the script it runs

    def end() -> None:
        with contextlib.suppress(OSError):
            print(f"process {os.getpid()}: whoever asked for it is gone, so it ends", file=sys.stderr, flush=True)
        os._exit(1)

    def watch(ancestors: list[psutil.Process]) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            # is_running compares start times, so a recycled number is not mistaken for the parent
            while all(ancestor.is_running() and ancestor.status() != psutil.STATUS_ZOMBIE for ancestor in ancestors):
                time.sleep(interval)
        end()

    ancestors = []
    try:
        for ancestor in psutil.Process().parents()[:2]:
            ancestors.append(ancestor)
            if asks(ancestor):
                break
        else:
            end()
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # somebody else's process did not ask
        end()
    threading.Thread(target=watch, args=(ancestors,), name="ancestors", daemon=True).start()
