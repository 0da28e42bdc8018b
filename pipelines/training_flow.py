"""The training flow: one task per pack (a group of runs), the longest first, as many at a time as there are cores.

If `engine` in params names a Dask cluster, its workers train the packs.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from prefect import Flow, Task, flow, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import paths, processes, progress, provenance
from feedforward.core.errors import DataError, FeedforwardError, TrackingError, TrainingError
from feedforward.core.redaction import redact
from feedforward.data import consistency
from feedforward.experiments import parent_runs, plan, reuse, runner
from feedforward.experiments.plan import Pack
from feedforward.tracking import Run, experiment_pages, open_store, settings
from pipelines import cancellation, dask_training, interruption, prefect_logs, prefect_server, run_artifacts
from pipelines.dask_text import THREADS

if TYPE_CHECKING:
    from feedforward.tracking import Store


def _is_worth_retrying(_task: object, _run: object, state: State[list[RunResult]]) -> bool:
    """False if a loss is not finite, as it would be again with this seed, or if data or a worker's code are wrong."""
    return not isinstance(state.result(raise_on_failure=False), TrainingError | DataError)


# Prefect's cache is off: only the fingerprints in the tracking store determine what is up to date.
_OPTIONS: dict[str, Any] = {
    "name": "train",
    "retries": 1,
    "retry_condition_fn": _is_worth_retrying,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
train_pack: Task[..., list[RunResult]] = task(**_OPTIONS)(runner.train_pack)
train_pack_on_cluster: Task[..., list[RunResult]] = task(**_OPTIONS)(dask_training.train_pack)


@dataclass(frozen=True)
class Job:
    """A pack to train with these params.

    parents: the parent run of each variant; None: resume the variant's parent run in the store, or start one.
    """

    pack: Pack
    params: Params
    parents: Mapping[str, Run] | None = None


def training(jobs: Sequence[Job], store: "Store", task_runner: Any) -> Flow[[str], dict[str, RunResult]]:
    """The flow that trains the packs; it returns the results by fingerprint.

    Jobs and store are not parameters of the flow, because Prefect writes parameters to its database: jobs are large,
    and the address of the store may contain a password.
    """

    @cancellation.ending_when_cancelled
    @flow(name="training", flow_run_name="{title}", task_runner=task_runner, log_prints=False, persist_result=False)
    def train(title: str) -> dict[str, RunResult]:
        return _train(jobs, title, store)

    return train


def _train(jobs: Sequence[Job], title: str, store: "Store") -> dict[str, RunResult]:
    """Submit all packs and wait for them.

    Raises:
        TrainingError: some packs failed; the others are complete. FeedforwardError: Prefect's server is lost.
    """
    results: dict[str, RunResult] = {}
    packs_by_message: dict[str, list[str]] = {}
    futures = _submit_and_wait(jobs, title, store)
    for job, future in zip(jobs, futures, strict=True):
        outcome = future.result(raise_on_failure=False)
        if isinstance(outcome, BaseException):
            packs_by_message.setdefault(str(outcome), []).append(job.pack.name)
        else:
            results |= zip(job.pack.fingerprints, outcome, strict=True)
    failures = [
        f"{names[0]}{f' and {len(names) - 1} other packs' if len(names) > 1 else ''}: {message}"
        for message, names in packs_by_message.items()
    ]
    text = run_artifacts.training_text([job.pack for job in jobs], failures, views(jobs, store))
    run_artifacts.publish("training", text, "Trained runs and where their results are")
    if failures:
        raise TrainingError("; ".join(failures))
    return results


def views(jobs: Sequence[Job], store: "Store") -> dict[str, str]:
    """Dataset → address of the page in MLflow that compares its variants; empty if MLflow's store is not a server."""
    address = settings.tracking_uri()
    protocols = {job.pack.dataset: job.pack.protocol for job in jobs} if address.startswith("http") else {}
    addresses = {}
    with contextlib.suppress(TrackingError):  # the store does not answer; the runs wait in the spool
        for name, protocol in protocols.items():
            if experiment := store.experiment(name):
                addresses[name] = experiment_pages.link(redact(address), experiment, protocol)
    return addresses


def _submit_and_wait(jobs: Sequence[Job], title: str, store: "Store") -> list[PrefectFuture[list[RunResult]]]:
    """Submit all packs and show their progress until they are done or training is interrupted."""
    stop = interruption.Stop()

    def advance_or_stop(steps: int, note: str) -> None:
        stop.check()
        advance(steps, note)

    try:
        with progress.bar(f"{title}, epochs", sum(len(job.pack.members) * job.pack.epochs for job in jobs)) as advance:
            artifact = run_artifacts.Progress("training-progress", "Packs that are done")
            futures = [_submit(job, store, advance_or_stop) for job in jobs]
            for count, (job, future) in enumerate(zip(jobs, futures, strict=True), start=1):
                future.wait()
                stop.check()
                artifact.update(count / len(jobs))
                if job.params.engine != THREADS:  # workers on other machines do not report epochs
                    advance(len(job.pack.members) * job.pack.epochs, job.pack.name)
    except Exception as error:
        problem = prefect_server.lost()
        stop.request(store.kill_open, problem or redact(str(error)) or type(error).__name__)
        if problem:
            raise FeedforwardError(problem) from error
        raise
    except BaseException:  # on SIGTERM Prefect raises TerminationSignal
        stop.request(store.kill_open)
        raise
    return futures


def _submit(job: Job, store: "Store", advance: runner.Advance) -> PrefectFuture[list[RunResult]]:
    pack = job.pack
    options: dict[str, Any] = {"task_run_name": pack.name, "tags": [pack.dataset, pack.protocol, pack.role]}
    if job.params.engine == THREADS:
        local_task = train_pack.with_options(**options)
        return local_task.submit(pack, job.params, store, advance, job.parents)
    cluster_task = train_pack_on_cluster.with_options(**options)
    parents = parent_runs.start_parents(pack, store) if job.parents is None else job.parents
    return cluster_task.submit(pack, job.params, parents)


def run_jobs(
    jobs: Iterable[Job], title: str, wait_for_server: Callable[[], None], store: "Store"
) -> dict[str, RunResult]:
    """Train the runs that the store does not have; return the results of all runs by fingerprint.

    Raises:
        TrainingError: some runs failed; the others are in the store.
        DataError: the data of a job are not current, or have not passed validation.
        FeedforwardError: Prefect's server no longer answers; finished runs are in the store.
    """
    jobs = sorted(jobs, key=lambda job: -job.pack.cost)
    for name, dataset in {job.pack.dataset: job.params.datasets[job.pack.dataset] for job in jobs}.items():
        consistency.require_valid(name, dataset)
    known_results = reuse.find_finished([job.pack for job in jobs], store)
    missing = [replace(job, pack=pack) for job in jobs if (pack := job.pack.without(known_results)).members]
    if not missing:
        return known_results
    engine = missing[0].params.engine  # the same for all jobs
    if engine == THREADS:
        task_runner = _thread_runner(len(missing), wait_for_server)
    else:
        task_runner = dask_training.task_runner(engine)
        wait_for_server()
    prefect_logs.omit_tracebacks()
    try:
        labels = sorted({label for job in missing for label in (job.pack.dataset, job.pack.protocol)})
        with tags(*labels), cancellation.deletion_interrupts():
            return known_results | training(missing, store, task_runner)(title)
    finally:
        if engine != THREADS:
            dask_training.reconcile_workers(engine)
            # workers that have died cannot close their runs
            store.reconcile(lost={fingerprint for job in missing for fingerprint in job.pack.fingerprints})


def _thread_runner(pack_count: int, wait_for_server: Callable[[], None]) -> Any:
    """A task runner with one thread per core, at most one per pack. TensorFlow is imported while the server starts."""
    workers = min(pack_count, processes.cores())
    preparation = threading.Thread(target=runner.prepare, args=(workers,))
    preparation.start()
    try:
        wait_for_server()
    finally:  # the import silences standard error, so it must end before a message is printed; see processes.silent
        preparation.join()
    return ThreadPoolTaskRunner(max_workers=workers)


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
    """Train those runs of a protocol that the store does not have yet, close their parent runs, and return all results.

    datasets, variants, seeds: empty for all. roles: train only these. varied: see `plan.plan`.

    Raises:
        TrainingError: some runs failed; the others are in the store. FeedforwardError: Prefect's server is lost.
    """
    packs = [pack for pack in plan.plan(params, protocol, datasets, variants, seeds, varied) if pack.role in roles]
    store = open_store()
    store.reconcile()
    with store.closing_when_interrupted():
        try:
            results = run_jobs([Job(pack, params) for pack in packs], f"train ({protocol})", wait_for_server, store)
        except TrainingError:
            parent_runs.conclude(packs, reuse.find_finished(packs, store), params, store)
            raise
        parent_runs.conclude(packs, results, params, store)
    return parent_runs.results_of(packs, results)


def stage(params: Params, protocol: str, wait_for_server: Callable[[], None]) -> None:
    """The `train` stage of dvc.yaml: train all runs, and write their results without run IDs and timestamps."""
    results, facts = run(params, protocol, wait_for_server), {"computed_by": provenance.computed_by()}
    run_result.save(paths.trained(protocol), results, provenance.cpu_digest(), "train", facts=facts)
