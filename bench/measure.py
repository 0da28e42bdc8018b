"""Runs a command in a fresh process and measures its process tree: wall time, CPU time and peak memory."""

import contextlib
import os
import platform
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from feedforward.core import processes, provenance

REST = 20  # pause after an observation, as a multiple of its duration; observing takes at most 5 % of one core
TICK = 0.1  # s between readings of the kernel's records


@dataclass(frozen=True)
class Measured:
    """Resources that a process tree used. wall, cpu: seconds; peak: bytes (see `run`)."""

    wall: float
    cpu: float
    peak: int


class Failed(Exception):
    """A measured command failed; the message contains the last lines of its output."""


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Run `command` in `folder` and measure it.

    cpu: of the command and of all descendants that their parents waited for. peak: the highest observed sum of the
    proportional set sizes (PSS: shared pages count once) of the process tree, or the kernel's record of one process's
    peak if that is higher.

    Raises:
        Failed: the exit code is not 0.
    """
    with (folder / "log.txt").open("w+b") as log:
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        with _watching(child.pid) as seen:
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise Failed(
                f"{command[1:4]} exited with code {child.returncode}:\n{log.read().decode(errors='replace')[-3000:]}"
            )
    return Measured(wall, usage.ru_utime + usage.ru_stime, seen[0])


@contextlib.contextmanager
def _watching(pid: int) -> Iterator[list[int]]:
    """Yield a list with one number: the most memory, in bytes, that the process tree of `pid` was seen to use."""
    seen, ended = [0], threading.Event()

    def watch() -> None:
        tree, next_look = [psutil.Process(pid)], 0.0
        while not ended.wait(TICK):
            began = time.perf_counter()
            if began >= next_look:
                with contextlib.suppress(psutil.NoSuchProcess):
                    tree = [tree[0], *tree[0].children(recursive=True)]
                seen[0] = max(seen[0], sum(map(_proportional_memory, tree)))
                next_look = began + REST * (time.perf_counter() - began)
            seen[0] = max([seen[0], *(peak_of(process.pid) for process in tree)])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _proportional_memory(process: psutil.Process) -> int:
    """Proportional set size in bytes; resident set size if the system does not report it; 0 if the process ended."""
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(full, "pss", full.rss))


def peak_of(pid: int) -> int:
    """The kernel's record of a process's peak resident memory, bytes; 0 if there is none.

    This is not ru_maxrss from wait4, which includes the parent's memory before the child's exec.
    """
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def own_peak() -> int:
    """Peak resident memory of this process, bytes; the current value if the system keeps no record."""
    return peak_of(os.getpid()) or int(psutil.Process().memory_info().rss)


def machine() -> dict[str, Any]:
    """General facts about the machine and the versions that affect speed; nothing that identifies the machine."""
    kind = provenance.cpu_kind()
    return {
        "cores": processes.cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "cpu": " ".join(str(kind[key]) for key in ("machine", "vendor", "family", "model")),
        "vector_units": [unit for unit in ("avx2", "avx512", "amx") if kind[unit]],
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": {name: provenance.installed_version(name) for name in ("tensorflow", "keras", "numpy")},
        "load_before": round(os.getloadavg()[0], 2),
    }
