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


def ending_when_cancelled(flow: Flow[P, R]) -> Flow[P, R]:
    """The flow; once a run of it is cancelled or deleted, this process gets SIGTERM, as a process of a worker does."""
    ended, cancelled = threading.Event(), threading.Event()

    def watch(run_id: UUID) -> None:
        while not ended.wait(PERIOD):
            if _is_unwanted(run_id):
                cancelled.set()
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def begin(flow: object, flow_run: FlowRun, state: State) -> None:  # noqa: ARG001
        threading.Thread(target=watch, args=(flow_run.id,), daemon=True).start()

    def end(flow: object, flow_run: FlowRun, state: State) -> None:  # noqa: ARG001
        ended.set()  # the process may have more to do, such as another round of training
        if cancelled.is_set():  # otherwise, the state would remain Crashed
            with contextlib.suppress(ObjectNotFound), get_client(sync_client=True) as client:
                client.set_flow_run_state(flow_run.id, Cancelled(), force=True)

    return flow.with_options(on_running=[begin], on_completion=[end], on_failure=[end], on_crashed=[end])


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
