"""A job stops after SIGINT or SIGTERM, even if a library swallowed the exception."""

import contextlib
import os
import signal

import pytest

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
