"""The outcome of a check, and how a check calls a student's function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """The result of a check. solved: whether the task is solved. text: what is wrong, or what was checked."""

    solved: bool
    text: str

    def __repr__(self) -> str:
        return f"{'✓' if self.solved else '✗'} {self.text}"


class Wrong(Exception):
    """An answer is wrong; the message is the hint."""


def run_check(check: Callable[[], str]) -> Outcome:
    """Run a check, which returns what it checked if the task is solved, and otherwise raises Wrong with a hint.

    Any other exception also means that the answer is wrong: an answer can be any object, and no check foresees all.
    """
    try:
        return Outcome(True, check())
    except Wrong as hint:
        return Outcome(False, str(hint))
    except Exception as error:
        return Outcome(False, f"The answer has an unexpected form: checking it raised {type(error).__name__}: {error}")


def call(function: Any, *arguments: Any, call_text: str) -> Any:
    """Call a student's function and return its result. call_text: the call as text, for messages.

    Raises:
        Wrong: the function cannot be called, raises an exception, or returns nothing.
    """
    if not callable(function):
        raise Wrong(f"Give the function itself, without calling it; got {type(function).__name__}.")
    try:
        result = function(*arguments)
    except Exception as error:
        raise Wrong(f"{call_text} raised {type(error).__name__}: {error}") from None
    if result is None or result is ...:
        raise Wrong(f"{call_text} returns nothing yet.")
    return result
