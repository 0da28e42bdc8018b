"""HTTP/1.1 server for an ASGI application on one event loop, in which no client can keep others waiting.

A request reaches the application once it has been read completely. Every resource that a client can occupy has a
limit and a deadline (`requests.Limits`). When all connections are in use, a new one replaces the one that has waited
longest for its client.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, cast

from feedforward.serving.http.application import Application, respond
from feedforward.serving.http.requests import (
    SMALL_BODY_BYTES,
    BodyMemory,
    Headers,
    Limits,
    Request,
    RequestReader,
)
from feedforward.serving.problems import JSON, RETRY, SECURITY_HEADERS, ErrorResponse

TICK = 0.25  # s between checks of the deadlines
QUEUE = 1024  # connections that the kernel holds until they are accepted
SLICE = 2**14  # bytes parsed at a time; pipelined requests stay unparsed until earlier ones are answered
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
UNREAD = ErrorResponse(
    503,
    "the service is holding as many large responses as it can until clients read them; try again in a moment",
    headers=RETRY,
)


class Server:
    """Serves one application over HTTP. on_refusal: called with the status of each refused request."""

    def __init__(self, application: Application, limits: Limits, on_refusal: Callable[[int], None]) -> None:
        self.application, self.limits, self.on_refusal = application, limits, on_refusal
        self.memory = BodyMemory(limits.bodies_bytes)
        self.connections: set[Connection] = set()
        self.date = b""
        self._listener: asyncio.Server | None = None
        self._tick_task: asyncio.Task[None] | None = None

    async def start(self, listening: socket.socket) -> None:
        """Start accepting connections."""
        self.date = formatdate(usegmt=True).encode()
        self._tick_task = asyncio.create_task(self._tick())
        loop = asyncio.get_running_loop()
        # asyncio accepts up to `backlog` connections in a row, and may do so again before those that `admit` closes in
        # their favor are gone
        at_once = max(1, self.limits.connections // 8)
        self._listener = await loop.create_server(lambda: Connection(self), sock=listening, backlog=at_once)
        listening.listen(QUEUE)

    async def stop(self, grace: float) -> None:
        """Stop accepting connections, finish requests in progress for at most `grace` seconds, then close."""
        if self._listener is not None:
            self._listener.close()
        end = time.monotonic() + grace
        while time.monotonic() < end and any(connection.busy for connection in self.connections):
            self._close_waiting()
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        if self._tick_task is not None:
            self._tick_task.cancel()

    def admit(self) -> bool:
        """Make room for one more connection: if needed, close the one that has waited longest for its client.

        Return False if every connection is busy.
        """
        if len(self.connections) < self.limits.connections:
            return True
        waiting = [connection for connection in self.connections if not connection.busy]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda connection: connection.waiting_since)
        oldest.abort()
        self.connections.discard(oldest)
        return True

    def _close_waiting(self) -> None:
        for connection in list(self.connections):
            if not connection.busy:
                connection.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.date = formatdate(usegmt=True).encode()
            now = time.monotonic()
            for connection in list(self.connections):
                if connection.deadline < now:
                    connection.expire()


class Connection(asyncio.Protocol):
    """A client's connection. waiting_since: when the service started waiting for the client."""

    def __init__(self, server: Server) -> None:
        self.server, self.limits = server, server.limits
        self.reader = RequestReader(server.limits, server.memory)
        self.queue: deque[Request | ErrorResponse] = deque()
        self.waiting_since = time.monotonic()
        self.deadline = self.waiting_since + self.limits.idle
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport
        self._client: tuple[Any, ...] | None = None
        self._unparsed = b""
        self._closing = self._input_ended = self._paused = False
        self._until_drained: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether the client is waiting for the service, rather than the service for the client."""
        return self._task is not None and self._until_drained is None

    # --- callbacks of asyncio ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._client = transport.get_extra_info("peername")
        admitted = self.server.admit()
        self.server.connections.add(self)
        if not admitted:
            self._refuse(ErrorResponse(503, "all connections are in use; try again in a moment"))

    def data_received(self, data: bytes) -> None:
        """Buffer the bytes, and parse them unless an answer is in progress."""
        if self._closing:
            return
        self._unparsed += data
        if self._task is None:
            self._parse()
            if self.queue:
                self._task = asyncio.get_running_loop().create_task(self._answer())
        if self._unparsed and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more. Return whether to keep the connection open, so that it can read the answers."""
        self._input_ended = True
        return self._task is not None and not self._closing

    def pause_writing(self) -> None:
        """The client reads more slowly than the service writes."""
        self._until_drained = asyncio.get_running_loop().create_future()
        self.waiting_since = time.monotonic()
        self.deadline = self.waiting_since + self.limits.write

    def resume_writing(self) -> None:
        """The client has caught up with reading."""
        if self._until_drained is not None and not self._until_drained.done():
            self._until_drained.set_result(None)
        self._until_drained = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The connection is closed, so nobody waits for the answers."""
        self.server.connections.discard(self)
        self._closing = True
        self.resume_writing()
        self.reader.release()
        self._release_queue()
        if self._task is not None:
            self._task.cancel()

    # --- requests ---------------------------------------------------------------------------------

    def _parse(self) -> None:
        """Parse the received bytes until a request is complete; the remaining bytes wait until it is answered."""
        state, data, start = self.reader.state, self._unparsed, 0
        while start < len(data) and not self.queue:
            self.queue.extend(self.reader.feed(data[start : start + SLICE]))
            start += SLICE
        self._unparsed = data[start:]
        if self.queue or self.reader.state != state:
            self._wait()
        if self.reader.expects_continue and not self.queue:
            self.reader.expects_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # --- deadlines ---------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Set the deadline for the client's next step."""
        self.waiting_since = time.monotonic()
        self.deadline = self.waiting_since + getattr(self.limits, self.reader.state)

    def expire(self) -> None:
        """Close the connection or refuse the request, because the deadline has passed."""
        if self.busy:
            return
        state = self.reader.state
        if self._closing or state == "idle" or self._until_drained is not None:
            self.abort()
        else:
            seconds = getattr(self.limits, state)
            self._refuse(ErrorResponse(408, f"{state}: was not complete after {seconds:g} s", state))

    def close(self) -> None:
        """Send pending output, then close."""
        self._closing = True
        unsent = self._transport.get_write_buffer_size()
        self.deadline = time.monotonic() + (self.limits.write if unsent else self.limits.linger)
        self._transport.close()

    def abort(self) -> None:
        """Close immediately."""
        self._closing = True
        self._transport.abort()

    # --- answers -----------------------------------------------------------------------------------

    async def _answer(self) -> None:
        """Answer the queued requests in order, and let other clients take a turn between them."""
        try:
            while self.queue and not self._closing:
                unread = await self._answer_one(self.queue.popleft())
                try:
                    if self._until_drained is not None:
                        await self._until_drained
                finally:
                    self.server.memory.release(unread)
                if self.queue or self._unparsed:
                    await asyncio.sleep(0)
                if not self.queue and not self._closing:
                    self._parse()
        finally:
            self._task = None
            self._release_queue()
        if self._input_ended and not self._closing:
            self.close()
        elif not self._closing:
            self._wait()
            self._resume_reading()

    async def _answer_one(self, item: Request | ErrorResponse) -> int:
        """Answer a request, or refuse it; return the number of bytes reserved until the client has read the answer."""
        if isinstance(item, ErrorResponse):
            self._refuse(item)
            return 0
        try:
            status, headers, body = await respond(self.server.application, item, self._client)
        finally:
            self.server.memory.release(item.reserved)
        if self._closing:
            return 0
        size = len(body) if len(body) > SMALL_BODY_BYTES and item.method != "HEAD" else 0
        if not self.server.memory.reserve(size):
            status, headers, body, size = UNREAD.status, _headers(UNREAD), UNREAD.body, 0
            self.server.on_refusal(status)
        self._write(status, headers, body, item.keep_alive, item.method == "HEAD")
        if not item.keep_alive:
            self.close()
        return size

    def _refuse(self, refusal: ErrorResponse) -> None:
        """Respond, then discard input for a moment before closing, because a reset could overtake the response."""
        self._write(refusal.status, _headers(refusal), refusal.body, keep_alive=False)
        self._closing, self._unparsed = True, b""
        self.deadline = time.monotonic() + self.limits.linger
        self._transport.write_eof()
        self._resume_reading()
        self.server.on_refusal(refusal.status)

    def _write(self, status: int, headers: Headers, body: bytes, keep_alive: bool, head_only: bool = False) -> None:
        lines = [STATUS_LINES[status], b"date: ", self.server.date, b"\r\n"]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        if status >= 200 and status not in (204, 304) and not any(name == b"content-length" for name, _ in headers):
            lines.append(b"content-length: %d\r\n" % len(body))
        lines += (b"\r\n" if keep_alive else b"connection: close\r\n\r\n", b"" if head_only else body)
        self._transport.write(b"".join(lines))

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _release_queue(self) -> None:
        for item in self.queue:
            if isinstance(item, Request):
                self.server.memory.release(item.reserved)
        self.queue.clear()


def _headers(refusal: ErrorResponse) -> Headers:
    return [(b"content-type", JSON), *SECURITY_HEADERS, *refusal.headers]
