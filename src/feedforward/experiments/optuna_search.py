"""The search for good values, and the importance of parameters, with Optuna; the only module that imports Optuna.

The sampler is seeded, and receives the results in the order in which it proposed the points. So a search needs no
stored state: when it is restarted, it proposes the same points, and the fingerprints of runs already trained are
recognized.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from feedforward.analysis.selection import Better
from feedforward.experiments.search_space import INTEGER_FIELDS, Axis, Point, Value

DIRECTIONS: Mapping[Better, Literal["minimize", "maximize"]] = {"lower": "minimize", "higher": "maximize"}
INDEPENDENT_TRIALS = 10  # number of initial trials, drawn at random regardless of results
FEWEST_TRIALS = 4  # with fewer, importance is meaningless


class Search:
    """A tree-structured Parzen estimator (Bergstra et al., 2011) that looks for the lowest or the highest result."""

    def __init__(self, axes: Sequence[Axis], better: Better = "lower", seed: int = 0) -> None:
        import optuna  # importing it takes a second

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=INDEPENDENT_TRIALS)
        self._study = optuna.create_study(sampler=sampler, direction=DIRECTIONS[better])
        self._axes = {axis.field: axis for axis in axes}
        self._distributions = {axis.field: _distribution(axis) for axis in axes}
        self._pending_trials: list[Any] = []

    def ask(self, count: int) -> list[Point]:
        """The next `count` points to try."""
        self._pending_trials = [self._study.ask(self._distributions) for _ in range(count)]
        return [
            {field: _rounded(value, self._axes[field]) for field, value in trial.params.items()}
            for trial in self._pending_trials
        ]

    def tell(self, results: Sequence[float | None]) -> None:
        """Report the result of each point that `ask` returned last, in the same order; None if the trial failed."""
        import optuna

        for trial, result in zip(self._pending_trials, results, strict=True):
            if result is None:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, result)


def _distribution(axis: Axis) -> Any:
    from optuna import distributions

    low, high = axis.values[0], axis.values[-1]
    if not axis.is_range:
        return distributions.CategoricalDistribution(list[Value](axis.values))
    if axis.field in INTEGER_FIELDS:
        return distributions.IntDistribution(int(low), int(high), log=axis.is_log)
    return distributions.FloatDistribution(float(low), float(high), log=axis.is_log)


def _rounded(value: Value, axis: Axis) -> Value:
    """Round to four significant digits, for readability; to more if the range is narrow, and never beyond its ends.

    >>> _rounded(0.123456, Axis("dropout_rate", (0.1, 0.5), is_range=True))
    0.1235
    >>> _rounded(0.12345678, Axis("dropout_rate", (0.123, 0.124), is_range=True))
    0.123457
    """
    low, high = axis.values[0], axis.values[-1]
    if not axis.is_range or isinstance(value, str | int) or isinstance(low, str) or isinstance(high, str):
        return value
    leading = math.floor(math.log10(max(abs(low), abs(high)) / (high - low)))  # digits that both ends share
    return float(min(max(float(f"{value:.{4 + max(0, leading)}g}"), low), high))


def importance(axes: Sequence[Axis], points: Sequence[Point], results: Sequence[float]) -> dict[str, float]:
    """The share of the variance in the results that each field explains by itself, largest first.

    A random forest predicts the result from the values, and its variance over the whole space is split into the parts
    of single fields (fANOVA: Hutter et al., "An efficient approach for assessing hyperparameter importance", ICML
    2014). The shares sum to at most 1; interactions explain the rest. Empty if fewer than two fields vary, if there are
    fewer than FEWEST_TRIALS trials, or if all results are equal.
    """
    varied = [axis for axis in axes if len({point[axis.field] for point in points}) > 1]
    if len(varied) < 2 or len(points) < FEWEST_TRIALS or len(set(results)) == 1:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {axis.field: _observed_distribution([point[axis.field] for point in points]) for axis in varied}
    study = optuna.create_study()
    for point, result in zip(points, results, strict=True):
        values = {field: point[field] for field in distributions}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=distributions, value=result))
    shares = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study)
    return {field: float(f"{share:.4g}") for field, share in sorted(shares.items(), key=lambda item: -item[1])}


def _observed_distribution(values: Sequence[Value]) -> Any:
    """The distribution of a field over the range of its values, linear as for fANOVA; names are categories."""
    from optuna import distributions

    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        return distributions.CategoricalDistribution(list(dict.fromkeys(values)))
    return distributions.FloatDistribution(float(min(numbers)), float(max(numbers)))
