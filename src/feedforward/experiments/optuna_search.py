"""The search for good values with Optuna; the only module that imports Optuna.

The sampler is seeded and receives results in the order in which it asked for them. So a search needs no stored state:
when it is restarted, it asks for the same values, and runs already trained are recognized by their fingerprints.
"""

from collections.abc import Sequence
from typing import Any

from feedforward.experiments.search_space import WHOLE, Axis, Point, Value


class Search:
    """A tree-structured Parzen estimator (Bergstra et al., 2011) that minimizes a metric."""

    def __init__(self, axes: Sequence[Axis], seed: int = 0) -> None:
        import optuna  # takes a second

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._distributions = {axis.field: _distribution(axis) for axis in axes}
        self._asked: list[Any] = []

    def ask(self, number: int) -> list[Point]:
        """The next `number` points to try."""
        self._asked = [self._study.ask(self._distributions) for _ in range(number)]
        return [{field: _short(value) for field, value in trial.params.items()} for trial in self._asked]

    def tell(self, figures: Sequence[float | None]) -> None:
        """Report the metric for each of the points last asked for, in the same order; None if the trial failed."""
        import optuna

        for trial, figure in zip(self._asked, figures, strict=True):
            if figure is None:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, figure)


def _distribution(axis: Axis) -> Any:
    from optuna import distributions

    low, high = axis.values[0], axis.values[-1]
    if not axis.is_range:
        return distributions.CategoricalDistribution(list[Value](axis.values))
    if axis.field in WHOLE:
        return distributions.IntDistribution(int(low), int(high), log=axis.is_log)
    return distributions.FloatDistribution(float(low), float(high), log=axis.is_log)


def _short(value: Value) -> Value:
    """Round to four significant digits, for readability."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
