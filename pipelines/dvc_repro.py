"""`dvc repro` for `feedforward run` and retraining: repairs what a killed DVC left, and reports a running DVC.

Damaged results are removed before and afterward: DVC may restore one that no dvc.lock named before, as after a
parameter was set back to its former value.

DVC writes its lock files in place. If it is killed while doing so, every later `dvc` command exits with code 255.
"""

import configparser
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from feedforward.core import atomic_files, paths, provenance
from feedforward.core.errors import Busy, FeedforwardError, one_line, run_reporting_errors
from pipelines import damaged_results, dvc_links, dvc_parameters, environment, interruption

# Runs `python -m dvc`, which ends, along with its stage, when the process that started it ends. It ignores SIGTERM,
# which Prefect's worker and service managers send to all processes at once: its stage has to close its runs first.
DVC = """
import runpy, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
from feedforward.core import processes
processes.end_with_ancestors()
with processes.importing():
    import dvc.repo
runpy.run_module("dvc", run_name="__main__", alter_sys=True)
"""
SHORT_COMMAND_TIMEOUT = 5.0  # s to wait for another DVC command: editors and prompts run `dvc status` and the like


def repro(root: Path, arguments: Sequence[str] = ()) -> None:
    """Run `dvc repro` in the workspace `root`; without arguments, it brings everything up to date.

    Raises:
        ParamsError: params.yaml lacks a key that dvc.yaml lists, or a folder with outputs is a link.
        DataError: DVC's configuration cannot be read. Busy: another DVC command is running.
        FeedforwardError: DVC or a stage failed and printed the reason. KeyboardInterrupt: the job was interrupted.
    """
    environment.apply()
    dvc_parameters.check(root)
    dvc_links.check(root)
    for line in repair(root):
        print(line, file=sys.stderr)
    work_without_git(root)
    _remove_damaged(root)
    _run_dvc(root, arguments)
    if _remove_damaged(root):
        _run_dvc(root, arguments)


def _remove_damaged(root: Path) -> bool:
    """Remove damaged results, and print a line about each; return whether there were any."""
    lines = damaged_results.remove(root)
    for line in lines:
        print(one_line(line), file=sys.stderr)
    return bool(lines)


def _run_dvc(root: Path, arguments: Sequence[str]) -> None:
    # the demo's root; and a shell that can run stages, because the login shell of a system account may be nologin
    variables = os.environ | {"FEEDFORWARD_ROOT": str(root), "SHELL": "/bin/sh"}
    process = subprocess.Popen([sys.executable, "-c", DVC, "repro", *arguments], cwd=root, env=variables)
    try:
        code = process.wait()
    except BaseException as interrupt:  # on SIGTERM Prefect raises TerminationSignal
        _end(process, forward=type(interrupt) is not KeyboardInterrupt)
        raise
    if code:
        raise FeedforwardError(f"`dvc repro` failed (exit code {code}); fix the problem it printed, then run again")


def _end(process: "subprocess.Popen[bytes]", forward: bool) -> None:
    """Wait for DVC to end; kill it if it takes too long. forward: first interrupt its stage, as Ctrl-C does."""
    children: list[psutil.Process] = []
    if forward:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):  # it has just ended
            # excludes the Prefect server, which the stage ends, and the shell, without which DVC would not wait
            if os.getsid(child.pid) == os.getsid(0) and child.name() != "sh":
                child.send_signal(signal.SIGINT)
    try:
        process.wait(2 * interruption.GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def repair(root: Path) -> list[str]:
    """Delete rwlock, and rename dvc.lock if DVC would not accept it; return a line about it if it was renamed.

    Nothing is lost: the store has the runs of all finished stages, and rwlock matters only while DVC is running.

    Raises:
        Busy: a DVC command is running in this project.
    """
    end = time.monotonic() + SHORT_COMMAND_TIMEOUT
    while process := next(_dvc_processes(root), None):
        if time.monotonic() > end:
            command = " ".join(process.info["cmdline"][1:])[:80]
            raise Busy(f"{root}: process {process.pid} ({command}) is running here; wait until it ends, then run again")
        time.sleep(0.1)
    (_project(root) / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
    lock = root / "dvc.lock"
    if _is_complete(lock):
        return []
    lock.replace(lock.with_name(lock.name + atomic_files.TEMPORARY_SUFFIX))
    outcome = "it was renamed, and DVC will write a new one; finished runs are not repeated"
    return [f"{lock}: incomplete or invalid, because DVC was killed or a merge left conflicts; {outcome}"]


def _dvc_processes(root: Path) -> Iterator[psutil.Process]:
    """The DVC processes in the DVC project of `root`, except zombies (killed, not yet reaped)."""
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        words, cwd = process.info["cmdline"] or [], process.info["cwd"]
        is_dvc = any(Path(word).name == "dvc" for word in words[:3]) or DVC in words[:3]
        if is_dvc and cwd and process.info["status"] != psutil.STATUS_ZOMBIE and _project(Path(cwd)) == _project(root):
            yield process


def _project(folder: Path) -> Path:
    """The root of the DVC project that the folder belongs to; the folder itself if it belongs to none."""
    return next((parent for parent in (folder, *folder.parents) if (parent / ".dvc").is_dir()), folder)


def _is_complete(lock: Path) -> bool:
    """Whether dvc.lock is missing, or DVC would accept it. DVC documents the format; a test compares this with DVC."""
    try:
        text = lock.read_text(encoding="utf-8")
        content = YAML(typ="safe").load(text)
    except FileNotFoundError:
        return True
    except (YAMLError, UnicodeDecodeError):
        return False
    if not text.endswith("\n") or text.endswith(":\n"):  # the last line or its value is missing
        return False
    stages = content.get("stages") if isinstance(content, dict) else None
    return isinstance(stages, dict) and all(isinstance(stage, dict) and "cmd" in stage for stage in stages.values())


def work_without_git(root: Path) -> None:
    """Make DVC accept a checkout that is not part of a git repository, such as a downloaded archive."""
    if provenance.is_in_repository(root):
        return
    path = root / ".dvc" / "config.local"
    effective_config, config = configparser.ConfigParser(), configparser.ConfigParser()
    effective_config.read([root / ".dvc" / "config", path], encoding="utf-8")
    if effective_config.get("core", "no_scm", fallback="") == "true":
        return
    config.read(path, encoding="utf-8")
    if not config.has_section("core"):
        config.add_section("core")
    config.set("core", "no_scm", "true")
    text = io.StringIO()
    config.write(text)
    atomic_files.write_text(path, text.getvalue(), "dvc_config")
    remedy = "after `git init`, run `dvc config --local --unset core.no_scm`"
    print(f"{root}: not a git repository, so DVC works without git; {remedy}", file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """Run `python -m pipelines.dvc_repro [ARGUMENTS OF dvc repro]` in a workspace; return the exit code."""
    return interruption.reporting_interruption(lambda: run_reporting_errors(lambda: repro(paths.root(), arguments)))


if __name__ == "__main__":
    interruption.leave(main(sys.argv[1:]))
