"""A sweep: trials of different values for some fields, each trial with several seeds; and their runs in the store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from feedforward.analysis.run_result import RunResult
from feedforward.analysis.selection import Better
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Params, StatisticName
from feedforward.core import atomic_files
from feedforward.data import manifest as manifest_file
from feedforward.experiments import parent_runs, plan, search_space
from feedforward.experiments.plan import Member, Pack
from feedforward.experiments.search_space import Axis
from feedforward.tracking import Run, RunTags

if TYPE_CHECKING:
    from feedforward.tracking import Store

STATISTIC: StatisticName = "best_val_cross_entropy"  # the default statistic for comparing trials
PROTOCOL = "fair"
FIRST_FRESH_SEED = 1000  # first seed of the confirmation; the seeds of sweeps, comparisons and decisions are below it


@dataclass(frozen=True)
class Sweep:
    """Values to try for some fields of a variant or of training on a dataset.

    seeds: number of seeds for each trial. trials: number of trials in a search; 0 for a grid. statistic: the statistic
    by which trials are compared. confirm: how many of the best trials are trained again, with `fresh_seeds` seeds each.
    test: whether to evaluate the confirmed winner on the test split.
    """

    params: Params
    dataset: str
    variant: str
    axes: Sequence[Axis]
    seeds: int
    trials: int = 0
    statistic: StatisticName = STATISTIC
    confirm: int = 0
    fresh_seeds: int = 3
    test: bool = False

    @property
    def text(self) -> str:
        """The sweep as text: `original: dropout_rate=0.1,0.2`, with the statistic if it is not the default."""
        suffix = "" if self.statistic == STATISTIC else f" by {self.statistic}"
        return f"{self.variant}: {' '.join(axis.text for axis in self.axes)}{suffix}"

    @property
    def better(self) -> Better:
        """Whether lower or higher values of the statistic are better."""
        better = STATISTICS[self.statistic].better
        assert better is not None  # search_space.statistic returns no others
        return better

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the vectorized data."""
        return manifest_file.load(self.dataset)

    def tags(self, role: Any, variant: str) -> RunTags:
        """The tags of the sweep's run, or of a run that is nested under it.

        They identify the sweep by its values, by the parameters before these values replace some of them, and by what
        params.yaml says about names among the values.
        """
        dataset = self.params.datasets[self.dataset]
        base = plan.resolve(dataset, self.params.variants[self.variant])
        base |= {"epochs": dataset.training.epochs, "validation": dataset.training.validation.model_dump(mode="json")}
        base |= search_space.named(dataset, self.axes)
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


def trials(
    sweep: Sweep, points: Sequence[search_space.Point], seeds: Sequence[int]
) -> tuple[list[Trial], list[tuple[Pack, Params]]]:
    """One trial per point, and the packs that train them with these seeds, each with its params.

    Points that change only the variant share params, so that trials with the same seed train side by side.
    """
    trials_by_name: dict[str, Trial] = {}
    packs: list[tuple[Pack, Params]] = []
    for params, points_by_name in _groups(sweep, points):
        planned = plan.plan(params, PROTOCOL, [sweep.dataset], list(points_by_name), seeds)
        planned = [pack for pack in planned if pack.role == "replica"]
        packs += [(pack, params) for pack in planned]
        members = parent_runs.by_variant(planned)
        for name, point in points_by_name.items():
            trials_by_name[name] = Trial(point, name, params, members[sweep.dataset, name])
    return [trials_by_name[name_of(sweep, point)] for point in points], packs


def _groups(
    sweep: Sweep, points: Sequence[search_space.Point]
) -> Iterable[tuple[Params, Mapping[str, search_space.Point]]]:
    """One group per distinct `datasets` entry: params with a variant for each of its points, and the points by name."""
    groups: dict[str, tuple[Params, dict[str, search_space.Point]]] = {}
    for point in points:
        changed = search_space.apply(sweep.params, sweep.dataset, sweep.variant, point)
        dataset, name = changed.datasets[sweep.dataset], name_of(sweep, point)
        training = dataset.training.model_copy(update={"variants": None})
        dataset = dataset.model_copy(update={"training": training})
        key = atomic_files.digest(dataset.model_dump(mode="json"))
        params, points_by_name = groups.get(key, (changed.model_copy(update={"variants": {}}), {}))
        variants = params.variants | {name: changed.variants[sweep.variant]}
        update = {"variants": variants, "datasets": {sweep.dataset: dataset}}
        groups[key] = (params.model_copy(update=update), points_by_name | {name: point})
    return groups.values()


def name_of(sweep: Sweep, point: search_space.Point) -> str:
    """The name of the trial at a point, and of its variant."""
    return f"{sweep.variant} {search_space.text(point)}"


# --- runs in the store -------------------------------------------------------------------------


def start(sweep: Sweep, store: "Store") -> Run:
    """Start or resume the run of the sweep, which is the parent of the runs of all trials."""
    return store.start(sweep.tags("sweep", sweep.variant), f"sweep of {sweep.text}", resume=True)


def start_trial(sweep: Sweep, trial: Trial, role: Literal["trial", "confirmation"], parent: Run, store: "Store") -> Run:
    """Start or resume the run of a trial, the parent of its replicas; for a confirmation, of those with fresh seeds."""
    name = trial.name if role == "trial" else f"{trial.name}, fresh seeds"
    return store.start(sweep.tags(role, trial.name), name, parent, resume=True)


def close_trial(
    run: Run,
    trial: Trial,
    results: Mapping[str, RunResult],
    store: "Store",
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[RunResult]:
    """Close the run of a trial with means, intervals, and `metrics` and `tags`; mark it FAILED if a seed is missing.

    results: by fingerprint. Return the results of the trial; empty if it failed.
    """
    parent_runs.close_parent(run, trial.members, results, trial.params, store, metrics, tags)
    runs = parent_runs.results_of_members(trial.members, results)
    return runs if len(runs) == len(trial.members) else []
