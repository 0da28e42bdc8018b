"""How a job learns that it was interrupted."""

import contextlib
import os
import signal

import pytest

from pipelines import interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_training_runs_stop_although_the_interrupt_was_lost_in_a_library(number: signal.Signals) -> None:
    with interruption.once():
        stop = interruption.Stop()
        stop.check()
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    with interruption.once():
        interruption.Stop().check()
