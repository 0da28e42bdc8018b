"""Packs on a Dask cluster that is there already: its workers have checkouts of their own and leave the same bytes.

Nothing but plain values goes over the wire: a pack, its params and the run that holds its runs. A worker reads the data
of its own checkout and records in the tracking store itself, so that nothing is lost with the connection.
"""

from feedforward import experiment, plans, provenance
from feedforward.errors import DataError
from feedforward.params import Params
from feedforward.plans import Pack
from feedforward.results import RunResult
from feedforward.tracking import Run, open_store
from pipelines import shards


def runner(address: str) -> object:
    """What submits tasks to the cluster whose scheduler has that address.

    Raises:
        FeedforwardError: Dask is not installed, or nobody answers.
    """
    shards.client(address).close()
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=address)


def train_pack(pack: Pack, params: Params, parent: Run | None) -> list[RunResult]:
    """Train a pack in a worker.

    Raises:
        DataError: data, code, versions or kind of CPU are others here, so that other bytes would come of it.
        TrainingError: a loss is not finite.
    """
    packs = plans.plan(params, pack.protocol, [pack.dataset], [pack.variant], pack.seeds)
    if not set(pack.fingerprints) <= {each for own in packs for each in own.fingerprints}:
        raise DataError(
            f"{pack.name}: a worker on host {provenance.host_digest()} has other data, code, versions or another kind"
            " of CPU; give it the same checkout, data and requirements, or take it out of the cluster"
        )
    experiment.prepare(1)
    return experiment.train_pack(pack, params, open_store(), parent=parent)
