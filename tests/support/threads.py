"""Run functions at the same time, in threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Given, Result = TypeVar("Given"), TypeVar("Result")


def at_once(work: Callable[[Given], Result], arguments: Iterable[Given]) -> list[Result]:
    """Call `work` with each argument in a separate thread. Return the results in order, or raise the first error."""
    given = list(arguments)
    with ThreadPoolExecutor(len(given)) as threads:
        return list(threads.map(work, given))
