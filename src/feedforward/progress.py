"""One bar for long work on a terminal; a line for each finished part elsewhere."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int, str], None]


@contextlib.contextmanager
def bar(what: str, total: int, console: Console | None = None) -> Iterator[Advance]:
    """Yield advance(steps, note), which any thread may call; the bar vanishes at the end."""
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    guard = threading.Lock()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(steps: int, note: str) -> None:
            with guard:
                progress.update(task, advance=steps, note=note)

        yield advance
