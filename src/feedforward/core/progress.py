"""One bar for long work on a terminal; elsewhere, as in the log of a job, a line now and then."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int, str], None]
QUIET = 30.0  # s between two lines


@contextlib.contextmanager
def bar(what: str, total: int, console: Console | None = None, quiet: float = QUIET) -> Iterator[Advance]:
    """Yield advance(steps, note), which any thread may call; the bar vanishes at the end, lines stay."""
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    guard, done, spoke = threading.Lock(), 0, time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(steps: int, note: str) -> None:
            nonlocal done, spoke
            with guard:
                done += steps
                progress.update(task, advance=steps, note=note)
                if not console.is_terminal and time.monotonic() - spoke >= quiet:
                    console.print(f"{what}: {done} of {total}  {note}", soft_wrap=True, markup=False, highlight=False)
                    spoke = time.monotonic()

        yield advance
