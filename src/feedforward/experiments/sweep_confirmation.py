"""After a search: the best trials of the sweep are trained again with fresh seeds, and the winner is tested once.

The best trials look better in the search than they are, because the search chose them; results with seeds that the
search never used have no such bias. The test split is used once for a sweep: the store keeps the final models, and
every later request returns their result.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from feedforward.analysis import statistics
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Params
from feedforward.core import atomic_files
from feedforward.experiments import parent_runs, plan, reuse, search_space, sweep
from feedforward.experiments.plan import Pack
from feedforward.experiments.sweep import FIRST_FRESH_SEED, PROTOCOL, Sweep, Trial
from feedforward.experiments.sweep_outcome import TESTED_ONCE, Outcome, WinnerTest
from feedforward.tracking import Run
from feedforward.tracking.experiment_pages import bounds

if TYPE_CHECKING:
    from feedforward.tracking import LoggedRun, Store

Packs = Sequence[tuple[Pack, Params]]
log = logging.getLogger(__name__)


def fresh_seeds(requested: Sweep) -> range:
    """The seeds of the confirmation."""
    return range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + requested.fresh_seeds)


def fresh_trials(outcome: Outcome) -> tuple[list[Trial], Packs]:
    """The best trials of the search, planned again with fresh seeds, and their packs."""
    points = [outcome.points[name] for name in outcome.chosen]
    return sweep.trials(outcome.sweep, points, fresh_seeds(outcome.sweep))


def close(run: Run, trial: Trial, results: Mapping[str, RunResult], outcome: Outcome, store: "Store") -> Outcome:
    """Close the run of a confirmation with its search result and selection bias; return the updated outcome."""
    runs = parent_runs.results_of_members(trial.members, results)
    complete_runs = runs if len(runs) == len(trial.members) else []
    outcome = replace(outcome, fresh={**outcome.fresh, trial.name: complete_runs})
    entry = next((entry for entry in outcome.confirmed if entry.name == trial.name), None)
    metrics = {}
    if entry:
        low, high = bounds("selection_bias")
        interval = {low: entry.bias.low, high: entry.bias.high}
        metrics = {f"search_{outcome.sweep.statistic}": entry.search.mean, "selection_bias": entry.bias.mean}
        metrics |= {name: end for name, end in interval.items() if end is not None}
    tags = {
        "search_rank": str(outcome.chosen.index(trial.name) + 1),
        "values": atomic_files.canonical_json(trial.point),
    }
    sweep.close_trial(run, trial, results, store, metrics, tags)
    return outcome


# --- test --------------------------------------------------------------------------------------


def stored_test(requested: Sweep, parent: Run, store: "Store") -> WinnerTest | None:
    """The result of the final models that were tested for the sweep; None if there has been no test.

    If the code of the metrics has changed since, the same models are evaluated again.

    Raises:
        TrackingError: the store does not answer.
    """
    identity = requested.tags("sweep_test", requested.variant).fingerprint
    runs = store.find_runs(requested.dataset, role="sweep_test", fingerprint=identity)
    if not runs:
        return None
    stored, seeds = _read(requested, runs[-1]), int(runs[-1].metrics["seeds"])
    trial, packs = _trial(requested, stored.point, stored.epochs, range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + seeds))
    results = reuse.find_finished([pack for pack, _ in packs], store)
    if len(results) == seeds:
        return close_test(start_test(requested, parent, store), trial, results, store) or stored
    log.warning(
        "%s: the test of the sweep's winner is shown as it was stored, because its final models are not in the store"
        " or were trained by other code",
        requested.dataset,
    )
    return stored


def start_test(requested: Sweep, parent: Run, store: "Store") -> Run:
    """Start or resume the run of the test; all possible winners of a sweep share it, so that there is only one test."""
    return store.start(requested.tags("sweep_test", requested.variant), "test of the winner", parent, resume=True)


def final_trial(outcome: Outcome) -> tuple[Trial, Packs]:
    """The final models of the winner, trained on all training samples with the fresh seeds, and their packs.

    They train for the number of epochs after which the winner reached its result: the rounded mean over fresh seeds.
    """
    assert outcome.winner is not None
    runs, requested = outcome.fresh[outcome.winner], outcome.sweep
    at_last = requested.statistic.startswith("last_")
    epochs = [len(run.curves["loss"]) if at_last else run.metrics["best_epoch"] for run in runs]
    mean_epoch = round(sum(epochs) / len(epochs))
    return _trial(requested, outcome.points[outcome.winner], mean_epoch, fresh_seeds(requested))


def _trial(requested: Sweep, point: search_space.Point, epochs: int, seeds: Sequence[int]) -> tuple[Trial, Packs]:
    """The final models at a point, and their packs."""
    [trial], _ = sweep.trials(requested, [point], seeds)
    dataset = trial.params.datasets[requested.dataset]
    final = dataset.training.final.model_copy(update={"variant": trial.name, "epochs": epochs})
    dataset = dataset.model_copy(update={"training": dataset.training.model_copy(update={"final": final})})
    params = trial.params.model_copy(update={"datasets": {requested.dataset: dataset}})
    planned = plan.plan(params, PROTOCOL, [requested.dataset], [trial.name], seeds)
    packs = [pack for pack in planned if pack.role == "final"]
    members = parent_runs.by_variant(packs, "final")[requested.dataset, trial.name]
    return Trial(point, trial.name, params, members), [(pack, params) for pack in packs]


def close_test(run: Run, trial: Trial, results: Mapping[str, RunResult], store: "Store") -> WinnerTest | None:
    """Close the run of the test and return the result; None if a final model could not be trained."""
    tags = {"values": atomic_files.canonical_json(trial.point)}
    runs = sweep.close_trial(run, trial, results, store, tags=tags | {"mlflow.note.content": f"{TESTED_ONCE}."})
    if not runs:
        return None
    [estimates] = statistics.summarize(runs, [trial.name]).values()
    epochs = trial.members[0][0].epochs
    return WinnerTest(
        trial.point, epochs, {name: _stored_part(e.n, e.mean, e.low, e.high) for name, e in estimates.items()}
    )


def _read(requested: Sweep, run: "LoggedRun") -> WinnerTest:
    values: search_space.Point = json.loads(run.tags["values"])
    point = {axis.field: values[axis.field] for axis in requested.axes}  # the tag has the fields in alphabetical order
    estimates = {
        name: _stored_part(int(run.metrics["seeds"]), run.metrics[f"mean_{name}"], *map(run.metrics.get, bounds(name)))
        for name, statistic in STATISTICS.items()
        if statistic.role == "final" and f"mean_{name}" in run.metrics
    }
    return WinnerTest(point, int(run.params["epochs"]), estimates)


def _stored_part(n: int, mean: float, low: float | None, high: float | None) -> Estimate:
    """The part of an estimate that the store keeps, so that a stored test equals a new one."""
    return Estimate(n, mean, low=low, high=high)
