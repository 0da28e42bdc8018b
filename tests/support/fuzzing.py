"""How long Hypothesis looks for what nobody thought of: some seconds in `make test`, longer in `make faults`."""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ", "1"))  # set by faults.cited


def examples(count: int) -> settings:
    """So many examples, or a multiple of them; the same each time."""
    slow = [HealthCheck.too_slow]  # of a busy machine
    return settings(
        deadline=None, max_examples=TIMES * count, derandomize=True, database=None, suppress_health_check=slow
    )
