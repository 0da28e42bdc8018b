"""Vectorizes texts on an existing Dask cluster: the workers read shards and return word counts and rows."""

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
WORKER_TIMEOUT = 60.0  # s to wait for the first worker to connect
MIN_PENDING_LIMIT = 64  # the limit on pending shards is this, or four per worker thread if that is more
LIBRARIES = ("numpy", "pyarrow")  # their versions on each worker must match those of this process


@contextlib.contextmanager
def reader(name: str, dataset: Dataset, params: Params) -> Iterator[Read]:
    """Yield the function that reads the dataset: in this process or, for texts, on the cluster that `engine` names.

    Raises:
        FeedforwardError: Dask is not installed, no scheduler answers, no worker connects, or the cluster is lost.
        DataError: a worker has different code or versions, or cannot read the shard store.
    """
    if params.engine == THREADS or dataset.reader.kind != "labeled_text":
        yield reading.read
        return
    from feedforward.data.readers import sharded_text

    with client(params.engine) as cluster:
        run_shards = functools.partial(_run_shards, cluster)
        scratch = paths.vectorized(name).parent

        def read(config: Reader, files: Mapping[str, Path]) -> reading.Reading:
            assert config.kind == "labeled_text"
            return sharded_text.read(config, files, paths.shards(params.shards), run_shards, scratch)

        yield read


def client(address: str) -> Any:
    """Connect to the scheduler at `address` and wait for a worker; the connection is a context manager.

    Raises:
        FeedforwardError: Dask is not installed, no scheduler answers, or no worker connects.
    """
    try:
        import distributed
    except ImportError:
        raise FeedforwardError(
            "engine: Dask is not installed; install requirements/cluster.txt, here and on the workers"
        ) from None
    try:
        cluster = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise FeedforwardError(
            f"engine: {address}: no scheduler answers ({str(error) or type(error).__name__})"
        ) from None
    try:
        cluster.wait_for_workers(1, timeout=WORKER_TIMEOUT)
    except TimeoutError:
        cluster.close()
        raise FeedforwardError(
            f"engine: {address}: no worker connected in {WORKER_TIMEOUT:.0f} s; start one with `dask worker {address}`"
        ) from None
    return cluster


def _run_shards(cluster: Any, function: Callable[..., Any], shards: Sequence[str], *shared: Any) -> Iterator[Any]:
    """A `sharded_text.ShardMap`. Dask reruns the shards of lost workers; the number of pending shards is bounded."""
    max_pending = max(MIN_PENDING_LIMIT, 4 * sum(cluster.nthreads().values()))
    environment, futures = _environment(), deque[Any]()
    for shard in shards:
        futures.append(cluster.submit(_run_checked, environment, function, shard, *shared))
        if len(futures) > max_pending:
            yield _result(futures.popleft())
    while futures:
        yield _result(futures.popleft())


def _result(future: Any) -> Any:
    """The result that a worker computed.

    Raises:
        FeedforwardError: the scheduler or every worker that tried the shard was lost.
    """
    import distributed

    try:
        return future.result()
    except (distributed.KilledWorker, CancelledError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FeedforwardError(f"engine: the cluster lost a shard ({reason}); run the command again") from None


def _run_checked(environment: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a worker, after checking that its code and versions match those of the submitting process.

    Raises:
        DataError: this worker's code or versions differ, so its output could differ.
    """
    if _environment() != environment:
        raise DataError(
            f"the worker {worker_address()} has different code, or another version of Python, {' or '.join(LIBRARIES)};"
            " give it the same checkout and requirements, or remove it from the cluster"
        )
    return function(*arguments)


def worker_address() -> str:
    """The address of the Dask worker that calls this, for messages."""
    import distributed

    return str(distributed.get_worker().address)


def _environment() -> str:
    """The code and versions that determine the output. Python's version determines how letters are lowercased."""
    from feedforward.data.readers import sharded_text

    versions = [provenance.installed_version(name) for name in LIBRARIES]
    return " ".join([code_digest(sharded_text.DIGESTED_MODULES), platform.python_version(), *versions])
