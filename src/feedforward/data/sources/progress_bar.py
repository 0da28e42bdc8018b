"""A progress bar for downloads."""

from rich import progress
from rich.console import Console


class Bar:
    """Shows the bytes and speed of the current download on a terminal; elsewhere, it shows nothing."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        name, bar = progress.TextColumn("{task.description}"), progress.BarColumn()
        numbers = (progress.DownloadColumn(), progress.TransferSpeedColumn(), progress.TimeRemainingColumn())
        self._progress = progress.Progress(
            name, bar, *numbers, console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._progress.add_task("fetch", total=None)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, name: str, size: int | None) -> None:
        """Start the bar for a file. size: in bytes; None if the source does not report it."""
        self._progress.reset(self._task, total=size, description=name)

    def advance(self, size: int) -> None:
        """Add `size` received bytes."""
        self._progress.advance(self._task, size)
