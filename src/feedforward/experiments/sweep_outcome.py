"""The outcome of a sweep: its trials, the best of them trained again with fresh seeds, and the test of the winner."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from feedforward.analysis import comparisons, literature, selection, statistics
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.selection import ConfirmedTrial
from feedforward.analysis.statistics import STATISTICS, Summary
from feedforward.experiments import optuna_search, sweep_basis
from feedforward.experiments.search_space import Point
from feedforward.experiments.search_space import text as text_of
from feedforward.experiments.sweep import FIRST_FRESH_SEED, STATISTIC, Sweep
from feedforward.reports import tables

BIAS = "selection bias (winner's curse)"
TESTED_ONCE = "The test split was used once for this sweep"


@dataclass(frozen=True)
class WinnerTest:
    """Test metrics of the winner's final models, which are computed once for a sweep.

    point: the values of the trial that was tested. epochs: for how many epochs its final models were trained.
    estimates: `test_accuracy` or `test_mae`, `test_loss` and others, over seeds.
    """

    point: Point
    epochs: int
    estimates: Mapping[str, Estimate]

    @property
    def headline(self) -> tuple[str, Estimate]:
        """Name and estimate of the test accuracy or, for regression, of the mean absolute error."""
        name = next(name for name in ("test_accuracy", "test_mae") if name in self.estimates)
        return name, self.estimates[name]


@dataclass(frozen=True)
class Outcome:
    """What a sweep has found so far.

    results: trial → its results, in the order in which the trials were tried; empty for a trial that failed.
    points: trial → its values. fresh: trial → its results with fresh seeds, for the best trials of the search, the best
    first. tested: the test of the winner.
    """

    sweep: Sweep
    results: Mapping[str, list[RunResult]]
    points: Mapping[str, Point]
    fresh: Mapping[str, list[RunResult]] = field(default_factory=dict)
    tested: WinnerTest | None = None

    # --- search ------------------------------------------------------------------------------

    @cached_property
    def summary(self) -> Summary:
        """Means and intervals by trial; for a search, the best first."""
        summary = statistics.summarize(self._runs, self.results)
        if not self.sweep.trials:
            return summary
        names = sorted(summary, key=lambda name: summary[name][self.sweep.statistic].mean)
        return {name: summary[name] for name in (names if self.sweep.better == "lower" else reversed(names))}

    @property
    def _runs(self) -> list[RunResult]:
        return [run for runs in self.results.values() for run in runs]

    @property
    def failed(self) -> list[str]:
        """Trials that could not be trained."""
        return [name for results in (self.results, self.fresh) for name, runs in results.items() if not runs]

    @cached_property
    def ranking(self) -> comparisons.Ranking:
        """Trials from best to worst, and those that the best significantly beats."""
        dataset = self.sweep.params.datasets.get(self.sweep.dataset)
        margin = dataset.margins.get(self.sweep.statistic) if dataset else None
        return comparisons.rank(self._runs, self.summary, self.sweep.statistic, margin)

    @property
    def chosen(self) -> list[str]:
        """The trials to confirm: the best of the search."""
        return [name for name, _ in self.ranking.order[: self.sweep.confirm]]

    def samples(self, name: str) -> list[float]:
        """The value of the sweep's statistic for each seed of a trial."""
        return list(statistics.sample(self._runs, name, self.sweep.statistic).values())

    @property
    def means(self) -> dict[str, float]:
        """The mean of the sweep's statistic for each trial, in the order in which the trials were tried."""
        return {name: self.summary[name][self.sweep.statistic].mean for name in self.results if name in self.summary}

    @property
    def expected_best(self) -> list[float]:
        """The expected best of 1, 2, … trials; see selection.expected_best."""
        return selection.expected_best(list(self.means.values()), self.sweep.better)

    @cached_property
    def importance(self) -> dict[str, float]:
        """The importance of each field; see optuna_search.importance."""
        points = [self.points[name] for name in self.means]
        return optuna_search.importance(self.sweep.axes, points, list(self.means.values()))

    # --- fresh seeds -------------------------------------------------------------------------

    @cached_property
    def confirmed(self) -> list[ConfirmedTrial]:
        """The results of the best trials, in the search and with fresh seeds; the best of the search comes first."""
        runs = [run for results in self.fresh.values() for run in results]
        summary, statistic = statistics.summarize(runs, self.fresh), self.sweep.statistic
        return [
            ConfirmedTrial(name, self.summary[name][statistic], estimates[statistic], self.sweep.better)
            for name, estimates in summary.items()
        ]

    @property
    def winner(self) -> str | None:
        """The trial with the best mean over fresh seeds; None if no trial was confirmed."""
        sign = 1 if self.sweep.better == "lower" else -1
        best = min(self.confirmed, key=lambda entry: sign * entry.fresh.mean, default=None)
        return best.name if best else None

    # --- as JSON and text --------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """The outcome as JSON-serializable values."""
        sweep, points = self.sweep, [self.points[name] for name in self.summary]
        trials = [
            {"values": self.points[name], **{key: dataclasses.asdict(value) for key, value in estimates.items()}}
            for name, estimates in self.summary.items()
        ]
        return {
            "dataset": self.sweep.dataset,
            "variant": self.sweep.variant,
            "statistic": self.sweep.statistic,
            "seeds": self.sweep.seeds,
            "basis": sweep_basis.digest(sweep.params, sweep.dataset, sweep.variant, points),
            "trials": trials,
            "best": self.points[self.ranking.order[0][0]],
            "not_distinguished_from_best": [self.points[name] for name in self.ranking.not_beaten],
            "failed": [self.points[name] for name in self.failed],
            "expected_best": self.expected_best,
            "importance": self.importance,
            "confirmed": [self._confirmed_json(entry) for entry in self.confirmed],
            "winner": self.points[self.winner] if self.winner else None,
            "test": self._test_json(),
        }

    def _confirmed_json(self, entry: ConfirmedTrial) -> dict[str, Any]:
        estimates = {"search": entry.search, "fresh": entry.fresh, "selection_bias": entry.bias}
        seeds = [run.seed for run in self.fresh[entry.name]]
        plain = {key: dataclasses.asdict(value) for key, value in estimates.items()}
        return {"values": self.points[entry.name], "fresh_seeds": seeds, **plain}

    def _test_json(self) -> dict[str, Any] | None:
        if self.tested is None:
            return None
        estimates = {name: dataclasses.asdict(estimate) for name, estimate in self.tested.estimates.items()}
        return {"values": self.tested.point, "epochs": self.tested.epochs, "figures": estimates}

    @property
    def label(self) -> str:
        """The statistic by which trials are compared, in words."""
        return STATISTICS[self.sweep.statistic].label

    def verdict(self) -> str:
        """The best values and how certain it is that they are the best, as text."""
        best, estimate = self.ranking.order[0]
        label = self.label if self.sweep.statistic == STATISTIC else f"best {self.label}"
        text = f"{label}: {self.text(best)}, {self.interval(estimate)}"
        if self.sweep.seeds == 1:
            return f"{text}; with one seed, the order of the trials is not significant"
        if tied := [self.text(name) for name in self.ranking.not_beaten]:
            others = "; ".join(tied[:5]) + (f" and {len(tied) - 5} more" if len(tied) > 5 else "")
            text += f"; {self.sweep.seeds} seeds do not distinguish it from {others}"
        return text

    @property
    def suspicions(self) -> list[str]:
        """Warnings about results of the best trial, or of the winner and its test, that beat all published results."""
        dataset = self.sweep.params.datasets.get(self.sweep.dataset)
        if dataset is None:
            return []
        name, results = self.winner or self.ranking.order[0][0], self.fresh if self.winner else self.results
        estimates = {
            **statistics.summarize(results[name], [name])[name],
            **(self.tested.estimates if self.tested else {}),
        }
        return literature.suspicions(self.text(name), estimates, dataset)

    def lines(self) -> list[str]:
        """The importance of the fields, the results with fresh seeds and the test, and warnings, one line each."""
        shares = ", ".join(f"{field} {100 * share:.0f} %" for field, share in self.importance.items())
        explained = [f"variance that single fields explain (fANOVA): {shares}"] if shares else []
        return [*explained, *self._confirmations(), *self.suspicions]

    def _confirmations(self) -> list[str]:
        if not self.confirmed:
            return []
        first = self.confirmed[0]
        lines = [
            f"best of the search: {self.interval(first.search)}; with fresh seeds ({self.fresh_seeds}):"
            f" {self.interval(first.fresh)}; {BIAS}: {self.interval(first.bias)}"
        ]
        if self.winner and len(self.confirmed) > 1:
            lines.append(f"winner, the best of these {len(self.confirmed)} on fresh seeds: {self.text(self.winner)}")
        return lines + ([self.tested_text()] if self.tested else [])

    @property
    def fresh_seeds(self) -> str:
        """The seeds of the confirmation as text."""
        last = FIRST_FRESH_SEED + self.sweep.fresh_seeds - 1
        return f"seeds {FIRST_FRESH_SEED} to {last}" if last > FIRST_FRESH_SEED else f"seed {FIRST_FRESH_SEED}"

    def tested_text(self) -> str:
        """The result on the test split, and the models that were tested, as text."""
        assert self.tested is not None
        name, estimate = self.tested.headline
        result = tables.interval(estimate, STATISTICS[name].decimals)
        return f"{STATISTICS[name].label} of the winner: {result}; {self.tested_models()}. {TESTED_ONCE}"

    def tested_models(self) -> str:
        """The models that were tested, as text."""
        assert self.tested is not None
        epochs, seeds = self.tested.epochs, self.tested.headline[1].n
        training = self.sweep.params.datasets[self.sweep.dataset].training
        share = float(self.tested.point.get("train_share", training.train_share))
        text = (
            f"{text_of(self.tested.point)}, {seeds} final model{'' if seeds == 1 else 's'} trained for"
            f" {epochs} epoch{'' if epochs == 1 else 's'} on {tables.training_samples(share)}"
        )
        if self.winner and self.points[self.winner] != self.tested.point:
            text += f"; {self.text(self.winner)}, which is ahead now, was not tested"
        return text

    def interval(self, estimate: Estimate) -> str:
        """An estimate of the sweep's statistic with its interval, as text."""
        return tables.interval(estimate, STATISTICS[self.sweep.statistic].decimals)

    def text(self, name: str) -> str:
        """The values of a trial as readable text."""
        return text_of(self.points[name])

    @property
    def table(self) -> Summary:
        """The summary, keyed by the values of each trial as text."""
        return {self.text(name): estimates for name, estimates in self.summary.items()}
