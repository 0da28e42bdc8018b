"""Process management: imports, usable cores, threads, locks, output of native code, and exit of orphaned processes."""

import atexit
import contextlib
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

from filelock import Timeout

from feedforward.core import atomic_files, locks
from feedforward.core.errors import Busy

CPU_LIMIT_FILE = Path("/sys/fs/cgroup/cpu.max")
MAX_THREADS = 4  # more threads would only wait for the global interpreter lock
STARTERS = ("python", "dvc")  # name prefixes of the programs that start stages, servers and DVC

T = TypeVar("T")
R = TypeVar("R")


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Disable garbage collection while the block imports heavy libraries.

    These create half a million objects that live as long as the process. After the block, the collector ignores the
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
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, cgroup_limit(CPU_LIMIT_FILE) or affinity))


def map_in_order(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Call `function` for each item, on several threads, and yield the results in the order of the items.

    Most of the function's work should release the global interpreter lock. Only a few items and results are in memory
    at a time.
    """
    threads = min(cores(), MAX_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        pending = deque[Future[R]]()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def cgroup_limit(cpu_max: Path) -> int | None:
    """The CPU limit of a cgroup (version 2), in cores, rounded up; None if there is no limit.

    cpu_max: a file with two values, limit (or `max`) and period, in microseconds.
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
    holder_file, file_lock = lock.with_suffix(".holder"), locks.private(lock, timeout=0)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        file_lock.acquire()
    except Timeout:
        process = _holder(holder_file) or "another process"  # the holder may be about to write or delete the file
        raise Busy(f"{lock.parent}: {process} is running here; wait until it ends, then run again") from None
    try:
        atomic_files.write_text(holder_file, f"process {os.getpid()} ({job})", "holder")
        yield
    finally:
        holder_file.unlink(missing_ok=True)
        file_lock.release()


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder while something in it is changed, so that no process overwrites the changes of another.

    Anyone who can read the folder can lock it, too (SECURITY.md).

    Raises:
        Busy: another process has locked the folder for locks.LONG seconds.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        locks.lock_descriptor(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _holder(holder_file: Path) -> str:
    try:
        return holder_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


_silenced: list[int] = []  # for each `silent` block that is running: a descriptor of what was standard error before it


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Hold back what is written to standard error during the block, even by native code; show it if the block fails."""
    previous_stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        _silenced.append(previous_stderr)
        try:
            yield
        except BaseException:
            file.seek(0)
            os.write(previous_stderr, file.read())
            raise
        finally:
            _silenced.remove(previous_stderr)
            os.dup2(previous_stderr, 2)
            os.close(previous_stderr)


def unsilence() -> None:
    """Restore standard error during a `silent` block in another thread, so that a last message before exit is shown."""
    if _silenced:
        os.dup2(_silenced[0], 2)


def end_with_ancestors(interval: float = 0.5, grace: Callable[[], float] = float) -> None:
    """Exit (without cleanup) once the Python or DVC process that started this process has exited.

    Otherwise, killing `dvc` would orphan its stage, which would write the same files as the next `dvc repro`. A shell
    between the two processes is watched as well. If the starting process was killed before this call, the only parents
    left are a shell or the init process, and this process exits immediately.

    grace: returns how many seconds to wait for this process to finish by itself; called after the starter has exited.
    """
    import psutil

    def is_starter(process: psutil.Process) -> bool:
        return Path(process.exe()).name.lower().startswith(STARTERS)  # `name()` would return the script's name

    def end() -> None:
        time.sleep(grace())
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
