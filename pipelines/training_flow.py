"""The training flow: every pack of replicas is a task, the longest first, as many at a time as there are cores.

Where params name a Dask cluster (`engine`), its workers train them.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from prefect import Flow, Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import paths, processes, progress, provenance
from feedforward.core.errors import DataError, FeedforwardError, TrainingError
from feedforward.experiments import plan
from feedforward.experiments import runner as experiment
from feedforward.experiments.plan import Pack
from feedforward.tracking import Run, open_store
from pipelines import dask_training, interruption
from pipelines.dask_text import THREADS

if TYPE_CHECKING:
    from feedforward.tracking import Store


def _is_worth_retrying(_task: object, _run: object, state: State[list[RunResult]]) -> bool:
    """A loss that is not finite comes back with the same seed, other data with the same worker."""
    return not isinstance(state.result(raise_on_failure=False), TrainingError | DataError)


# Prefect's own cache is off: the fingerprint in the tracking store alone decides what is up to date.
_OPTIONS: dict[str, Any] = {
    "name": "train",
    "retries": 1,
    "retry_condition_fn": _is_worth_retrying,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
train_pack: Task[..., list[RunResult]] = task(**_OPTIONS)(experiment.train_pack)
train_pack_apart: Task[..., list[RunResult]] = task(**_OPTIONS)(dask_training.train_pack)


@dataclass(frozen=True)
class Job:
    """A pack to train with these params; parents: by variant, the run that holds its run, None: that of the variant."""

    pack: Pack
    params: Params
    parents: Mapping[str, Run] | None = None


def training(jobs: Sequence[Job], store: "Store", runner: Any) -> Flow[[str], dict[str, RunResult]]:
    """The flow that trains the packs; the result of each run by its fingerprint.

    Jobs and store are no parameters of the flow: Prefect writes parameters to its database, and the address of the
    store may hold a password.
    """

    @flow(name="training", task_runner=runner, log_prints=False, persist_result=False)
    def train(title: str) -> dict[str, RunResult]:
        return _train(jobs, title, store)

    return train


def _train(jobs: Sequence[Job], title: str, store: "Store") -> dict[str, RunResult]:
    """Submit all packs and wait for them.

    Raises:
        TrainingError: some packs failed; all others are done.
    """
    found: dict[str, RunResult] = {}
    failures: list[str] = []
    futures = _wait(jobs, title, store)
    for job, future in zip(jobs, futures, strict=True):
        outcome = future.result(raise_on_failure=False)
        if isinstance(outcome, BaseException):
            failures.append(f"{job.pack.name}: {outcome}")
        else:
            found |= zip(job.pack.fingerprints, outcome, strict=True)
    if failures:
        raise TrainingError("; ".join(failures))
    return found


def _wait(jobs: Sequence[Job], title: str, store: "Store") -> list[PrefectFuture[list[RunResult]]]:
    """Submit all packs and show their progress until the last is done, or until the job is interrupted."""
    stop = interruption.Stop()

    def advance_or_stop(steps: int, note: str) -> None:
        stop.check()
        advance(steps, note)

    try:
        with progress.bar(title, sum(len(job.pack.members) * job.pack.epochs for job in jobs)) as advance:
            futures = [_submit(job, store, advance_or_stop) for job in jobs]
            for job, future in zip(jobs, futures, strict=True):
                future.wait()
                if job.params.engine != THREADS:  # a worker on another machine does not report epochs
                    advance(len(job.pack.members) * job.pack.epochs, job.pack.name)
    except BaseException:  # Prefect raises one of its own for SIGTERM
        stop.request(store.kill_open)
        raise
    return futures


def _submit(job: Job, store: "Store", advance: experiment.Advance) -> PrefectFuture[list[RunResult]]:
    if job.params.engine == THREADS:
        here = train_pack.with_options(task_run_name=job.pack.name)
        return here.submit(job.pack, job.params, store, advance, job.parents)
    apart = train_pack_apart.with_options(task_run_name=job.pack.name)
    parents = experiment.parents_of(job.pack, store) if job.parents is None else job.parents
    return apart.submit(job.pack, job.params, parents)


def _is_news(record: logging.LogRecord) -> bool:
    """Prefect's log lines without tracebacks of errors whose message is enough, and none about an interruption."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, FeedforwardError):
        record.exc_info = None
    return not isinstance(error, KeyboardInterrupt) and "Crash detected" not in record.getMessage()


def run_jobs(
    jobs: Iterable[Job], title: str, wait_for_server: Callable[[], None], store: "Store"
) -> dict[str, RunResult]:
    """Results by fingerprint, of what the store holds already and of the rest, which is trained now.

    Raises:
        TrainingError: some could not be trained; all others are in the store then.
    """
    jobs = sorted(jobs, key=lambda job: -job.pack.cost)
    known = experiment.find_known([job.pack for job in jobs], store)
    left = [replace(job, pack=pack) for job in jobs if (pack := job.pack.without(known)).members]
    if not left:
        return known
    engine = left[0].params.engine
    runner: Any
    if engine == THREADS:
        workers = min(len(left), processes.cores())
        ready = threading.Thread(target=experiment.prepare, args=(workers,))
        ready.start()
        try:
            wait_for_server()
            ready.join()
        except BaseException:  # it would swallow the message of an interruption, see processes.silent
            ready.join()
            raise
        runner = ThreadPoolTaskRunner(max_workers=workers)
    else:
        runner = dask_training.runner(engine)
        wait_for_server()
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_is_news)
    try:
        return known | training(left, store, runner)(title)
    finally:
        if engine != THREADS:
            dask_training.settle(engine)
            store.reconcile(lost={fingerprint for job in left for fingerprint in job.pack.fingerprints})


def run(
    params: Params,
    protocol: str,
    wait_for_server: Callable[[], None],
    datasets: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    roles: Collection[str] = ("replica", "final"),
    varied: Sequence[plan.Source] = plan.SOURCES,
) -> list[RunResult]:
    """Everything of a protocol that is not in the tracking store yet, and what is; the variants' runs are closed."""
    planned = [pack for pack in plan.plan(params, protocol, datasets, variants, seeds, varied) if pack.role in roles]
    store = open_store()
    store.reconcile()
    with store.closing_when_interrupted():
        try:
            found = run_jobs([Job(pack, params) for pack in planned], f"train ({protocol})", wait_for_server, store)
        except TrainingError:
            experiment.conclude(planned, experiment.find_known(planned, store), params, store)
            raise
        experiment.conclude(planned, found, params, store)
    return experiment.results_of(planned, found)


def stage(params: Params, protocol: str, wait_for_server: Callable[[], None]) -> None:
    """The DVC stage `train`: the results of all runs, without run ids and times."""
    run_result.save(paths.trained(protocol), run(params, protocol, wait_for_server), provenance.cpu_digest(), "train")
