"""How retraining and `feedforward run` start `dvc repro`: they repair files of a killed DVC and name a running DVC."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dvc_projects
import psutil
import pytest
import workspaces
from git_repositories import git
from ruamel.yaml import YAML
from waiting import until

from feedforward.core.errors import Busy, ParamsError
from pipelines import dvc_repro

LOCK = "schema: '2.0'\nstages:\n  fetch@a:\n    cmd: python x\n    outs:\n    - path: data\n      md5: 0123\n"
ANOTHER_STAGE = """\
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
    (tmp_path / "dvc.lock").write_text(LOCK)
    return tmp_path


@pytest.fixture
def other_dvc(root: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process that looks like `dvc repro` in the workspace; it ends when its input is closed."""
    command = [sys.executable, str(fake_dvc(root)), "repro"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=root) as process:
        yield process
        process.kill()


def fake_dvc(root: Path) -> Path:
    """Write a script with the name `dvc` that waits for input; return its path."""
    script = root.parent / "bin" / "dvc"
    script.parent.mkdir(exist_ok=True)
    script.write_text("input()")
    return script


def test_a_complete_lock_file_is_kept(root: Path) -> None:
    assert dvc_repro.repair(root) == []
    assert (root / "dvc.lock").read_text() == LOCK
    (root / "dvc.lock").unlink()  # as before the first run
    assert dvc_repro.repair(root) == []


@pytest.mark.slow
def test_stages_run_for_an_account_without_a_login_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspaces.create(tmp_path, monkeypatch)
    monkeypatch.setenv("SHELL", "/bin/false")
    dvc_projects.init(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages:\n  greet:\n    cmd: echo hello > greeting\n    outs: [greeting]\n")
    dvc_repro.repro(tmp_path)
    assert (tmp_path / "greeting").read_text() == "hello\n"


@pytest.mark.parametrize("content", ["", '{"write": {"/x', "[]", "{}", '{"write": {"/x": {"pid": 1, "cmd": "dvc"}}}'])
def test_an_rwlock_is_removed_if_no_dvc_is_running(root: Path, content: str) -> None:
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text(content)
    assert dvc_repro.repair(root) == []
    assert not rwlock.exists()


@pytest.mark.parametrize("size", [0, 10, 25, 40, 61, 75, 78])
def test_a_truncated_lock_file_is_renamed(root: Path, size: int) -> None:
    lock = root / "dvc.lock"
    lock.write_text(LOCK[:size] if size else "")
    lines = dvc_repro.repair(root)
    if size == 78:  # valid, but without the digest of an output: DVC checks that stage again
        assert lines == []
        return
    remedy = "it was renamed, and DVC will write a new one; finished runs are not repeated"
    message = f"incomplete or invalid, because DVC was killed or a merge left conflicts; {remedy}"
    assert lines == [f"{lock}: {message}"]
    assert not lock.exists()
    assert (root / "dvc.lock.partial").read_text() == LOCK[:size]


def test_dvc_accepts_every_truncated_lock_file_that_is_kept(root: Path) -> None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    lock_text = LOCK + ANOTHER_STAGE
    lock, kept = root / "dvc.lock", 0
    for size in range(len(lock_text) + 1):
        lock.write_text(lock_text[:size])
        if dvc_repro._is_complete(lock):
            COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(lock_text[:size]))
            kept += 1
    assert kept > 10


def test_error_names_the_running_dvc_process(
    root: Path, other_dvc: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_repro, "SHORT_COMMAND_TIMEOUT", 0.2)
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text("{}")
    with pytest.raises(Busy, match=rf"process {other_dvc.pid} \(.*dvc repro\) is running here; wait"):
        dvc_repro.repair(root)
    assert rwlock.exists()
    (root / "demo" / ".dvc").mkdir(parents=True)
    assert dvc_repro.repair(root / "demo") == []  # a separate project


def test_repair_waits_for_a_short_command(root: Path, other_dvc: "subprocess.Popen[bytes]") -> None:
    assert other_dvc.stdin is not None
    other_dvc.stdin.close()
    assert dvc_repro.repair(root) == []


@pytest.mark.proves("A killed DVC that is still a zombie does not block the next job")
def test_a_killed_dvc_that_has_not_been_reaped_does_not_count_as_running(
    root: Path, other_dvc: "subprocess.Popen[bytes]"
) -> None:
    other_dvc.kill()
    process = psutil.Process(other_dvc.pid)
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert dvc_repro.repair(root) == []


@pytest.mark.parametrize("name", ["data", "data/trained"])
def test_a_folder_of_outputs_on_another_disk_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = workspaces.create(tmp_path / "checkout", monkeypatch)
    (tmp_path / "disk").mkdir()
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).symlink_to(tmp_path / "disk")
    (root / "dvc.yaml").write_text("stages:\n  train:\n    cmd: touch done\n    outs: [data/trained/fair.json]\n")
    with pytest.raises(ParamsError, match=f"^{root / name}: is a symbolic link, which DVC does not follow; move"):
        dvc_repro.repro(root)
    assert not (root / "done").exists()


@pytest.mark.slow
def test_dvc_runs_no_stage_whose_outputs_are_on_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = workspaces.create(tmp_path / "checkout", monkeypatch)
    (tmp_path / "disk").mkdir()
    (root / "data").symlink_to(tmp_path / "disk")
    stage = f"cmd: {sys.executable} -m pipelines.stages train fair\n    outs: [data/trained/fair.json]\n"
    (root / "dvc.yaml").write_text(f"stages:\n  train:\n    {stage}")
    git(root, "init", "-q")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").touch()
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert f"{root / 'data'}: is a symbolic link, which DVC does not follow; move" in done.stderr


@pytest.mark.proves("A downloaded ZIP file of the project runs without git")
@pytest.mark.slow
def test_without_a_git_repository_dvc_is_configured_to_work_without_git(tmp_path: Path) -> None:
    """A ZIP file from GitHub contains no repository. Here, it is unpacked inside a repository that ignores it."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*")
    root = tmp_path / "unpacked"
    (root / ".dvc").mkdir(parents=True)
    (root / "params.yaml").touch()
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (root / "dvc.yaml").write_text("stages:\n  one:\n    cmd: python -c 'print(1)' > one\n    outs: [one]\n")
    settings = os.environ | {"FEEDFORWARD_ROOT": str(root), "PATH": "/usr/bin:/bin"}  # no activated environment
    for line in (f"{root}: not a git repository, so DVC works without git", ""):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.dvc_repro"], env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(line)
        assert bool(line) == bool(done.stderr), done.stderr
    assert (root / "one").read_text() == "1\n"
    config = [sys.executable, "-m", "dvc", "config", "--local"]
    subprocess.run([*config, "--unset", "core.no_scm"], cwd=root, check=True)
    settings_after = subprocess.run([*config, "--list"], cwd=root, check=True, capture_output=True, text=True).stdout
    assert "no_scm" not in settings_after, "the command in the message must undo the setting"


@pytest.mark.proves("A relative FEEDFORWARD_ROOT or FEEDFORWARD_STORE means the same for a command and for its stages")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "workspace", "expected"),
    [("upper", "upper/inner", "upper/inner"), ("upper/inner/sub", "", "upper/inner"), ("", "upper/inner", "other")],
    ids=["from above", "from a subfolder", "another workspace, such as the demo"],
)
def test_stages_use_the_workspace_and_the_store_of_the_command(
    tmp_path: Path, start: str, workspace: str, expected: str
) -> None:
    show = "from feedforward.core import paths; print(paths.root(), paths.store(), sep=chr(10))"
    for root in (tmp_path / "upper" / "inner", tmp_path / "other"):
        (root / "sub").mkdir(parents=True)
        (root / "params.yaml").touch()
        (root / "dvc.yaml").write_text(f"stages:\n  one:\n    cmd: python -c '{show}' > one\n    outs: [one]\n")
        dvc_projects.init(root)
    folder = tmp_path / start
    root_variable = {"FEEDFORWARD_ROOT": os.path.relpath(tmp_path / workspace, folder)} if workspace else {}
    settings = {name: value for name, value in os.environ.items() if name not in workspaces.VARIABLES}
    settings.pop("FEEDFORWARD_ROOT", None)
    settings |= root_variable | {"FEEDFORWARD_STORE": "store"}
    root = tmp_path / expected
    repro = f"from pathlib import Path; from pipelines import dvc_repro; dvc_repro.repro(Path({str(root)!r}))"
    subprocess.run([sys.executable, "-c", repro], cwd=folder, env=settings, check=True, stdout=subprocess.DEVNULL)
    assert (root / "one").read_text() == f"{root}\n{folder / 'store'}\n"


@pytest.mark.slow
def test_dvc_is_terminated_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  slow:\n    cmd: touch started && sleep 60\n    always_changed: true\n"
    )
    dvc_projects.init(tmp_path)
    settings = os.environ | {"FEEDFORWARD_ROOT": str(tmp_path), "PREFECT_HOME": str(tmp_path / "home")}
    parent = subprocess.Popen([sys.executable, "-m", "pipelines.dvc_repro"], env=settings, stdout=subprocess.DEVNULL)
    until((tmp_path / "started").exists)
    [dvc] = psutil.Process(parent.pid).children()
    stage_processes = dvc.children(recursive=True)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    try:
        dvc.wait(10)  # raises if the process is still running
    finally:
        for process in [dvc, *stage_processes]:
            if process.is_running():
                process.kill()
