"""The flow for a sweep: it trains a grid's trials all together and a search's trials in rounds, one task per pack."""

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

ROUND = 4  # number of trials in a search that train side by side; the sampler's choices depend on it


def run(requested: Sweep, wait_for_server: Callable[[], None]) -> tuple[Outcome, Path]:
    """Train the trials that the store does not have; returns the outcome and the folder with its table and figure.

    Raises:
        TrainingError: no trial could be trained.
    """
    store = open_store()
    store.reconcile()
    parent = sweep.start(requested, store)
    results: dict[str, list[RunResult]] = {}
    points: dict[str, search_space.Point] = {}
    with store.closing_when_interrupted(), store.closing(parent):

        def train(new_points: Sequence[search_space.Point]) -> list[list[RunResult]]:
            trials, packs = sweep.trials(requested, new_points)
            results.update(_train(requested, trials, packs, parent, wait_for_server, store))
            points.update({trial.name: trial.point for trial in trials})
            return [results[trial.name] for trial in trials]

        if requested.trials:
            search = Search(requested.axes)
            for first in range(0, requested.trials, ROUND):
                runs_by_point = train(search.ask(min(ROUND, requested.trials - first)))
                search.tell([_mean(runs) for runs in runs_by_point])
        else:
            train(list(search_space.grid(requested.axes)))
        outcome = Outcome(requested, results, points)
        if not outcome.summary:
            raise TrainingError(
                f"{requested.dataset}: no trial of {requested.text} could be trained; MLflow's runs show the reason"
            )
        return outcome, sweep.conclude(outcome, parent, store)


def _train(
    requested: Sweep,
    trials: Sequence[Trial],
    packs: Sequence[tuple[Pack, Params]],
    parent: Run,
    wait_for_server: Callable[[], None],
    store: "Store",
) -> dict[str, list[RunResult]]:
    """The results by trial; a trial that fails does not end the sweep."""
    by_name = {trial.name: trial for trial in trials}  # a search may ask for the same values twice
    runs = {name: sweep.start_trial(requested, trial, parent, store) for name, trial in by_name.items()}
    jobs = [Job(pack, params, runs) for pack, params in packs]
    try:
        results_by_fingerprint = training_flow.run_jobs(jobs, "sweep", wait_for_server, store)
    except TrainingError:
        results_by_fingerprint = runner.find_known([job.pack for job in jobs], store)
    return {
        name: sweep.close_trial(runs[name], trial, results_by_fingerprint, store) for name, trial in by_name.items()
    }


def _mean(runs: Sequence[RunResult]) -> float | None:
    return sum(run.metrics[STATISTIC] for run in runs) / len(runs) if runs else None
