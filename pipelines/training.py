"""The training flow: every pack of replicas is a task, the longest first, as many at a time as there are cores."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from feedforward import experiment, paths, plans, progress, provenance, results
from feedforward.errors import TrainingError
from feedforward.params import Params
from feedforward.plans import Pack
from feedforward.results import RunResult
from feedforward.tracking import open_store

if TYPE_CHECKING:
    from feedforward.tracking import Store


def _is_worth_retrying(_task: object, _run: object, state: State[list[RunResult]]) -> bool:
    """A loss that is not finite comes back with the same seed."""
    return not isinstance(state.result(raise_on_failure=False), TrainingError)


# Prefect's own cache is off: the fingerprint in the tracking store alone decides what is up to date.
train_pack: Task[..., list[RunResult]] = task(
    name="train", retries=1, retry_condition_fn=_is_worth_retrying, cache_policy=NO_CACHE, persist_result=False
)(experiment.train_pack)


@flow(name="training", log_prints=False, persist_result=False, validate_parameters=False)
def train(
    params: Params, protocol: str, packs: Sequence[Pack], known: Sequence[RunResult], store: "Store"
) -> list[RunResult]:
    """Train the packs that are not known yet; the flow fails when one of them failed, after all the others."""
    found = list(known)
    epochs = sum(len(pack.seeds) * pack.epochs for pack in packs)
    with progress.bar(f"train ({protocol})", epochs) as advance:
        futures = [
            train_pack.with_options(task_run_name=pack.name).submit(pack, params, store, advance) for pack in packs
        ]
        wait(futures)
    failures: list[str] = []
    for pack, future in zip(packs, futures, strict=True):
        outcome = future.result(raise_on_failure=False)
        if isinstance(outcome, BaseException):
            failures.append(f"{pack.name}: {outcome}")
        else:
            found += outcome
    if failures:
        raise TrainingError("; ".join(failures))
    return found


def run(
    params: Params,
    protocol: str,
    wait_for_server: Callable[[], None],
    datasets: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[RunResult]:
    """Everything of a protocol that is not in the tracking store yet, and what is; the variants' runs are closed."""
    planned = plans.plan(params, protocol, datasets, variants, seeds)
    store = open_store()
    store.reconcile()
    known, packs = experiment.find_known(planned, store)
    if packs:
        jobs = min(
            len(packs), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        ready = threading.Thread(target=experiment.prepare, args=(jobs,))
        ready.start()
        wait_for_server()
        ready.join()
        runner: Any = ThreadPoolTaskRunner(max_workers=jobs)
        try:
            found = train.with_options(task_runner=runner)(params, protocol, packs, known, store)
        except TrainingError:
            experiment.conclude(planned, experiment.find_known(planned, store)[0], params, store)
            raise
    else:
        found = known
    experiment.conclude(planned, found, params, store)
    return found


def stage(params: Params, protocol: str, wait_for_server: Callable[[], None]) -> None:
    """The DVC stage `train`: the results of all runs, without run ids and times."""
    results.save(paths.trained(protocol), run(params, protocol, wait_for_server), provenance.cpu_digest(), "train")
