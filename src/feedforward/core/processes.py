"""Process management: job locks, exit of orphaned processes, usable cores, and silenced output of native code."""

import atexit
import contextlib
import fcntl
import gc
import math
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from feedforward.core import atomic_files
from feedforward.core.errors import Busy

CGROUP = Path("/sys/fs/cgroup/cpu.max")
MOST_THREADS = 4  # more threads would wait for each other at Python's global lock
STARTERS = ("python", "dvc")  # name prefixes of the programs that start stages, servers and DVC

T = TypeVar("T")
R = TypeVar("R")


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Turn off garbage collection during the block, in which heavy libraries are imported.

    They create half a million objects that live as long as the process. After the block, the collector ignores these
    objects, even at exit. This saves a fifth of the run time of a process that trains one small network.
    """
    modules_before = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules_before:  # without an import, freezing would only keep garbage forever
            gc.freeze()
            atexit.unregister(gc.freeze)
            atexit.register(gc.freeze)
        gc.enable()


def cores() -> int:
    """Number of cores that this process may use, given its CPU affinity and its container's limit."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, quota(CGROUP) or allowed))


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Call `function` for each item, on several threads, and yield the results in the order of the items.

    The function should spend most of its time outside Python's global lock. Only a few items and results are in memory
    at a time.
    """
    threads = min(cores(), MOST_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        pending = deque[Future[R]]()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def quota(cpu_max: Path) -> int | None:
    """The CPU limit of a cgroup (version 2) in cores, rounded up; None if there is no limit.

    cpu_max: a file with two values, quota (or `max`) and period, in microseconds.
    """
    try:
        limit, period = cpu_max.read_text(encoding="ascii").split()
        return math.ceil(int(limit) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


@contextlib.contextmanager
def only_one(lock: Path, job: str) -> Iterator[None]:
    """Hold `lock` during the block. If the process dies, the lock is released.

    Raises:
        Busy: another process holds the lock; the message names that process and its job.
    """
    holder, file_lock = lock.with_suffix(".holder"), FileLock(lock, timeout=0)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        file_lock.acquire()
    except Timeout:
        process = _holder_name(holder) or "another process"  # the holder may be about to write or remove its name
        raise Busy(f"{lock.parent}: {process} is running here; wait until it ends, then run again") from None
    try:
        atomic_files.write_text(holder, f"process {os.getpid()} ({job})", "holder")
        yield
    finally:
        holder.unlink(missing_ok=True)
        file_lock.release()


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder while something in it is changed, so that no process overwrites the changes of another."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _holder_name(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


_silenced: list[int] = []  # for each `silent` block that is running: a descriptor of the real standard error


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Discard what native code writes to standard error during the block, unless the block fails."""
    real_stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        _silenced.append(real_stderr)
        try:
            yield
        except BaseException:
            file.seek(0)
            os.write(real_stderr, file.read())
            raise
        finally:
            _silenced.remove(real_stderr)
            os.dup2(real_stderr, 2)
            os.close(real_stderr)


def unsilence() -> None:
    """Restore standard error despite a `silent` block in another thread, so that a last message before exit is seen."""
    if _silenced:
        os.dup2(_silenced[0], 2)


def end_with_ancestors(interval: float = 0.5) -> None:
    """Exit (without cleanup) once the Python or DVC process that started this process has exited.

    Otherwise, killing `dvc` would orphan its stage, which would write the same files as the next `dvc repro`. A shell
    between the two processes is watched as well. If the starting process was killed before this call, the only parents
    left are a shell or the init process, and this process exits immediately.
    """
    import psutil

    def is_starter(process: psutil.Process) -> bool:
        return Path(process.exe()).name.lower().startswith(STARTERS)  # `name()` would return the script's name

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
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # another user's process is not a starter
        end()
    threading.Thread(target=watch, args=(ancestors,), name="ancestors", daemon=True).start()
