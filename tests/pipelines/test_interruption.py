"""A job stops after SIGINT or SIGTERM, even if a library swallowed the exception."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from pipelines import interruption


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_stops_even_if_a_library_swallowed_the_interrupt(signal_number: signal.Signals) -> None:
    with interruption.first_signal_only():
        stop = interruption.Stop()
        stop.check()
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal_number)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    with interruption.first_signal_only():
        interruption.Stop().check()


@pytest.mark.parametrize(
    ("signal_number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, interruption.Terminated)]
)
def test_only_sigterm_counts_as_sent_to_this_process_alone(
    signal_number: signal.Signals, raised: type[BaseException]
) -> None:
    with pytest.raises(raised) as caught, interruption.first_signal_only():
        os.kill(os.getpid(), signal_number)
    assert caught.type is raised


STAGE = """
import sys, time
from pathlib import Path
from feedforward.core import processes
from pipelines import interruption

folder = Path(sys.argv[1])

def work():
    try:
        (folder / "started").touch()
        time.sleep(600)
    finally:
        while not (folder / "go").exists():
            time.sleep(0.1)
        (folder / "closed").touch()

processes.end_with_ancestors(interval=0.05, grace=interruption.grace_after_parent)
sys.exit(interruption.reporting_interruption(work))
"""
STARTER = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # pytest may have been started with SIGINT ignored
subprocess.run(["sh", "-c", '"$0" -c "$1" "$2"; :', sys.executable, *sys.argv[1:]])
"""


@pytest.mark.proves("A stage closes its runs even if the shell and DVC, which get the same signal, end before it")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_stage_closes_its_runs_after_the_shell_that_started_it_has_ended(
    tmp_path: Path, signal_number: signal.Signals
) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, STAGE, str(tmp_path)], start_new_session=True)
    until((tmp_path / "started").exists)
    os.killpg(starter.pid, signal_number)
    starter.wait(60)  # the shell has ended before it
    (tmp_path / "go").touch()
    until((tmp_path / "closed").exists)


LEFT_BEHIND = """
import sys, threading, time
from feedforward.cli import app
from pipelines import interruption

def work(*_, **__):
    threading.Thread(target=time.sleep, args=(600,)).start()  # like a thread of a pool that nobody wakes
    raise KeyboardInterrupt

app.app = work
"""


@pytest.mark.slow
@pytest.mark.proves("An interrupted command ends even if a thread that a library started does not")
@pytest.mark.parametrize("last", ["interruption.leave(interruption.reporting_interruption(work))", "app.main()"])
def test_an_interrupted_process_ends_although_a_thread_does_not(last: str) -> None:
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND + last], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (interruption.EXIT_CODE, interruption.MESSAGE)
