"""A sweep: validation losses over seeds for different values of some fields, as runs, a table and a figure."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedforward.analysis import comparisons, intervals, statistics
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import Summary
from feedforward.config.schema import Params, StatisticName
from feedforward.core import atomic_files, paths
from feedforward.data import manifest as manifest_file
from feedforward.experiments import parent_runs, plan, search_space
from feedforward.experiments.plan import Member, Pack
from feedforward.experiments.search_space import Axis
from feedforward.reports import tables
from feedforward.tracking import Run, RunTags

if TYPE_CHECKING:
    from feedforward.tracking import Store

STATISTIC: StatisticName = "best_val_cross_entropy"  # lower is better; a search looks for the lowest
PROTOCOL = "fair"


@dataclass(frozen=True)
class Sweep:
    """Values to try for some fields of a variant on a dataset.

    trials: number of trials in a search; 0 for a grid.
    """

    params: Params
    dataset: str
    variant: str
    axes: Sequence[Axis]
    seeds: int
    trials: int = 0

    @property
    def text(self) -> str:
        """The sweep as text: `original: dropout_rate=0.1,0.2`."""
        return f"{self.variant}: {' '.join(axis.text for axis in self.axes)}"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the vectorized data."""
        return manifest_file.load(self.dataset)

    def tags(self, role: Any, variant: str) -> RunTags:
        """The tags of the sweep's run, or of a trial's run below it."""
        base = plan.resolve(self.params.datasets[self.dataset], self.params.variants[self.variant])
        identity = [self.dataset, self.text, self.trials, base, self.manifest["data_digest"], role, variant]
        digest = atomic_files.digest(identity)
        return RunTags(self.dataset, variant, PROTOCOL, role, digest, self.manifest["data_digest"])


@dataclass(frozen=True)
class Trial:
    """One point of a sweep with its runs, one per seed; `name` is also the name of its variant in `params`."""

    point: search_space.Point
    name: str
    params: Params
    members: Sequence[tuple[Pack, Member]]


def trials(sweep: Sweep, points: Sequence[search_space.Point]) -> tuple[list[Trial], list[tuple[Pack, Params]]]:
    """One trial per point, and the packs that train them, each with its params.

    Points that change only the variant share params, so that trials with the same seed train side by side.
    """
    trials_by_name: dict[str, Trial] = {}
    packs: list[tuple[Pack, Params]] = []
    for params, points_by_name in _groups(sweep, points):
        planned = plan.plan(params, PROTOCOL, [sweep.dataset], list(points_by_name), range(sweep.seeds))
        planned = [pack for pack in planned if pack.role == "replica"]
        packs += [(pack, params) for pack in planned]
        members = parent_runs.by_variant(planned)
        for name, point in points_by_name.items():
            trials_by_name[name] = Trial(point, name, params, members[sweep.dataset, name])
    return [trials_by_name[_name(sweep, point)] for point in points], packs


def _groups(
    sweep: Sweep, points: Sequence[search_space.Point]
) -> Iterable[tuple[Params, Mapping[str, search_space.Point]]]:
    """One group for each distinct dataset entry: params that have each point as a variant, and the points by name."""
    groups: dict[str, tuple[Params, dict[str, search_space.Point]]] = {}
    for point in points:
        changed = search_space.apply(sweep.params, sweep.dataset, sweep.variant, point)
        dataset, name = changed.datasets[sweep.dataset], _name(sweep, point)
        training = dataset.training.model_copy(update={"variants": None})
        dataset = dataset.model_copy(update={"training": training})
        key = atomic_files.digest(dataset.model_dump(mode="json"))
        params, points_by_name = groups.get(key, (changed.model_copy(update={"variants": {}}), {}))
        variants = params.variants | {name: changed.variants[sweep.variant]}
        update = {"variants": variants, "datasets": {sweep.dataset: dataset}}
        groups[key] = (params.model_copy(update=update), points_by_name | {name: point})
    return groups.values()


def _name(sweep: Sweep, point: search_space.Point) -> str:
    return f"{sweep.variant} {search_space.text(point)}"


# --- runs in the store -------------------------------------------------------------------------


def start(sweep: Sweep, store: "Store") -> Run:
    """The run of the sweep, the parent of the runs of all trials."""
    return store.start(sweep.tags("sweep", sweep.variant), f"sweep of {sweep.text}", resume=True)


def start_trial(sweep: Sweep, trial: Trial, parent: Run, store: "Store") -> Run:
    """The run of a trial, the parent of its replicas."""
    return store.start(sweep.tags("trial", trial.name), trial.name, parent, resume=True)


def close_trial(run: Run, trial: Trial, results: Mapping[str, RunResult], store: "Store") -> list[RunResult]:
    """Close the run of a trial with means and intervals; as FAILED if a seed is missing.

    results: by fingerprint. Returns the results of the trial; empty if it failed.
    """
    parent_runs.close_parent(run, trial.members, results, trial.params, store)
    runs = parent_runs.results_of_members(trial.members, results)
    return runs if len(runs) == len(trial.members) else []


# --- outcome -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """The results of all trials, in order; an empty list for a trial that failed."""

    sweep: Sweep
    results: Mapping[str, list[RunResult]]
    points: Mapping[str, search_space.Point]

    @cached_property
    def summary(self) -> Summary:
        """Means and intervals by trial; for a search, sorted by loss."""
        summary = statistics.summarize(self._runs, self.results)
        names = sorted(summary, key=lambda name: summary[name][STATISTIC].mean) if self.sweep.trials else summary
        return {name: summary[name] for name in names}

    @property
    def _runs(self) -> list[RunResult]:
        return [run for runs in self.results.values() for run in runs]

    @property
    def failed(self) -> list[str]:
        """Trials that could not be trained."""
        return [name for name, runs in self.results.items() if not runs]

    @cached_property
    def ranking(self) -> comparisons.Ranking:
        """Trials sorted by loss, and those that cannot be distinguished from the best."""
        dataset = self.sweep.params.datasets.get(self.sweep.dataset)
        margin = dataset.margins.get(STATISTIC) if dataset else None
        return comparisons.rank(self._runs, self.summary, STATISTIC, margin)

    def samples(self, name: str) -> list[float]:
        """The lowest validation loss of each seed."""
        return list(statistics.sample(self._runs, name, STATISTIC).values())

    def as_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        trials = [
            {"values": self.points[name], **{key: dataclasses.asdict(value) for key, value in estimates.items()}}
            for name, estimates in self.summary.items()
        ]
        return {
            "dataset": self.sweep.dataset,
            "variant": self.sweep.variant,
            "seeds": self.sweep.seeds,
            "trials": trials,
            "best": self.points[self.ranking.order[0][0]],
            "not_told_from_best": [self.points[name] for name in self.ranking.tied],
            "failed": [self.points[name] for name in self.failed],
        }

    def verdict(self) -> str:
        """The best values and how certain it is that they are the best, as text."""
        best, estimate = self.ranking.order[0]
        text = f"lowest validation loss: {self.text(best)}, {tables.interval(estimate, 4)}"
        if self.sweep.seeds == 1:
            return f"{text}; with one seed, the order of the trials is not significant"
        if tied := [self.text(name) for name in self.ranking.tied]:
            others = "; ".join(tied[:5]) + (f" and {len(tied) - 5} more" if len(tied) > 5 else "")
            text += f"; {self.sweep.seeds} seeds do not distinguish it from {others}"
        return text

    def text(self, name: str) -> str:
        """The values of a trial as readable text."""
        return search_space.text(self.points[name])

    @property
    def table(self) -> Summary:
        """The summary, with the values of each trial as text for its key."""
        return {self.text(name): estimates for name, estimates in self.summary.items()}


CHOSEN = "The best of many trials, chosen on the validation split, looks slightly better there than on new samples."


def conclude(outcome: Outcome, parent: Run, store: "Store") -> Path:
    """Write the table and the figure below reports/sweeps, attach them to the sweep's run and close it.

    Returns the folder.
    """
    sweep, summary = outcome.sweep, outcome.summary
    folder = paths.sweep(sweep.dataset, "-".join(axis.field for axis in sweep.axes))
    header, rows = tables.cells(outcome.table, tables.REPLICA)
    table = f"{tables.markdown(header, rows)}\n{outcome.verdict()}. {CHOSEN}\n"
    content = {
        "sweep.png": _figure(outcome),
        "table.md": f"# {sweep.dataset}, {sweep.text}\n\n{table}".encode(),
        "sweep.json": (atomic_files.canonical_json(outcome.as_json(), indent=2) + "\n").encode(),
    }
    with atomic_files.writing_folder(folder, "sweep") as new_folder:
        for name, data in content.items():
            with atomic_files.writing(new_folder / name, "sweep.file") as file:
                file.write(data)
    best, estimate = outcome.ranking.order[0]
    store.finish(
        parent,
        metrics={
            "trials": float(len(summary)),
            "seeds": float(sweep.seeds),
            f"lowest_mean_{STATISTIC}": estimate.mean,
        },
        params={"dataset": sweep.dataset, "variant": sweep.variant}
        | {axis.field: axis.text.partition("=")[2] for axis in sweep.axes},
        tags={"best": outcome.text(best)},
        files=content,
    )
    return folder


def _figure(outcome: Outcome) -> bytes:
    from feedforward.reports import sweep_figures  # matplotlib takes a second
    from feedforward.reports.figure_style import png

    names, title = list(outcome.summary), f"{outcome.sweep.dataset}: {outcome.sweep.variant}, lowest validation loss"
    columns = {axis.field: [outcome.points[name][axis.field] for name in names] for axis in outcome.sweep.axes}
    samples = [outcome.samples(name) for name in names]
    if len(columns) == 2 and not outcome.sweep.trials:
        means = [intervals.estimate(values).mean for values in samples]  # type: ignore[union-attr]
        return png(sweep_figures.heat_map(columns, means, title, outcome.sweep.seeds))
    return png(sweep_figures.against_values(columns, samples, title))
