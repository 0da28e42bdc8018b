"""Texts vectorized on a Dask cluster that is there already: the workers read shards and send back counts and rows."""

import contextlib
import functools
import platform
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from feedforward.config.schema import Dataset, Params, Reader
from feedforward.core import paths, provenance
from feedforward.core.code_digest import code_digest
from feedforward.core.errors import DataError, FeedforwardError
from feedforward.data.preparation import Read
from feedforward.data.readers import reading

THREADS = "threads"
PATIENCE = 60.0  # s until the first worker is there
AHEAD = 64  # shards whose results wait in the workers; more where there are more threads
DECIDING = ("numpy", "pyarrow")


@contextlib.contextmanager
def reader(name: str, dataset: Dataset, params: Params) -> Iterator[Read]:
    """How the data set is read: in this process, or, if it is texts and `engine` names a cluster, by its workers.

    Raises:
        FeedforwardError: Dask is not installed, nobody answers, no worker comes, or the cluster is lost.
        DataError: a worker has other code or versions, or cannot read the store of shards.
    """
    if params.engine == THREADS or dataset.reader.kind != "labeled_text":
        yield reading.read
        return
    from feedforward.data.readers import sharded_text

    with client(params.engine) as connected:
        each = functools.partial(_each, connected)
        scratch = paths.vectorized(name).parent

        def read(config: Reader, files: Mapping[str, Path]) -> reading.Reading:
            assert config.kind == "labeled_text"
            return sharded_text.read(config, files, paths.shards(params.shards), each, scratch)

        yield read


def client(address: str) -> Any:
    """A connection to the scheduler of that address, which has a worker; a context manager.

    Raises:
        FeedforwardError: Dask is not installed, nobody answers, or no worker comes.
    """
    try:
        import distributed
    except ImportError:
        raise FeedforwardError(
            "engine: Dask is not installed; install requirements/cluster.txt, here and there"
        ) from None
    try:
        connected = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise FeedforwardError(f"engine: {address}: no scheduler answers ({str(error).splitlines()[0]})") from None
    try:
        connected.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        connected.close()
        raise FeedforwardError(
            f"engine: {address}: no worker came in {PATIENCE:.0f} s; start one with `dask worker {address}`"
        ) from None
    return connected


def _each(connected: Any, function: Callable[..., Any], shards: Sequence[str], *shared: Any) -> Iterator[Any]:
    """See `shards.Each`. What a lost worker had, another does again; few results wait at a time."""
    ahead = max(AHEAD, 4 * sum(connected.nthreads().values()))
    made_by, waiting = _made_by(), deque[Any]()
    for shard in shards:
        waiting.append(connected.submit(_checked, made_by, function, shard, *shared))
        if len(waiting) > ahead:
            yield _result(waiting.popleft())
    while waiting:
        yield _result(waiting.popleft())


def _result(future: Any) -> Any:
    """What a worker found.

    Raises:
        FeedforwardError: the scheduler is gone, or every worker that tried was lost.
    """
    import distributed

    try:
        return future.result()
    except (distributed.KilledWorker, CancelledError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FeedforwardError(f"engine: the cluster lost a shard ({reason}); run again") from None


def _checked(made_by: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a worker.

    Raises:
        DataError: code or versions are others here, so that other bytes could come of it.
    """
    if _made_by() != made_by:
        raise DataError(
            f"a worker on host {provenance.host_digest()} has other code or versions of {', '.join(DECIDING)}; give it"
            " the same checkout and requirements, or take it out of the cluster"
        )
    return function(*arguments)


def _made_by() -> str:
    """What decides the bytes of a reading, besides the texts; Python itself knows which letters are capitals."""
    from feedforward.data.readers import sharded_text

    versions = [provenance.installed_version(name) for name in DECIDING]
    return " ".join([code_digest(sharded_text.DECIDING), platform.python_version(), *versions])
