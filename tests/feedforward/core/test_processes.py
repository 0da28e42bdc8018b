"""Locks between jobs, silenced output, processes that end with those that started them, imports, and CPU limits."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from feedforward.core import processes
from feedforward.core.errors import Busy

HOLD = """
import sys, time
from pathlib import Path
from feedforward.core import processes
with processes.only_one(Path(sys.argv[1]), "a long job"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def held_by_another_process(lock: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# --- only one ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_error_names_the_running_job_and_a_kill_releases_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "job.lock"
    with held_by_another_process(lock) as process:
        with pytest.raises(Busy) as caught, processes.only_one(lock, "mine"):
            raise AssertionError
        assert f"process {process.pid} (a long job) is running here; wait" in str(caught.value)
        assert caught.value.exit_code == 75
        process.kill()
        process.wait()
        with processes.only_one(lock, "mine"):
            assert (lock.parent / "job.holder").read_text() == f"process {os.getpid()} (mine)"
    assert not (lock.parent / "job.holder").exists()


def test_lock_is_released_when_a_job_fails(tmp_path: Path) -> None:
    lock = tmp_path / "job.lock"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), processes.only_one(lock, "mine"):
            1 / 0  # noqa: B018
    with (
        processes.only_one(lock, "mine"),
        pytest.raises(Busy, match=r"\(mine\) is running"),
        processes.only_one(lock, "x"),
    ):
        pass


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_an_unreadable_holder_is_reported_as_another_process(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "job.holder").write_bytes(content)
    with (
        FileLock(tmp_path / "job.lock"),
        pytest.raises(Busy, match="another process is running"),
        processes.only_one(tmp_path / "job.lock", "mine"),
    ):
        pass


def test_a_link_in_place_of_the_holder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "job.holder").symlink_to(tmp_path / "victim")
    with processes.only_one(tmp_path / "job.lock", "mine"):
        assert "(mine)" in (tmp_path / "job.holder").read_text()
    assert (tmp_path / "victim").read_text() == "precious"


def test_timeout_of_another_lock_is_not_reported_as_busy(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / "other.lock"),
        pytest.raises(TimeoutError),
        processes.only_one(tmp_path / "job.lock", "mine"),
        FileLock(tmp_path / "other.lock", timeout=0),
    ):
        pass


# --- silent blocks -------------------------------------------------------------------------------


def test_output_of_native_code_in_a_silent_block_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    with processes.silent():
        os.write(2, b"noise\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_output_of_native_code_is_shown_if_the_block_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with processes.silent():
            os.write(2, b"the reason\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


# --- end with ancestors ----------------------------------------------------------------------------

CHILD = """
import os, time
from feedforward.core import processes
time.sleep({delay})
processes.end_with_ancestors(interval=0.05)
time.sleep(600)
"""
# As under DVC, there is a shell between the two processes; it waits for its child and can be killed.
STARTER = """
import subprocess, sys
shell = subprocess.Popen(["sh", "-c", '"$0" -c "$1" & echo $!; wait', sys.executable, sys.argv[1]])
shell.wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["starter", "shell"])
@pytest.mark.parametrize("delay", [0, 3], ids=["after the child watches", "before the child watches"])
def test_a_process_exits_if_its_parent_or_grandparent_is_killed(killed: str, delay: int) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, CHILD.format(delay=delay)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    child = psutil.Process(int(starter.stdout.readline()))
    time.sleep(0 if delay else 1)
    shell = child.parents()[0]
    assert shell.ppid() == starter.pid
    os.kill(starter.pid if killed == "starter" else shell.pid, signal.SIGKILL)
    child.wait(timeout=60)
    assert not child.is_running()
    for process in (shell, starter):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    starter.wait()


IMPORTING = """
import gc
from feedforward.core import processes
with processes.importing():
    assert not gc.isenabled()
    import fractions
assert gc.isenabled()
frozen_count = gc.get_freeze_count()
assert frozen_count > 10_000
garbage = [[] for _ in range(100)]
with processes.importing():
    import fractions
assert gc.isenabled()
assert gc.get_freeze_count() <= frozen_count, "later garbage must still be collected"
"""


def test_only_imported_objects_are_excluded_from_garbage_collection() -> None:
    process = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.proves("No more cores are used than the CPU limit of a container allows")
@pytest.mark.parametrize(
    ("content", "expected"), [("200000 100000", 2), ("150000 100000", 2), ("max 100000", None), ("", None)]
)
def test_cpu_limit_of_a_container_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert processes.cgroup_limit(tmp_path / "cpu.max") == expected
    assert processes.cgroup_limit(tmp_path / "nowhere") is None
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(processes, "CPU_LIMIT_FILE", tmp_path / "cpu.max")
    assert processes.cores() == (expected or 8)
