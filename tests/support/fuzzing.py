"""The number of examples of Hypothesis: some seconds in `make test`, longer in `make faults`."""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ", "1"))  # set by faults.cited


def examples(count: int) -> settings:
    """Settings with `count` examples, or a multiple of them, always the same ones."""
    slow = [HealthCheck.too_slow]  # on a busy machine
    return settings(
        deadline=None, max_examples=TIMES * count, derandomize=True, database=None, suppress_health_check=slow
    )
