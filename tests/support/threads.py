"""Run functions at the same time, in threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Argument, Result = TypeVar("Argument"), TypeVar("Result")


def at_once(work: Callable[[Argument], Result], arguments: Iterable[Argument]) -> list[Result]:
    """Call `work` with each argument in a separate thread. Return the results in order, or raise the first error."""
    values = list(arguments)
    with ThreadPoolExecutor(len(values)) as threads:
        return list(threads.map(work, values))
