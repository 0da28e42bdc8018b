"""Printing for people: results to standard output, messages to standard error."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from feedforward.core.errors import ParamsError

if TYPE_CHECKING:
    from rich.console import RenderableType

CONTROL_CHARACTERS = r"[\x00-\x09\x0b-\x1f\x7f-\x9f]"  # except line breaks


def message(text: str) -> None:
    """Print rich markup to standard error, without wrapping it."""
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True, width=shutil.get_terminal_size((120, 40)).columns)
    console.print(printable(text))


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """While the block runs, show `text` and an animation on standard error if that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(escaped(text)):
        yield


def print_table(content: "RenderableType") -> None:
    """Print a table, or several, to standard output; if it is not a terminal, no cell is shortened."""
    from rich.console import Console
    from rich.segment import Segment, Segments

    console = Console()
    if not console.is_terminal:
        unlimited = console.options.update_width(2**16)
        console.width = max(console.width, console.measure(content, options=unlimited).maximum)
    parts = console.render(content)
    console.print(Segments(Segment(printable(part.text), part.style) for part in parts))


def printable(text: str) -> str:
    """The text with control characters except line breaks as question marks.

    Names in archives, shared stores or commits may come from anybody, and a terminal would obey the escape sequences
    in them.

    >>> printable("\\x1b[2J")
    '?[2J'
    """
    return re.sub(CONTROL_CHARACTERS, "?", text)


def escaped(text: str) -> str:
    """The text with its square brackets escaped, so that rich prints them."""
    from rich.markup import escape

    return escape(text)


def check_file(path: Path) -> Path:
    """Check that a file can be written to `path`; return the path to write to: if `path` is a link, where it leads.

    Files are written under a temporary name and then renamed, which would replace the link, or a device such as
    /dev/null.

    Raises:
        ParamsError: `path` is a folder, a device or a pipe.
    """
    if path.exists() and not path.is_file():
        raise ParamsError([f"{path}: exists and is not a regular file; name another file"])
    return Path(os.path.realpath(path))
