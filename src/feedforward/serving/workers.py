"""Several processes that serve one port: `feedforward serve --workers N`.

The parent process starts the workers, replaces those that die, and stops them when it ends. Each worker has its own
socket on the port, and the operating system distributes the connections among these sockets. All workers append
user-submitted samples to the same files, under locks, and share the counters of `/metrics`, which prometheus_client
keeps in memory-mapped files in a temporary folder.
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

METRICS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # read when prometheus_client is imported
RESTART = 1.0  # s until a worker that died is replaced
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger(__name__)

Ready = Callable[[], None]
Worker = Callable[[socket.socket, Ready, int], None]


def check(count: int, serving: Serving) -> None:
    """Refuse more than one worker if the settings require one process to see all requests.

    Raises:
        ParamsError: `count` is more than 1, and the shadow or the reservoir is on.
    """
    if count > 1 and (serving.shadow or serving.reservoir):
        raise ParamsError(
            [f"--workers: must be 1 while serving.shadow or serving.reservoir is on in params.yaml, got {count}"]
        )


@contextlib.contextmanager
def shared_counters(count: int) -> Iterator[None]:
    """Let processes that are started in the block share counters. Enter it before importing prometheus_client.

    If the environment already names a folder, it belongs to another program and is not used.
    """
    os.environ.pop(METRICS_FOLDER_VARIABLE, None)
    if count == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="feedforward-metrics-") as folder:
        os.environ[METRICS_FOLDER_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[METRICS_FOLDER_VARIABLE]


def run(sockets: Sequence[socket.socket], worker: Worker, ready: Ready) -> None:
    """Run one worker per socket until SIGTERM or SIGINT.

    worker: called in each worker process with its socket, a function to call when it is ready, and a file descriptor
    that becomes readable when the parent process ends. ready: called once all workers are ready.

    Raises:
        FeedforwardError: a worker ended before it was ready for the first time; the others are stopped.
    """
    read_end, write_end = os.pipe()  # only the parent keeps the write end open, so it closes when the parent ends
    context = multiprocessing.get_context("fork")
    ready_events = [context.Event() for _ in sockets]  # each is set when its worker is ready for the first time

    def start(index: int) -> Process:
        def work() -> None:
            for signal_number in STOP_SIGNALS:  # a replacement inherits `_watch`'s handlers, which would not end it
                signal.signal(signal_number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            os.close(write_end)
            sys.exit(run_reporting_errors(lambda: worker(sockets[index], ready_events[index].set, read_end)))

        process = context.Process(target=work, name=f"worker {index + 1}")
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # otherwise, one could reach the inherited handlers
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return process

    processes: list[Process] = []
    try:
        _watch(processes, ready_events, start, ready)
    finally:
        for listening in sockets:  # otherwise, clients could still connect and would wait for a response
            listening.close()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _watch(
    processes: list[Process], ready_events: Sequence[Event], start: Callable[[int], Process], ready: Ready
) -> None:
    """Start the workers, call `ready` once all are ready, and replace each one that dies, until SIGTERM or SIGINT."""
    received_signals: list[int] = []
    for signal_number in STOP_SIGNALS:
        signal.signal(signal_number, lambda received, _: received_signals.append(received))
    processes.extend(start(index) for index in range(len(ready_events)))
    announced = False
    while not received_signals:
        connection.wait([process.sentinel for process in processes], 0.1)
        if not announced and all(event.is_set() for event in ready_events):
            ready()
            announced = True
        for index, process in enumerate(processes):
            if received_signals or process.is_alive():
                continue
            ended = f"{process.name}: ended with exit code {process.exitcode}"
            if not ready_events[index].is_set():
                raise FeedforwardError(f"{ended} before it was ready; its message is above")
            log.error("%s and is being replaced", ended)
            _forget(process.pid)
            time.sleep(RESTART)
            processes[index] = start(index)


def _forget(pid: int | None) -> None:
    """Remove the gauges of a worker that died from `/metrics`."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
