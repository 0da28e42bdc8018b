"""What a killed dvc left is mended before the next one; a living one is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from feedforward.errors import Busy
from pipelines import repro

WHOLE = "schema: '2.0'\nstages:\n  fetch@a:\n    cmd: python x\n    outs:\n    - path: data\n      md5: 0123\n"


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
    assert repro.mend(root) == []
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    (root / "dvc.lock").unlink()  # nothing has run yet
    assert repro.mend(root) == []


@pytest.mark.parametrize("content", ["", '{"write": {"/x', "[]", "\x00"])
def test_a_torn_rwlock_is_taken_away(root: Path, content: str) -> None:
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text(content)
    (line,) = repro.mend(root)
    assert line == f"{rwlock}: torn, by a dvc that was killed; removed"
    assert not rwlock.exists()


@pytest.mark.parametrize("size", [0, 10, 25, 40, 75])
def test_a_torn_lock_is_moved_away(root: Path, size: int) -> None:
    lock = root / "dvc.lock"
    lock.write_text(WHOLE[:size] if size else "")
    lines = repro.mend(root)
    if size == 75:  # a sound one that says less: the stage is checked again
        assert lines == []
        return
    assert lines == [f"{lock}: torn, by a dvc that was killed; moved away, and written anew from the run cache"]
    assert not lock.exists()
    assert (root / "dvc.lock.partial").read_text() == WHOLE[:size]


def test_a_living_dvc_is_named(root: Path) -> None:
    (root / "demo").mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()", "dvc"], stdin=subprocess.PIPE) as other:
        hold(root, other.pid)
        with pytest.raises(Busy, match=rf"process {other.pid} \(dvc repro\) is at work here; wait"):
            repro.mend(root)
        assert repro.mend(root / "demo") == []  # it works on other paths
        assert other.stdin is not None
        other.stdin.close()
    assert repro.mend(root) == []
