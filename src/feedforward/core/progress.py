"""Show progress: on a terminal as a bar, elsewhere (such as in a job's log) as one line every 30 seconds."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int, str], None]
INTERVAL = 30.0  # minimum time between two lines, in seconds


@contextlib.contextmanager
def bar(label: str, total: int, console: Console | None = None, interval: float = INTERVAL) -> Iterator[Advance]:
    """Yield a function advance(steps, note), which any thread may call. At the end, a bar disappears; lines remain."""
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    lock, done, last_line = threading.Lock(), 0, time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=total, note="")

        def advance(steps: int, note: str) -> None:
            nonlocal done, last_line
            with lock:
                done += steps
                progress.update(task, advance=steps, note=note)
                if not console.is_terminal and time.monotonic() - last_line >= interval:
                    console.print(f"{label}: {done} of {total}  {note}", soft_wrap=True, markup=False, highlight=False)
                    last_line = time.monotonic()

        yield advance
