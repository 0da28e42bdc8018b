"""Locks so that one job runs at a time; ending orphaned processes; the number of cores that may be used."""

import atexit
import contextlib
import gc
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from feedforward.core.errors import Busy

CGROUP = Path("/sys/fs/cgroup/cpu.max")
STARTERS = ("python", "dvc")  # beginnings of the names of programs that start stages, servers and DVC


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Import heavy libraries in this block, without garbage collection.

    They create half a million objects that live as long as the process. The collector ignores these objects from then
    on, also at exit. Together this saves a fifth of the time of a process that trains one small network.
    """
    known = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:  # otherwise garbage that exists now would be kept forever
            gc.freeze()
            atexit.unregister(gc.freeze)
            atexit.register(gc.freeze)
        gc.enable()


def cores() -> int:
    """Number of cores that this process may use: its CPU affinity, and the limit of its container."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, quota(CGROUP) or allowed))


def quota(cpu_max: Path) -> int | None:
    """The CPU limit of a cgroup (version 2) in cores, rounded up; None without a limit.

    cpu_max: a file with the quota, or `max`, and the period, both in microseconds.
    """
    try:
        limit, period = cpu_max.read_text(encoding="ascii").split()
        return math.ceil(int(limit) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


@contextlib.contextmanager
def only_one(lock: Path, job: str) -> Iterator[None]:
    """Hold `lock` during the block; it is released when the process ends, however it ends.

    Raises:
        Busy: another process holds it; the message names the process and its job.
    """
    holder, file_lock = lock.with_suffix(".holder"), FileLock(lock, timeout=0)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        file_lock.acquire()
    except Timeout:
        process = _read(holder) or "another process"  # the holder may be about to write or remove its name
        raise Busy(f"{lock.parent}: {process} is running here; wait for it, then run the command again") from None
    try:
        holder.write_text(f"process {os.getpid()} ({job})", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        file_lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


_silenced: list[int] = []  # standard error as it was before each `silent` block that is open now


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Discard what native code writes to standard error during the block, unless the block fails."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        _silenced.append(kept)
        try:
            yield
        except BaseException:
            file.seek(0)
            os.write(kept, file.read())
            raise
        finally:
            _silenced.remove(kept)
            os.dup2(kept, 2)
            os.close(kept)


def unsilence() -> None:
    """Undo a `silent` of another thread in a process that is about to exit, so that its last message is seen."""
    if _silenced:
        os.dup2(_silenced[0], 2)


def end_with_ancestors(interval: float = 0.5) -> None:
    """Watch the Python or DVC process that started this one, and exit (without cleanup) when it has exited.

    Killing `dvc` alone would leave its stage running as an orphan that writes the same files as the next `dvc repro`.
    A shell between the two is watched as well. If the starting process was killed before this call, only a shell or
    the first process of the machine is the parent of this one, and this process exits immediately.
    """
    import psutil

    def is_starter(process: psutil.Process) -> bool:
        return Path(process.exe()).name.lower().startswith(STARTERS)  # `name()` would be that of the script

    def end() -> None:
        with contextlib.suppress(OSError):
            print(f"process {os.getpid()}: parent process exited; stopping", file=sys.stderr, flush=True)
        os._exit(1)

    def watch(ancestors: list[psutil.Process]) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            # is_running compares start times, so a reused process number is not mistaken for the parent
            while all(ancestor.is_running() and ancestor.status() != psutil.STATUS_ZOMBIE for ancestor in ancestors):
                time.sleep(interval)
        end()

    ancestors = []
    try:
        for ancestor in psutil.Process().parents()[:2]:
            ancestors.append(ancestor)
            if is_starter(ancestor):
                break
        else:
            end()
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # a process of another user did not start this one
        end()
    threading.Thread(target=watch, args=(ancestors,), name="ancestors", daemon=True).start()
