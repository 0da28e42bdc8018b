"""A job stops after SIGINT or SIGTERM, even if the exception was lost."""

import contextlib
import os
import signal

import pytest

from pipelines import interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_stops_even_if_a_library_swallowed_the_interrupt(number: signal.Signals) -> None:
    with interruption.first_signal_only():
        stop = interruption.Stop()
        stop.check()
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    with interruption.first_signal_only():
        interruption.Stop().check()
