"""Wait for another thread, process or server."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
PATIENCE = 120.0  # s; generous, because a busy machine is slow, and only benchmarks measure speed


def until(condition: Callable[[], Value], seconds: float = PATIENCE, details: Callable[[], str] = str) -> Value:
    """Wait until `condition` returns a true value, and return the value. details: text for the error message."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"condition not met after {seconds:g} s {details()}"
        time.sleep(0.1)
    return value
