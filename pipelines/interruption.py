"""Ends a job within seconds after Ctrl-C or SIGTERM: closes its runs as KILLED, prints one line, exits with code 130.

TensorFlow computes in threads, which Python cannot interrupt. So each training run checks after every epoch whether it
has to stop, and after a grace period the process exits without waiting for runs that have not stopped. Runs also check
whether a signal has arrived, because a KeyboardInterrupt is lost if it is raised inside a destructor, or a callback
whose errors are ignored.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from feedforward.core import processes
from feedforward.core.errors import FeedforwardError

EXIT_CODE = 130
GRACE = 5.0  # s for training runs to reach the end of an epoch
MESSAGE = "interrupted; run the command again to continue"

_signaled = threading.Event()  # whether a signal has arrived in the current `first_signal_only` block


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, which `docker stop` and process managers send to one process but not to its children."""


@contextlib.contextmanager
def first_signal_only() -> Iterator[None]:
    """In this block, the first SIGINT or SIGTERM raises KeyboardInterrupt; later signals do not interrupt cleanup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(received: int, _frame: FrameType | None) -> None:
        _signaled.set()
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)
        raise Terminated if received == signal.SIGTERM else KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _signaled.clear()
        for number in handlers:
            signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def grace_after_parent() -> float:
    """The time in seconds that a job may take to end after its parent: none, unless a signal has interrupted it.

    A terminal and Prefect's worker signal a whole group: the shell between DVC and its stage ends at once, then DVC,
    while the stage is still closing its runs.
    """
    return 2 * GRACE if _signaled.is_set() else 0.0


def announce(message: str = MESSAGE) -> None:
    """Print the message, even while another thread imports TensorFlow with standard error silenced."""
    processes.unsilence()
    print(message, file=sys.stderr, flush=True)


def reporting_interruption(work: Callable[[], int]) -> int:
    """Call `work` and return its exit code; if it is interrupted, print one line and return 130."""
    try:
        with first_signal_only():
            return work()
    except KeyboardInterrupt:
        announce()
        return EXIT_CODE


def leave(code: int) -> NoReturn:
    """Exit with this code; after an interruption, at the latest when the grace period is over.

    An interrupt that is raised while a thread pool starts a thread leaves behind a thread that waits for work forever.
    """
    if code == EXIT_CODE:
        timer = threading.Timer(GRACE, os._exit, [code])
        timer.daemon = True
        timer.start()
    sys.exit(code)


class Stop:
    """Asks training runs in other threads to stop."""

    def __init__(self) -> None:
        self._requested = threading.Event()

    def request(self, before_exit: Callable[[], None], problem: str = "") -> None:
        """Ask all runs to stop; if one still runs after the grace period, call `before_exit` and exit the process.

        problem: the error that is the reason, which is printed, and the exit code is 1; empty: an interruption.
        """
        self._requested.set()

        def end() -> None:
            with contextlib.suppress(Exception):
                before_exit()
            announce(problem or MESSAGE)
            os._exit(FeedforwardError.exit_code if problem else EXIT_CODE)

        timer = threading.Timer(GRACE, end)
        timer.daemon = True
        timer.start()

    def check(self) -> None:
        """Check whether to stop; each training run calls this after every epoch, and the flow after every pack.

        Raises:
            KeyboardInterrupt: the run has to stop.
        """
        if self._requested.is_set() or _signaled.is_set():
            raise KeyboardInterrupt("interrupted")
