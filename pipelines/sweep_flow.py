"""The flow of a sweep: the trials of a grid at once, those of a search in rounds, each pack a task as in training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core.errors import TrainingError
from feedforward.experiments import runner, search_space, sweep
from feedforward.experiments.optuna_search import Search
from feedforward.experiments.plan import Pack
from feedforward.experiments.sweep import STATISTIC, Outcome, Sweep, Trial
from feedforward.tracking import Run, open_store
from pipelines import training_flow
from pipelines.training_flow import Job

if TYPE_CHECKING:
    from feedforward.tracking import Store

ROUND = 4  # trials of a search that train side by side; another number would ask for other values


def run(wanted: Sweep, wait_for_server: Callable[[], None]) -> tuple[Outcome, Path]:
    """Train what is not known yet; what came of it, and the folder that shows it.

    Raises:
        TrainingError: no trial could be trained.
    """
    store = open_store()
    store.reconcile()
    parent = sweep.start(wanted, store)
    results: dict[str, list[RunResult]] = {}
    points: dict[str, search_space.Point] = {}
    with store.closing_when_interrupted(), store.closing(parent):

        def try_all(asked: Sequence[search_space.Point]) -> list[list[RunResult]]:
            trials, packs = sweep.trials(wanted, asked)
            results.update(_train(wanted, trials, packs, parent, wait_for_server, store))
            points.update({trial.name: trial.point for trial in trials})
            return [results[trial.name] for trial in trials]

        if wanted.trials:
            search = Search(wanted.axes)
            for first in range(0, wanted.trials, ROUND):
                found = try_all(search.ask(min(ROUND, wanted.trials - first)))
                search.tell([_mean(runs) for runs in found])
        else:
            try_all(list(search_space.grid(wanted.axes)))
        outcome = Outcome(wanted, results, points)
        if not outcome.summary:
            raise TrainingError(f"{wanted.dataset}: no trial of {wanted.text} could be trained; MLflow's runs say why")
        return outcome, sweep.conclude(outcome, parent, store)


def _train(
    wanted: Sweep,
    trials: Sequence[Trial],
    packs: Sequence[tuple[Pack, Params]],
    parent: Run,
    wait_for_server: Callable[[], None],
    store: "Store",
) -> dict[str, list[RunResult]]:
    """The results of each trial; a value with which nothing can be learned does not end the sweep."""
    runs = {trial.name: sweep.start_trial(wanted, trial, parent, store) for trial in trials}
    jobs = [Job(pack, params, runs) for pack, params in packs]
    try:
        found = training_flow.run_jobs(jobs, "sweep", wait_for_server, store)
    except TrainingError:
        found = runner.find_known([job.pack for job in jobs], store)
    return {trial.name: sweep.close_trial(runs[trial.name], trial, found, store) for trial in trials}


def _mean(runs: Sequence[RunResult]) -> float | None:
    return sum(run.metrics[STATISTIC] for run in runs) / len(runs) if runs else None
