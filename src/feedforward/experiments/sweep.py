"""A sweep: what different values of some fields do to the validation loss, over seeds, as runs, table and figure."""

import dataclasses
from collections.abc import Mapping, Sequence
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
from feedforward.experiments import plan, runner, search_space
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
    """What is to be tried: on top of `variant` of `dataset`, values of some fields; trials: of a search, else 0."""

    params: Params
    dataset: str
    variant: str
    axes: Sequence[Axis]
    seeds: int
    trials: int = 0

    @property
    def text(self) -> str:
        """`original: dropout_rate=0.1,0.2`."""
        return f"{self.variant}: {' '.join(axis.text for axis in self.axes)}"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What vectorize says of the data."""
        return manifest_file.load(self.dataset)

    def tags(self, role: Any, variant: str) -> RunTags:
        """Of the sweep's own run, and of those of its trials below it."""
        base = plan.resolve(self.params.datasets[self.dataset], self.params.variants[self.variant])
        asked = [self.dataset, self.text, self.trials, base, self.manifest["data_digest"], role, variant]
        return RunTags(self.dataset, variant, PROTOCOL, role, atomic_files.digest(asked), self.manifest["data_digest"])


@dataclass(frozen=True)
class Trial:
    """One point of a sweep with its runs, one per seed; `name` is that of its variant in `params`."""

    point: search_space.Point
    name: str
    params: Params
    members: Sequence[tuple[Pack, Member]]


def trials(sweep: Sweep, points: Sequence[search_space.Point]) -> tuple[list[Trial], list[tuple[Pack, Params]]]:
    """(trials, packs): each point as a variant of its own, and the packs that train them with their params.

    Points that change only the variant share their params, so that the trials of a seed train side by side.
    """
    groups: dict[str, tuple[Params, dict[str, search_space.Point]]] = {}
    for point in points:
        changed = search_space.apply(sweep.params, sweep.dataset, sweep.variant, point)
        dataset, name = changed.datasets[sweep.dataset], f"{sweep.variant} {search_space.text(point)}"
        training = dataset.training.model_copy(update={"variants": None})
        dataset = dataset.model_copy(update={"training": training})
        params, named = groups.setdefault(atomic_files.digest(dataset.model_dump(mode="json")), (changed, {}))
        variants = (params.variants if named else {}) | {name: changed.variants[sweep.variant]}
        update = {"variants": variants, "datasets": {sweep.dataset: dataset}}
        groups[atomic_files.digest(dataset.model_dump(mode="json"))] = (
            params.model_copy(update=update),
            named | {name: point},
        )
    made, packs = [], list[tuple[Pack, Params]]()
    for params, named in groups.values():
        planned = plan.plan(params, PROTOCOL, [sweep.dataset], list(named), range(sweep.seeds))
        planned = [pack for pack in planned if pack.role == "replica"]
        packs += [(pack, params) for pack in planned]
        members = runner.by_variant(planned)
        made += [Trial(point, name, params, members[sweep.dataset, name]) for name, point in named.items()]
    order = [f"{sweep.variant} {search_space.text(point)}" for point in points]
    return sorted(made, key=lambda trial: order.index(trial.name)), packs


# --- runs in the store -------------------------------------------------------------------------


def start(sweep: Sweep, store: "Store") -> Run:
    """The run that holds those of all trials."""
    return store.start(sweep.tags("sweep", sweep.variant), f"sweep of {sweep.text}", resume=True)


def start_trial(sweep: Sweep, trial: Trial, parent: Run, store: "Store") -> Run:
    """The run of a trial, which holds the replicas that are trained for it."""
    return store.start(sweep.tags("trial", trial.name), trial.name, parent, resume=True)


def close_trial(run: Run, trial: Trial, found: Mapping[str, RunResult], store: "Store") -> list[RunResult]:
    """Close the run with means and intervals, as FAILED if a seed is missing; the results, none of a failed trial."""
    runner.close_parent(run, trial.members, found, trial.params, store)
    results = runner.results_of_members(trial.members, found)
    return results if len(results) == len(trial.members) else []


# --- what came of it ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """The results of all trials, in the order in which they were asked for; of a failed one none."""

    sweep: Sweep
    results: Mapping[str, list[RunResult]]
    points: Mapping[str, search_space.Point]

    @cached_property
    def summary(self) -> Summary:
        """Means and intervals by name of the trial; those of a search from the lowest loss on."""
        found = statistics.summarize(self._runs, self.results)
        names = sorted(found, key=lambda name: found[name][STATISTIC].mean) if self.sweep.trials else found
        return {name: found[name] for name in names}

    @property
    def _runs(self) -> list[RunResult]:
        return [run for runs in self.results.values() for run in runs]

    @property
    def failed(self) -> list[str]:
        """Trials that could not be trained."""
        return [name for name, runs in self.results.items() if not runs]

    @cached_property
    def ranking(self) -> comparisons.Ranking:
        """Trials from the lowest loss on, and those that cannot be told from the first."""
        dataset = self.sweep.params.datasets.get(self.sweep.dataset)
        margin = dataset.margins.get(STATISTIC) if dataset else None
        return comparisons.rank(self._runs, self.summary, STATISTIC, margin)

    def samples(self, name: str) -> list[float]:
        """The lowest validation loss of each seed."""
        return list(statistics.sample(self._runs, name, STATISTIC).values())

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        trials = [
            {"values": self.points[name], **{key: dataclasses.asdict(each) for key, each in estimates.items()}}
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
        """The best value and how sure that is, in words."""
        best, estimate = self.ranking.order[0]
        text = f"lowest validation loss: {self.text(best)}, {tables.interval(estimate, 4)}"
        if self.sweep.seeds == 1:
            return f"{text}; one seed: this is an order, not a finding"
        if tied := [self.text(name) for name in self.ranking.tied]:
            some = "; ".join(tied[:5]) + (f" and {len(tied) - 5} more" if len(tied) > 5 else "")
            text += f"; {self.sweep.seeds} seeds cannot tell it from {some}"
        return text

    def text(self, name: str) -> str:
        """The values of a trial, for people."""
        return search_space.text(self.points[name])

    @property
    def table(self) -> Summary:
        """The summary by the values of the trials."""
        return {self.text(name): estimates for name, estimates in self.summary.items()}


CHOSEN = "Chosen on the validation split among many, the best looks a little better than it will be on new samples."


def conclude(outcome: Outcome, parent: Run, store: "Store") -> Path:
    """Write table and figure below reports/sweeps, and close the sweep's run with them; the folder."""
    sweep, summary = outcome.sweep, outcome.summary
    folder = paths.sweep(sweep.dataset, "-".join(axis.field for axis in sweep.axes))
    header, rows = tables.cells(outcome.table, tables.REPLICA)
    table = f"{tables.markdown(header, rows)}\n{outcome.verdict()}. {CHOSEN}\n"
    content = {
        "sweep.png": _figure(outcome),
        "table.md": f"# {sweep.dataset}, {sweep.text}\n\n{table}".encode(),
        "sweep.json": (atomic_files.canonical_json(outcome.as_json(), indent=2) + "\n").encode(),
    }
    with atomic_files.writing_folder(folder, "sweep") as place:
        for name, data in content.items():
            with atomic_files.writing(place / name, "sweep.file") as file:
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
