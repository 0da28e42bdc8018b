"""Ends a flow run that is cancelled in Prefect and that no worker started; Prefect itself ends only runs of workers."""

import contextlib
import os
import signal
import threading
from typing import ParamSpec, TypeVar
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled

PERIOD = 3.0  # s between two requests for the state
P = ParamSpec("P")
R = TypeVar("R")


def ending_when_cancelled(flow: Flow[P, R]) -> Flow[P, R]:
    """The flow; once a run of it is cancelled, this process gets SIGTERM, as a process of a worker does."""
    ended, cancelled = threading.Event(), threading.Event()

    def watch(run_id: UUID) -> None:
        while not ended.wait(PERIOD):
            if _is_cancelling(run_id):
                cancelled.set()
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def begin(flow: object, flow_run: FlowRun, state: State) -> None:  # noqa: ARG001
        threading.Thread(target=watch, args=(flow_run.id,), daemon=True).start()

    def end(flow: object, flow_run: FlowRun, state: State) -> None:  # noqa: ARG001
        ended.set()  # the process may have more to do, such as another round of training
        if cancelled.is_set():  # otherwise, the state would remain Crashed
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(flow_run.id, Cancelled(), force=True)

    return flow.with_options(on_running=[begin], on_completion=[end], on_failure=[end], on_crashed=[end])


def _is_cancelling(run_id: UUID) -> bool:
    """Whether the run is to be cancelled; False if the server does not answer."""
    with contextlib.suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        state = client.read_flow_run(run_id).state
        return state is not None and state.is_cancelling()
    return False
