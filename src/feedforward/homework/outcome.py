"""What a check says, and how it calls a student's function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """solved: whether the task is solved. text: what is wrong, or what was checked; one or more lines."""

    solved: bool
    text: str

    def __repr__(self) -> str:
        return f"{'✓' if self.solved else '✗'} {self.text}"


class Wrong(Exception):
    """Something is wrong with an answer; the message is the hint."""


def checked(check: Callable[[], str]) -> Outcome:
    """The outcome of a check that returns a text, or raises Wrong with a hint."""
    try:
        return Outcome(True, check())
    except Wrong as hint:
        return Outcome(False, str(hint))


def called(function: Any, *arguments: Any, shown: str) -> Any:
    """The result of a student's function. shown: the call, for messages.

    Raises:
        Wrong: it cannot be called, raises an exception, or returns nothing.
    """
    if not callable(function):
        raise Wrong(f"Give the function itself, without calling it; got {type(function).__name__}.")
    try:
        result = function(*arguments)
    except Exception as error:
        raise Wrong(f"{shown} raised {type(error).__name__}: {error}") from None
    if result is None or result is ...:
        raise Wrong(f"{shown} returns nothing yet.")
    return result
