"""Ends a flow run that is cancelled or deleted in Prefect and that no worker started.

Prefect itself ends only cancelled runs of workers.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import ParamSpec, TypeVar
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

PERIOD = 3.0  # s between two requests for the state
P = ParamSpec("P")
R = TypeVar("R")

# By flow run. Hooks must not hold them: Dask pickles the flow with its hooks, and locks cannot be pickled.
_ended: dict[UUID, threading.Event] = {}
_cancelled: set[UUID] = set()


def ending_when_cancelled(flow: Flow[P, R]) -> Flow[P, R]:
    """The flow; once a run of it is cancelled or deleted, this process gets SIGTERM, as a process of a worker does."""
    return flow.with_options(on_running=[_begin], on_completion=[_end], on_failure=[_end], on_crashed=[_end])


def _begin(flow: object, flow_run: FlowRun, state: State) -> None:  # noqa: ARG001
    _ended[flow_run.id] = ended = threading.Event()
    threading.Thread(target=_watch, args=(flow_run.id, ended), daemon=True).start()


def _watch(run_id: UUID, ended: threading.Event) -> None:
    while not ended.wait(PERIOD):
        if _is_unwanted(run_id):
            _cancelled.add(run_id)
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _end(flow: object, flow_run: FlowRun, state: State) -> None:  # noqa: ARG001
    if ended := _ended.pop(flow_run.id, None):
        ended.set()  # the process may have more to do, such as another round of training
    if flow_run.id in _cancelled:  # otherwise, the state would remain Crashed
        with contextlib.suppress(ObjectNotFound), get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, Cancelled(), force=True)


@contextlib.contextmanager
def deletion_interrupts() -> Iterator[None]:
    """If a flow run is deleted in Prefect while the block runs it, end the block as an interruption.

    Raises:
        KeyboardInterrupt: the flow run was deleted.
    """
    try:
        yield
    except ObjectNotFound:
        raise KeyboardInterrupt("the flow run was deleted in Prefect") from None


def _is_unwanted(run_id: UUID) -> bool:
    """Whether the run is to be cancelled, or was deleted; False if the server does not answer."""
    try:
        with contextlib.suppress(httpx.HTTPError), get_client(sync_client=True) as client:
            state = client.read_flow_run(run_id).state
            return state is not None and state.is_cancelling()
    except ObjectNotFound:
        return True
    return False
