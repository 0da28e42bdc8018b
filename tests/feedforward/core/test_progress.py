"""Progress is a bar on a terminal, and lines in a log."""

import io
import threading

from rich.console import Console

from feedforward.core import progress


def shown(terminal: bool, interval: float = 0.0) -> str:
    """Output of a job with four steps, two in each of two threads."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
    with progress.bar("train", 4, console, interval) as advance:
        threads = [threading.Thread(target=lambda: [advance(1, "loss [0.5]") for _ in range(2)]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_shows_a_bar_that_disappears() -> None:
    text = shown(terminal=True)
    assert "train" in text
    assert "4/4" in text
    assert text.endswith("\x1b[2K")  # the line is cleared


def test_a_log_gets_lines_with_progress_and_notes() -> None:
    assert shown(terminal=False).splitlines() == [f"train: {done} of 4  loss [0.5]" for done in (1, 2, 3, 4)]


def test_a_short_job_logs_no_line() -> None:
    assert shown(terminal=False, interval=progress.INTERVAL) == ""


def test_the_total_may_be_unknown() -> None:
    console = Console(file=io.StringIO(), width=60)
    with progress.bar("predict", 0, console, 0.0) as advance:
        advance(7, "")
    assert isinstance(console.file, io.StringIO)
    assert "predict: 7 of 0" in console.file.getvalue()
