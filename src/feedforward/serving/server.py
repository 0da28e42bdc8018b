"""Bind a socket and run the service until SIGTERM or SIGINT."""

import asyncio
import errno
import ipaddress
import logging
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence

from feedforward.config.schema import Params
from feedforward.core.errors import FeedforwardError, ParamsError
from feedforward.serving.app import Service, create
from feedforward.serving.http.requests import Limits
from feedforward.serving.http.server import Server

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
GRACE = 10.0  # s for requests in progress
STARTUP_WAIT = 5.0  # s to wait for the registry; after that, champions are loaded in the background
log = logging.getLogger(__name__)


def run(
    params: Params,
    host: str = "127.0.0.1",
    port: int | None = None,
    expose: bool = False,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serve until SIGTERM or SIGINT; requests in progress are finished first.

    allowed_hosts: names accepted in the Host header, in addition to the loopback names and `host`.

    Raises:
        ParamsError: `host` can be reached from other machines and `expose` is not set. FeedforwardError: the address
            is in use.
    """
    check_host(host, expose)
    if not is_loopback(host):
        log.warning(
            "the service has no login: anyone who can reach %s can get predictions and add samples for retraining", host
        )
    with bind(host, port if port is not None else params.serving.port) as listening:
        _raise_file_limit()
        service = create(params, LOOPBACK_NAMES | {name.lower().strip("[]") for name in (host, *allowed_hosts)})
        url_host = f"[{host}]" if ":" in host else host
        address = f"http://{url_host}:{listening.getsockname()[1]}  (Ctrl-C stops it)"
        asyncio.run(_run(service, listening, lambda: print(address, flush=True)))


async def _run(service: Service, listening: socket.socket, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(service.application, service.limits, service.metrics.count_refusal)
    await serve(service, server, listening, stop, ready)


async def serve(
    service: Service, server: Server, listening: socket.socket, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Load the champions, accept connections, call `ready`, serve until `stop` is set."""
    service.handlers.start()
    end = time.monotonic() + STARTUP_WAIT
    while not (service.models.loaded.is_set() or stop.is_set() or time.monotonic() > end):
        await asyncio.sleep(0.01)
    try:
        if not stop.is_set():
            await server.start(listening)
            ready()
            await stop.wait()
    finally:
        await server.stop(GRACE)
        service.close()


def check_host(host: str, expose: bool) -> None:
    """Refuse addresses that other machines can reach unless `expose` is set.

    Raises:
        ParamsError: other machines can reach the address, and `expose` is not set.
    """
    if not is_loopback(host) and not expose:
        raise ParamsError(
            [f"--host: {host} can be reached from other machines, and the service has no login; add --expose"]
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; nothing is accepted yet.

    Raises:
        FeedforwardError: the address is in use or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is given. Without it, an answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        in_use = error.errno == errno.EADDRINUSE
        problem = (
            "is in use by another process; choose another --port" if in_use else f"cannot be bound ({error.strerror})"
        )
        raise FeedforwardError(f"{host}:{port}: {problem}") from None
    return listening


def _raise_file_limit() -> None:
    """Allow twice as many open files as connections, if the system permits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * Limits.connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
