"""Correction of p-values for several tests."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for several tests by Holm's procedure (Scandinavian Journal of Statistics 6, 1979).

    A None (no test was possible) stays None and does not count as a test.

    >>> holm([0.01, 0.04, 0.03, None])
    [0.03, 0.06, 0.06, None]
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for step, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - step)))
        corrected[i] = largest
    return corrected
