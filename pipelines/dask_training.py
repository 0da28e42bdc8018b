"""Trains packs (groups of runs) on an existing Dask cluster; a local process would produce the same bytes.

Only plain values are sent: a pack, its params and its parent runs. A worker reads the data in its own checkout and logs
to the tracking store directly, so nothing is lost if the connection breaks. Records that the store did not accept wait
in the worker's checkout until the job ends or the worker trains its next pack.
"""

import contextlib
from collections.abc import Mapping

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core.errors import DataError
from feedforward.experiments import plan, runner
from feedforward.experiments.plan import Pack
from feedforward.tracking import Run, open_store
from pipelines import dask_text

RECONCILE_TIMEOUT = 60.0  # s; a worker that is busy with another job sends its records before its next pack


def task_runner(address: str) -> object:
    """The Prefect task runner for the cluster whose scheduler has this address.

    Raises:
        FeedforwardError: Dask is not installed, no scheduler answers, or no worker connects.
    """
    dask_text.client(address).close()
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=address)


def reconcile_workers(address: str) -> None:
    """Make each worker send the records waiting in its checkout and close the runs of lost workers on its host."""
    import distributed

    with (
        contextlib.suppress(OSError, TimeoutError),
        distributed.Client(address, timeout=10, set_as_default=False) as client,
        client.as_current(),
    ):
        workers = client.scheduler_info(n_workers=-1)["workers"]
        futures = [client.submit(_reconcile, workers=[worker], pure=False) for worker in workers]
        distributed.wait(futures, timeout=RECONCILE_TIMEOUT)


def _reconcile() -> int:
    return open_store().reconcile()


def train_pack(pack: Pack, params: Params, parents: Mapping[str, Run]) -> list[RunResult]:
    """Train a pack in a worker.

    Raises:
        DataError: the worker's data, code, versions or kind of CPU differ, so its results would differ.
        TrainingError: a loss is not finite.
    """
    variants = [member.variant for member in pack.members]
    packs = plan.plan(params, pack.protocol, [pack.dataset], variants, [pack.seed], pack.varied)
    if not set(pack.fingerprints) <= {fingerprint for planned in packs for fingerprint in planned.fingerprints}:
        raise DataError(
            f"{pack.name}: the worker {dask_text.worker_address()} has different data, code or versions, or another"
            " kind of CPU; give it the same checkout, data and requirements, or remove it from the cluster"
        )
    runner.prepare(1)
    store = open_store()
    store.sync()
    return runner.train_pack(pack, params, store, parents=parents)
