"""Packs on a Dask cluster that is there already: its workers have checkouts of their own and leave the same bytes.

Nothing but plain values goes over the wire: a pack, its params and the run that holds its runs. A worker reads the data
of its own checkout and records in the tracking store itself, so that nothing is lost with the connection. What the
store could not take waits in that checkout until the end of the job, or the worker's next pack.
"""

import contextlib
from collections.abc import Mapping

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import provenance
from feedforward.core.errors import DataError
from feedforward.experiments import plan
from feedforward.experiments import runner as experiment
from feedforward.experiments.plan import Pack
from feedforward.tracking import Run, open_store
from pipelines import dask_text

PATIENCE = 60.0  # s for workers to settle; one that trains for another job does so with its next pack


def runner(address: str) -> object:
    """What submits tasks to the cluster whose scheduler has that address.

    Raises:
        FeedforwardError: Dask is not installed, nobody answers, or no worker comes.
    """
    dask_text.client(address).close()
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=address)


def settle(address: str) -> None:
    """Let every worker send what waits in its checkout, and close the runs that lost workers of its host left."""
    import distributed

    with (
        contextlib.suppress(OSError, TimeoutError),
        distributed.Client(address, timeout=10, set_as_default=False) as client,
        client.as_current(),
    ):
        workers = client.scheduler_info(n_workers=-1)["workers"]
        asked = [client.submit(_reconcile, workers=[worker], pure=False) for worker in workers]
        distributed.wait(asked, timeout=PATIENCE)


def _reconcile() -> int:
    return open_store().reconcile()


def train_pack(pack: Pack, params: Params, parents: Mapping[str, Run]) -> list[RunResult]:
    """Train a pack in a worker.

    Raises:
        DataError: data, code, versions or kind of CPU are others here, so that other bytes would come of it.
        TrainingError: a loss is not finite.
    """
    variants = [member.variant for member in pack.members]
    packs = plan.plan(params, pack.protocol, [pack.dataset], variants, [pack.seed], pack.varied)
    if not set(pack.fingerprints) <= {fingerprint for planned in packs for fingerprint in planned.fingerprints}:
        raise DataError(
            f"{pack.name}: a worker on host {provenance.host_digest()} has other data, code, versions or another kind"
            " of CPU; give it the same checkout, data and requirements, or take it out of the cluster"
        )
    experiment.prepare(1)
    store = open_store()
    store.sync()
    return experiment.train_pack(pack, params, store, parents=parents)
