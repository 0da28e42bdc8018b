"""Several processes that serve one port: `feedforward serve --workers N`.

The first process starts the workers, replaces those that die, and stops them when it ends. Each worker has its own
socket on the port, and the system distributes the connections among these sockets. Workers share the stored samples
(files with locks) and the counters of `/metrics` (files in a temporary folder, mapped into memory by
prometheus_client).
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess as Process
from multiprocessing.synchronize import Event

from feedforward.config.schema import Serving
from feedforward.core.errors import FeedforwardError, ParamsError, run_reporting_errors

COUNTERS = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported
RESTART = 1.0  # s until a worker that died is replaced
log = logging.getLogger(__name__)

Ready = Callable[[], None]
Worker = Callable[[socket.socket, Ready, int], None]


def check(number: int, serving: Serving) -> None:
    """Refuse settings that require one process to see all requests.

    Raises:
        ParamsError: the shadow or the reservoir is on.
    """
    if number > 1 and (serving.shadow or serving.reservoir):
        raise ParamsError(
            [f"--workers: must be 1 while serving.shadow or serving.reservoir is on in params.yaml, got {number}"]
        )


@contextlib.contextmanager
def shared_counters(number: int) -> Iterator[None]:
    """Let processes that are started during the block share counters. Enter it before importing prometheus_client."""
    if number == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="feedforward-metrics-") as folder:
        os.environ[COUNTERS] = folder
        try:
            yield
        finally:
            del os.environ[COUNTERS]


def run(sockets: Sequence[socket.socket], worker: Worker, ready: Ready) -> None:
    """Run one worker per socket until SIGTERM or SIGINT.

    worker: called in a separate process, with its socket, a function to call when it is ready, and a file descriptor
    that becomes readable when the calling process ends. ready: called once all workers are ready.

    Raises:
        FeedforwardError: a worker ended before it was ready for the first time; the others are stopped.
    """
    read_end, write_end = os.pipe()  # the write end is open only in this process, so it closes when this process ends
    context = multiprocessing.get_context("fork")
    started = [context.Event() for _ in sockets]

    def start(number: int) -> Process:
        def work() -> None:
            os.close(write_end)
            sys.exit(run_reporting_errors(lambda: worker(sockets[number], started[number].set, read_end)))

        process = context.Process(target=work, name=f"worker {number + 1}")
        process.start()
        return process

    processes = [start(number) for number in range(len(sockets))]
    try:
        _watch(processes, started, start, ready)
    finally:
        for listening in sockets:  # otherwise, clients could still connect and would wait for a response
            listening.close()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _watch(processes: list[Process], started: Sequence[Event], start: Callable[[int], Process], ready: Ready) -> None:
    """Replace workers that die until SIGTERM or SIGINT; see `run`."""
    stopping: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: stopping.append(number))
    announced = False
    while not stopping:
        connection.wait([process.sentinel for process in processes], 0.1)
        if not announced and all(event.is_set() for event in started):
            ready()
            announced = True
        for number, process in enumerate(processes):
            if stopping or process.is_alive():
                continue
            ended = f"{process.name}: ended with exit code {process.exitcode}"
            if not started[number].is_set():
                raise FeedforwardError(f"{ended} before it was ready; its message is above")
            log.error("%s and is being replaced", ended)
            _forget(process.pid)
            time.sleep(RESTART)
            processes[number] = start(number)


def _forget(pid: int | None) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
