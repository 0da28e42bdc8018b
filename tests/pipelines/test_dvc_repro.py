"""`dvc repro` as a retraining and `feedforward run` start it: a killed dvc is mended, a living one named."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from feedforward.core.errors import Busy
from pipelines import dvc_repro

WHOLE = "schema: '2.0'\nstages:\n  fetch@a:\n    cmd: python x\n    outs:\n    - path: data\n      md5: 0123\n"
MORE = """\
  train:
    cmd: python y
    deps:
    - path: src
      hash: md5
      md5: 0123.dir
      nfiles: 2
    params:
      params.yaml:
        retraining.use_feedback: false
        datasets.a:
          title: 'a:'
          labels:
          - 'no'
    outs:
    - path: z
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / "dvc.lock").write_text(WHOLE)
    return tmp_path


def hold(root: Path, pid: int) -> None:
    entry = {"pid": pid, "cmd": "dvc repro"}
    content = {"write": {str(root / "data"): entry}, "read": {str(root / "src"): [entry]}}
    (root / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(content))


def test_what_is_whole_stays(root: Path) -> None:
    hold(root, os.getpid())  # a process that is no dvc: the number was given to another one
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert dvc_repro.mend(root) == []
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    (root / "dvc.lock").unlink()  # nothing has run yet
    assert dvc_repro.mend(root) == []


@pytest.mark.parametrize("content", ["", '{"write": {"/x', "[]", "\x00"])
def test_a_torn_rwlock_is_taken_away(root: Path, content: str) -> None:
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text(content)
    (line,) = dvc_repro.mend(root)
    assert line == f"{rwlock}: torn, by a dvc that was killed; removed"
    assert not rwlock.exists()


@pytest.mark.parametrize("size", [0, 10, 25, 40, 61, 75, 78])
def test_a_torn_lock_is_moved_away(root: Path, size: int) -> None:
    lock = root / "dvc.lock"
    lock.write_text(WHOLE[:size] if size else "")
    lines = dvc_repro.mend(root)
    if size == 78:  # a sound one that says less: the stage is checked again
        assert lines == []
        return
    assert lines == [f"{lock}: torn, by a dvc that was killed; moved away, and written anew from the run cache"]
    assert not lock.exists()
    assert (root / "dvc.lock.partial").read_text() == WHOLE[:size]


def test_dvc_takes_whatever_part_of_a_lock_is_left_where_it_is(root: Path) -> None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    whole = WHOLE + MORE
    lock, left = root / "dvc.lock", 0
    for size in range(len(whole) + 1):
        lock.write_text(whole[:size])
        if dvc_repro._is_whole(lock):
            COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(whole[:size]))
            left += 1
    assert left > 10


def test_a_living_dvc_is_named(root: Path) -> None:
    (root / "demo").mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()", "dvc"], stdin=subprocess.PIPE) as other:
        hold(root, other.pid)
        with pytest.raises(Busy, match=rf"process {other.pid} \(dvc repro\) is at work here; wait"):
            dvc_repro.mend(root)
        assert dvc_repro.mend(root / "demo") == []  # it works on other paths
        assert other.stdin is not None
        other.stdin.close()
    assert dvc_repro.mend(root) == []


@pytest.mark.slow
def test_dvc_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  slow:\n    cmd: touch started && sleep 60\n    always_changed: true\n"
    )
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    settings = os.environ | {"FEEDFORWARD_ROOT": str(tmp_path), "PREFECT_HOME": str(tmp_path / "home")}
    asking = subprocess.Popen([sys.executable, "-m", "pipelines.dvc_repro"], env=settings, stdout=subprocess.DEVNULL)
    for _ in range(300):
        if (tmp_path / "started").exists():
            break
        time.sleep(0.1)
    [dvc] = psutil.Process(asking.pid).children()
    stage = dvc.children(recursive=True)
    os.kill(asking.pid, signal.SIGKILL)
    asking.wait()
    try:
        dvc.wait(10)  # raises if it goes on
    finally:
        for process in [dvc, *stage]:
            if process.is_running():
                process.kill()
