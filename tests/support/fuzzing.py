"""The number of Hypothesis examples: a few seconds in `make test`, longer in `make faults`."""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ", "1"))  # set by faults.cited


def examples(count: int) -> settings:
    """Hypothesis settings with `count` examples, or a multiple of that number, always the same examples."""
    slow = [HealthCheck.too_slow]  # on a busy machine
    return settings(
        deadline=None, max_examples=TIMES * count, derandomize=True, database=None, suppress_health_check=slow
    )
