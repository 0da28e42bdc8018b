"""The number of Hypothesis examples: enough for a few seconds in `make test`, and more in `make faults`."""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ", "1"))  # set by faults/cited.py


def examples(count: int) -> settings:
    """Return Hypothesis settings with `count` examples (times $FUZZ), which are the same in each run."""
    slow = [HealthCheck.too_slow]  # on a busy machine
    return settings(
        deadline=None, max_examples=TIMES * count, derandomize=True, database=None, suppress_health_check=slow
    )
