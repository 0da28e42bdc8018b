"""The number of Hypothesis examples: enough for a few seconds in `make test`, and more in `make faults`."""

import os

from hypothesis import HealthCheck, settings

MULTIPLIER = int(os.environ.get("FUZZ", "1"))  # set by faults/cited.py


def examples(count: int) -> settings:
    """Return Hypothesis settings with `count` times MULTIPLIER examples, which are the same in each run."""
    ignored_checks = [HealthCheck.too_slow]  # would fail on a busy machine
    return settings(
        deadline=None,
        max_examples=MULTIPLIER * count,
        derandomize=True,
        database=None,
        suppress_health_check=ignored_checks,
    )
