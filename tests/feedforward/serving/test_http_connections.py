"""The HTTP server with a small application: pipelined requests, and clients that read slowly."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from waiting import PATIENCE

from feedforward.serving import server
from feedforward.serving.http.application import Message, Receive, Scope, Send
from feedforward.serving.http.requests import Limits
from feedforward.serving.http.server import Server

LARGE = b"x" * 20_000_000  # more than fits into the kernel's buffers for a connection
PIPELINED = 2000


class Recorder:
    """An application that records paths. It answers `/first` once `release` is set, and `/large` with LARGE."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.cancelled: list[str] = []
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        self.paths.append(scope["path"])
        if scope["path"] == "/first":
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.append(scope["path"])
                raise
        start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": LARGE if scope["path"] == "/large" else b""})


def get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()


def serve(client: Callable[[Recorder, Server, int], Coroutine[Any, Any, None]], **limits: Any) -> None:
    """Run `client` with an application, its server and the server's port."""

    async def run() -> None:
        with server.bind("127.0.0.1", 0) as listener:
            application = Recorder()
            running = Server(application, Limits(body_bytes=1000, **limits), lambda _: None)
            await running.start(listener)
            try:
                await client(application, running, listener.getsockname()[1])
            finally:
                await running.stop(0)

    asyncio.run(run())


def test_pipelined_requests_do_not_delay_other_connections() -> None:
    async def client(application: Recorder, _: Server, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/first") + get("/again") * PIPELINED + get("/last", "Connection: close\r\n"))
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        while not application.paths:
            await asyncio.sleep(0.01)
        other_writer.write(get("/other", "Connection: close\r\n"))
        application.release.set()
        assert (await other_reader.read()).startswith(b"HTTP/1.1 200")
        assert (await reader.read()).count(b"HTTP/1.1 200") == PIPELINED + 2
        other_writer.close()
        writer.close()
        assert application.paths.index("/other") < PIPELINED / 2

    serve(client)


def test_pipelined_requests_are_parsed_only_when_they_are_next() -> None:
    async def client(application: Recorder, running: Server, port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/first") + get("/again") * 200_000)  # 6 MB, which would take 120 MB as objects
        while not application.paths:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        [connection] = running.connections
        assert len(connection.queue) < 1000
        writer.transport.abort()

    serve(client)


@pytest.mark.parametrize("headers", ["Connection: close\r\n", ""])
def test_a_client_that_pauses_receives_the_whole_large_response(headers: str) -> None:
    async def client(_application: Recorder, _: Server, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(get("/large", headers))
        await asyncio.sleep(1)  # longer than `linger`
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert len(await reader.readexactly(len(LARGE))) == len(LARGE)
        writer.close()

    serve(client, linger=0.1)


@pytest.mark.proves("Large responses that clients do not read share a memory limit with large bodies")
@pytest.mark.parametrize("reads", [True, False])
def test_unread_large_responses_share_a_limit_until_they_are_read_or_the_connection_ends(reads: bool) -> None:
    async def client(_application: Recorder, running: Server, port: int) -> None:
        async def status_of(path: str) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get(path, "Connection: close\r\n"))
            answer = await reader.read()
            writer.close()
            return answer[9:12]

        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(get("/large"))
        async with asyncio.timeout(PATIENCE):
            while not running.memory.used:
                await asyncio.sleep(0.01)
        assert await status_of("/large") == b"503"
        assert await status_of("/small") == b"200"
        if reads:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(LARGE))
        else:
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while running.memory.used:
                await asyncio.sleep(0.01)
        assert await status_of("/large") == b"200"
        writer.close()

    serve(client, bodies_bytes=len(LARGE) + 1)


@pytest.mark.proves("If a client resets its connection, its current request is cancelled and its next ones are ignored")
def test_the_answer_to_a_client_that_resets_the_connection_is_cancelled() -> None:
    async def client(application: Recorder, running: Server, port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/first") + get("/again"))
        while not application.paths:
            await asyncio.sleep(0.01)
        [connection] = running.connections
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while running.connections or connection.busy:
                await asyncio.sleep(0.01)
        assert application.cancelled == ["/first"]
        assert application.paths == ["/first"]

    serve(client)
