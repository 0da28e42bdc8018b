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

PAUSE_FACTOR = 20  # pause after an observation, as a multiple of its duration; observing takes at most 5 % of one core
INTERVAL = 0.1  # s between readings of the kernel's records


@dataclass(frozen=True)
class Usage:
    """Resources that a process tree used. wall, cpu: time in seconds; peak: memory in bytes (see `run`)."""

    wall: float
    cpu: float
    peak: int


class CommandFailed(Exception):
    """A measured command failed; the message contains the last lines of its output."""


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> Usage:
    """Run `command` in `folder` and measure it.

    cpu: CPU time of the command and of all descendants that their parents waited for. peak: the highest observed sum
    of the proportional set sizes (PSS: shared pages count once) of the process tree, or the highest peak of a single
    process that the kernel recorded, whichever is higher.

    Raises:
        CommandFailed: the exit code is not 0.
    """
    with (folder / "log.txt").open("w+b") as log:
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        with _watch_memory(child.pid) as highest:
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise CommandFailed(
                f"{command[1:4]} exited with code {child.returncode}:\n{log.read().decode(errors='replace')[-3000:]}"
            )
    return Usage(wall, usage.ru_utime + usage.ru_stime, highest[0])


@contextlib.contextmanager
def _watch_memory(pid: int) -> Iterator[list[int]]:
    """Watch the process tree of `pid` during the block; yield a list with its highest memory use so far, in bytes."""
    highest, ended = [0], threading.Event()

    def watch() -> None:
        tree, next_look = [psutil.Process(pid)], 0.0
        while not ended.wait(INTERVAL):
            began = time.perf_counter()
            if began >= next_look:
                with contextlib.suppress(psutil.NoSuchProcess):
                    tree = [tree[0], *tree[0].children(recursive=True)]
                highest[0] = max(highest[0], sum(map(_proportional_memory, tree)))
                next_look = began + PAUSE_FACTOR * (time.perf_counter() - began)
            highest[0] = max([highest[0], *(peak_of(process.pid) for process in tree)])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield highest
    finally:
        ended.set()
        thread.join()


def _proportional_memory(process: psutil.Process) -> int:
    """Proportional set size in bytes; resident set size if the system does not report it; 0 if the process ended."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(memory, "pss", memory.rss))


def peak_of(pid: int) -> int:
    """A process's peak resident memory in bytes, as recorded by the kernel; 0 if there is no record.

    ru_maxrss from wait4 would not do, because it includes the parent's memory before the child's exec.
    """
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def own_peak() -> int:
    """Peak resident memory of this process in bytes; the current value if the system keeps no record."""
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
