"""Run the service on a socket of this machine, until it is asked to stop."""

import asyncio
import errno
import ipaddress
import logging
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from feedforward.config.schema import Params
from feedforward.core.errors import FeedforwardError, ParamsError
from feedforward.serving.app import create

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
GRACE = 10  # s for answers under way
MOST_HEAD = 65_536  # bytes of address and headers
MOST_CONNECTIONS = 1000  # at once; further ones are answered 503
log = logging.getLogger(__name__)


class Gathered:
    """A transport that sends at once what one turn of the event loop writes.

    uvicorn writes the head and the body of an answer one after the other, each a system call and a packet of its own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send soon."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Send what there is, then close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP over a gathered transport; the head of a request, which it would read for ever, is bounded."""

    _in_head, _head = False, 0  # bytes so far

    def connection_made(self, transport: Any) -> None:
        """A client is there."""
        super().connection_made(Gathered(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Read on."""
        super().data_received(data)
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > MOST_HEAD:
            self.send_400_response(f"The head of a request must have at most {MOST_HEAD} bytes.")

    def on_message_begin(self) -> None:
        """The parser is at a request's first byte."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The parser is at a body."""
        self._in_head = False
        super().on_headers_complete()


def run(params: Params, host: str = "127.0.0.1", port: int | None = None, expose: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; answers under way are finished first.

    Raises:
        ParamsError: `host` can be reached from other machines and `expose` does not say so. FeedforwardError: the
            address is taken.
    """
    check_host(host, expose)
    if not is_loopback(host):
        log.warning("the service has no login: whoever reaches %s can ask it and add samples for retraining", host)
    wanted = port if port is not None else params.serving.port
    with _bound(host, wanted) as listening:
        application = create(params, LOOPBACK_NAMES if is_loopback(host) else None)
        config = uvicorn.Config(
            application,
            http=Protocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="on",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE,
        )
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listening.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def check_host(host: str, expose: bool) -> None:
    """Refuse to be reached from other machines unless that is asked for.

    Raises:
        ParamsError: it would be.
    """
    if not is_loopback(host) and not expose:
        raise ParamsError(
            [f"--host: {host} can be reached from other machines, and the service has no login; add --expose"]
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(MOST_CONNECTIONS)  # now: the address is told before the application is ready
    except OSError as error:
        listening.close()
        taken = error.errno == errno.EADDRINUSE
        what = "is taken by another process; choose another --port" if taken else f"cannot be bound ({error.strerror})"
        raise FeedforwardError(f"{host}:{port}: {what}") from None
    return listening
