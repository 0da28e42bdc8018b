"""Ctrl-C and SIGTERM end a job in seconds: its runs are closed as KILLED, the message is one line, the code is 130.

TensorFlow computes in threads, which Python cannot interrupt. So each training asks after every epoch whether to stop,
and after a while the process ends without waiting for it.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_CODE = 130
GRACE = 5.0  # s for trainings to reach the end of an epoch
MESSAGE = "interrupted; run the command again to continue"


class Terminated(KeyboardInterrupt):
    """SIGTERM, which `docker stop` and process managers send to one process, not to its children."""


@contextlib.contextmanager
def once() -> Iterator[None]:
    """In this block the first SIGINT or SIGTERM raises KeyboardInterrupt; later ones do not disturb the cleanup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reported(work: Callable[[], int]) -> int:
    """Do `work` and return its exit code; 130 and one line if it is interrupted."""
    try:
        with once():
            return work()
    except KeyboardInterrupt:
        print(MESSAGE, file=sys.stderr)
        return EXIT_CODE


class Stop:
    """Tells trainings in other threads to stop."""

    def __init__(self) -> None:
        self._requested = threading.Event()

    def request(self, otherwise: Callable[[], None]) -> None:
        """Ask all to stop; if the process still waits for one after the grace period, call `otherwise` and end it."""
        self._requested.set()

        def end() -> None:
            with contextlib.suppress(Exception):
                otherwise()
            print(MESSAGE, file=sys.stderr, flush=True)
            os._exit(EXIT_CODE)

        timer = threading.Timer(GRACE, end)
        timer.daemon = True
        timer.start()

    def check(self) -> None:
        """Called by a training after each epoch.

        Raises:
            KeyboardInterrupt: it has to stop.
        """
        if self._requested.is_set():
            raise KeyboardInterrupt("interrupted")
