"""Progress is shown as a bar on a terminal, and as lines in a log."""

import io

from rich.console import Console
from threads import at_once

from feedforward.core import progress


def output(terminal: bool, interval: float = 0.0) -> str:
    """Return the output of a job with four steps, two in each of two threads."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
    with progress.bar("train", 4, console, interval) as advance:
        at_once(lambda _: [advance(1, "loss [0.5]") for _ in range(2)], range(2))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_terminal_shows_a_bar_and_clears_it_at_the_end() -> None:
    text = output(terminal=True)
    assert "train" in text
    assert "4/4" in text
    assert text.endswith("\x1b[2K")  # the line is cleared


def test_log_has_lines_with_progress_and_notes() -> None:
    assert output(terminal=False).splitlines() == [f"train: {done} of 4  loss [0.5]" for done in (1, 2, 3, 4)]


def test_a_job_shorter_than_the_interval_logs_nothing() -> None:
    assert output(terminal=False, interval=progress.INTERVAL) == ""


def test_progress_without_a_total_is_shown() -> None:
    console = Console(file=io.StringIO(), width=60)
    with progress.bar("predict", 0, console, 0.0) as advance:
        advance(7, "")
    assert isinstance(console.file, io.StringIO)
    assert "predict: 7 of 0" in console.file.getvalue()
