"""The service's side of the shadow: requests wait in a bounded queue until they are sent to the shadow's process.

Queueing a request takes no longer than appending to a list. Requests that do not fit into the queue are dropped and
counted, so no request ever waits for the shadow. A busy service drops most requests, so dropping one must cost next
to nothing: no frame is created for it, and drops are added up until the next transfer.
"""

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from feedforward.config.schema import Params
from feedforward.serving.shadow.frames import Frame

TICK = 0.005  # s between transfers to the process; rarer, larger transfers would delay requests noticeably
IDLE_TICK = 0.05  # s until the next transfer if there was nothing to transfer
QUEUE = 256  # requests that wait for the next transfer, at most
QUEUE_BYTES = 2**22  # of these requests and their answers
SEND_BYTES = 2**18  # per call of `send`
SOCKET_BYTES = 2**18  # that the system buffers for the process, which compares these requests before it ends
REPORT_BYTES = 2**24  # a longer line from the process is discarded
RESTART = 10.0  # s between starts of the process, at least
GRACE = 3.0  # s for the process to write its statistics before it is killed
log = logging.getLogger(__name__)


class Shadow:
    """Sends answered requests to the shadow's process, and starts the process again if it ends.

    dropped: called with a dataset and the number of its requests that were not sent. report: called with each report
    of the process.
    """

    def __init__(
        self, params: Params, dropped: Callable[[str, int], None], report: Callable[[dict[str, Any]], None]
    ) -> None:
        self._params, self._dropped, self._report = params, dropped, report
        self._lock = threading.Lock()
        self._queue: list[Frame] = []
        self._bytes = 0
        self._drops = Counter[str]()  # since they were last reported
        self._unsent = memoryview(b"")
        self._received = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._started = -RESTART
        self._ticking: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, on the running event loop."""
        self._ticking = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Stop the process once it has written its statistics, or kill it after GRACE seconds."""
        if self._ticking is not None:
            self._ticking.cancel()
        self._disconnect()
        if self._process is not None:
            try:
                self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def offer(self, dataset: str, size: int, frame: Callable[[], Frame]) -> None:
        """Queue an answered request, or drop it. Safe to call from any thread.

        size: bytes of the request and its answer. frame: creates the frame; called only if the request is queued.
        """
        with self._lock:
            if self._socket is not None and len(self._queue) < QUEUE and self._bytes + size <= QUEUE_BYTES:
                self._queue.append(frame())
                self._bytes += size
            else:
                self._drops[dataset] += 1

    async def _run(self) -> None:
        while True:
            if not self.running and time.monotonic() - self._started >= RESTART:
                self._connect()
            try:
                busy = self._send()
            except OSError:
                self._disconnect()
                busy = False
            self._report_drops()
            await asyncio.sleep(TICK if busy else IDLE_TICK)

    def _report_drops(self) -> None:
        with self._lock:
            drops, self._drops = self._drops, Counter()
        for dataset, number in drops.items():
            self._dropped(dataset, number)

    def _connect(self) -> None:
        self._disconnect()
        self._started = time.monotonic()
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            command = [sys.executable, "-m", "feedforward.serving.shadow.process"]
            # A separate process group, so that Ctrl-C does not end it before its statistics are written, but no
            # separate session: Linux (autogroup) gives each session the same CPU time, whatever its priority.
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), process_group=0)
        self._socket, self._received = ours, b""
        self._unsent = memoryview(self._params.model_dump_json().encode() + b"\n")
        asyncio.get_running_loop().add_reader(ours, self._read)

    def _disconnect(self) -> None:
        connection, self._socket = self._socket, None
        with self._lock:
            self._drops.update(frame.dataset for frame in self._queue)
            self._queue, self._bytes = [], 0
        self._report_drops()
        if connection is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                asyncio.get_running_loop().remove_reader(connection)
            connection.close()

    def _send(self) -> bool:
        """Send as much as the system accepts without blocking; return whether anything was sent and nothing is left."""
        sent_any = False
        while self._socket is not None:
            if not self._unsent:
                with self._lock:
                    frames, self._queue, self._bytes = self._queue, [], 0
                self._unsent = memoryview(b"".join(frame.packed() for frame in frames))
            if not self._unsent:
                break
            try:
                sent = self._socket.send(self._unsent[:SEND_BYTES])
            except BlockingIOError:  # the process has not read what it was sent
                return False
            self._unsent, sent_any = self._unsent[sent:], True
        return sent_any

    def _read(self) -> None:
        """Read the reports that have arrived."""
        if self._socket is None:
            return
        try:
            data = self._socket.recv(2**16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if self._process is not None:
                log.warning("the shadow process ended; it will be restarted within %.0f s", RESTART)
            self._disconnect()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        if len(self._received) > REPORT_BYTES:
            self._received = b""
        for line in lines[-1:]:  # each report contains all statistics, so the last one suffices
            with contextlib.suppress(ValueError):
                self._report(json.loads(line))
