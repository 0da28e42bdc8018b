"""A bar where somebody looks, lines in a log where nobody does."""

import io
import threading

from rich.console import Console

from feedforward.core import progress


def shown(terminal: bool, quiet: float = 0.0) -> str:
    """What a job of four steps shows, two by each of two threads."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
    with progress.bar("train", 4, console, quiet) as advance:
        threads = [threading.Thread(target=lambda: [advance(1, "loss [0.5]") for _ in range(2)]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_has_a_bar_that_goes_away() -> None:
    text = shown(terminal=True)
    assert "train" in text
    assert "4/4" in text
    assert text.endswith("\x1b[2K")  # the line is cleared


def test_a_log_has_a_line_for_what_is_done_with_its_note_as_it_is() -> None:
    assert shown(terminal=False).splitlines() == [f"train: {done} of 4  loss [0.5]" for done in (1, 2, 3, 4)]


def test_a_short_job_leaves_no_line() -> None:
    assert shown(terminal=False, quiet=progress.QUIET) == ""


def test_work_of_unknown_size_is_no_obstacle() -> None:
    console = Console(file=io.StringIO(), width=60)
    with progress.bar("predict", 0, console, 0.0) as advance:
        advance(7, "")
    assert isinstance(console.file, io.StringIO)
    assert "predict: 7 of 0" in console.file.getvalue()
