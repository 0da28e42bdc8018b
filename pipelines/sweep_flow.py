"""The flow for a sweep: trains all trials of a grid at once, or a search's trials in rounds, with one task per pack.

Then the best trials are trained again with fresh seeds, and the winner is tested once if a test was requested.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core.errors import TrackingError, TrainingError
from feedforward.experiments import reuse, search_space, sweep, sweep_confirmation, sweep_files
from feedforward.experiments.optuna_search import Search
from feedforward.experiments.plan import Pack
from feedforward.experiments.sweep import Sweep
from feedforward.experiments.sweep_outcome import Outcome
from feedforward.tracking import Run, open_store
from pipelines import training_flow
from pipelines.training_flow import Job

if TYPE_CHECKING:
    from feedforward.tracking import Store

ROUND = 4  # number of trials in a round of a search; the sampler's choices depend on it
Train = Callable[[Sequence[tuple[Pack, Params]], Mapping[str, Run]], dict[str, RunResult]]


def run(requested: Sweep, wait_for_server: Callable[[], None]) -> tuple[Outcome, Path]:
    """Train the trials that the store does not have; return the outcome and the folder with the sweep's page.

    Raises:
        TrainingError: no trial could be trained.
        TrackingError: a test was requested, but the store cannot tell whether there has already been one.
    """
    store = open_store()
    store.reconcile()
    parent = sweep.start(requested, store)

    def train(packs: Sequence[tuple[Pack, Params]], runs: Mapping[str, Run]) -> dict[str, RunResult]:
        jobs = [Job(pack, params, runs) for pack, params in packs]
        try:
            return training_flow.run_jobs(jobs, "sweep", wait_for_server, store)
        except TrainingError:  # a run that fails does not end the sweep
            return reuse.find_finished([job.pack for job in jobs], store)

    with store.closing_when_interrupted(), store.closing(parent):
        outcome = _search(requested, parent, train, store)
        if not outcome.summary:
            raise TrainingError(
                f"{requested.dataset}: no trial of {requested.text} could be trained; the trials' MLflow runs show why"
            )
        outcome = _test(_confirm(outcome, parent, train, store), parent, train, store)
        return outcome, sweep_files.conclude(outcome, parent, store)


def _search(requested: Sweep, parent: Run, train: Train, store: "Store") -> Outcome:
    """Train all trials; return the outcome."""
    outcome = Outcome(requested, {}, {})

    def try_points(points: Sequence[search_space.Point]) -> list[list[RunResult]]:
        nonlocal outcome
        trials, packs = sweep.trials(requested, points, range(requested.seeds))
        by_name = {trial.name: trial for trial in trials}  # a search may propose the same values twice
        runs = {name: sweep.start_trial(requested, trial, "trial", parent, store) for name, trial in by_name.items()}
        results = train(packs, runs)
        results_by_trial = {
            name: sweep.close_trial(runs[name], trial, results, store) for name, trial in by_name.items()
        }
        points_by_trial = {name: trial.point for name, trial in by_name.items()}
        outcome = replace(
            outcome, results={**outcome.results, **results_by_trial}, points={**outcome.points, **points_by_trial}
        )
        return [results_by_trial[trial.name] for trial in trials]

    if not requested.trials:
        try_points(list(search_space.grid(requested.axes)))
        return outcome
    search = Search(requested.axes, requested.better)
    for start in range(0, requested.trials, ROUND):
        runs_by_point = try_points(search.ask(min(ROUND, requested.trials - start)))
        search.tell([_mean(runs, requested.statistic) for runs in runs_by_point])
    return outcome


def _confirm(outcome: Outcome, parent: Run, train: Train, store: "Store") -> Outcome:
    """Train the best trials again with fresh seeds; return the outcome with their results."""
    trials, packs = sweep_confirmation.fresh_trials(outcome)
    runs = {trial.name: sweep.start_trial(outcome.sweep, trial, "confirmation", parent, store) for trial in trials}
    results = train(packs, runs)
    for trial in trials:
        outcome = sweep_confirmation.close(runs[trial.name], trial, results, outcome, store)
    return outcome


def _test(outcome: Outcome, parent: Run, train: Train, store: "Store") -> Outcome:
    """Add the test of the winner to the outcome: the stored one, or a new one if a test was requested."""
    with contextlib.nullcontext() if outcome.sweep.test else contextlib.suppress(TrackingError):
        if tested := sweep_confirmation.stored_test(outcome.sweep, parent, store):
            return replace(outcome, tested=tested)
    if not outcome.sweep.test or outcome.winner is None:
        return outcome
    trial, packs = sweep_confirmation.final_trial(outcome)
    run = sweep_confirmation.start_test(outcome.sweep, parent, store)
    results = train(packs, {trial.name: run})
    return replace(outcome, tested=sweep_confirmation.close_test(run, trial, results, store))


def _mean(runs: Sequence[RunResult], statistic: str) -> float | None:
    return sum(run.metrics[statistic] for run in runs) / len(runs) if runs else None
