"""Bind a socket and run the service until SIGTERM or SIGINT."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence

from feedforward.config.schema import Params
from feedforward.core import hosts
from feedforward.core.errors import FeedforwardError, ParamsError
from feedforward.core.redaction import shown
from feedforward.serving import workers
from feedforward.serving.app import Service, create
from feedforward.serving.asgi import HOST
from feedforward.serving.http.requests import Limits
from feedforward.serving.http.server import QUEUE, Server
from feedforward.tracking import names

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
GRACE = 10.0  # s for requests in progress
STARTUP_WAIT = 5.0  # s to wait for the champions before accepting connections without them
log = logging.getLogger(__name__)


def run(
    params: Params,
    host: str = "127.0.0.1",
    port: int | None = None,
    expose: bool = False,
    allowed_hosts: Sequence[str] = (),
    worker_count: int = 1,
) -> None:
    """Serve until SIGTERM or SIGINT; requests in progress are finished first.

    allowed_hosts: names accepted in the Host header (in any case, with any port), in addition to the loopback names and
    `host`. worker_count: if more than 1, the caller must have entered `workers.shared_counters`.

    Raises:
        ParamsError: `host` can be reached from other machines but `expose` is not set, an allowed host can match no
            Host header, or the settings do not permit several workers. FeedforwardError: the address cannot be bound,
            or a worker ended before it was ready.
    """
    hosts.check(host, expose, "the service")
    accepted = LOOPBACK_NAMES | {host.lower()} | host_names(allowed_hosts)
    workers.check(worker_count, params.serving)
    if not hosts.is_loopback(host):
        log.warning(
            "the service has no login: anyone who can reach %s can get predictions and add samples for retraining", host
        )
    connections = _connections()
    with contextlib.ExitStack() as stack:
        stack.enter_context(names.fixed(params.project))
        listening = stack.enter_context(bind(host, port if port is not None else params.serving.port))
        bound = listening.getsockname()[1]
        address = f"http://{f'[{host}]' if ':' in host else host}:{bound}  (Ctrl-C stops it)"

        def announce() -> None:
            print(address, flush=True)

        def work(listening: socket.socket, ready: Callable[[], None], parent_end: int | None = None) -> None:
            asyncio.run(_run(create(params, accepted, connections), listening, ready, parent_end))

        if worker_count == 1:
            work(listening, announce)
        else:
            share(listening)
            others = [stack.enter_context(bind(host, bound, shared=True)) for _ in range(worker_count - 1)]
            workers.run([listening, *others], work, announce)


async def _run(service: Service, listening: socket.socket, ready: Callable[[], None], parent_end: int | None) -> None:
    """Serve until a signal arrives, or until the descriptor `parent_end` becomes readable because the parent ended."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    if parent_end is not None:
        loop.add_reader(parent_end, stop.set)
    server = Server(service.application, service.limits, service.metrics.count_refusal)
    await serve(service, server, listening, stop, ready)


async def serve(
    service: Service, server: Server, listening: socket.socket, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Load the champions, accept connections, call `ready`, and serve until `stop` is set."""
    service.handlers.start()
    end = time.monotonic() + STARTUP_WAIT
    while not (service.models.checked.is_set() or stop.is_set() or time.monotonic() > end):
        await asyncio.sleep(0.01)
    try:
        if not stop.is_set():
            await server.start(listening)
            ready()
            await stop.wait()
    finally:
        await server.stop(GRACE)
        service.close()


def host_names(values: Sequence[str]) -> set[str]:
    """The names in values of `--allow-host`, as the Host header is compared: in lower case, without port and brackets.

    Raises:
        ParamsError: a value can match no Host header.
    """
    accepted = set()
    for value in values:
        match = HOST.fullmatch(value)
        if match is None and not _is_address(value):
            problem = "must be a host name such as models.example, which the Host header contains"
            raise ParamsError([f"--allow-host: {problem}, got {shown(value)}"])
        accepted.add((match["name"] if match else value).lower().strip("[]"))
    return accepted


def _is_address(value: str) -> bool:
    try:
        return bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def bind(host: str, port: int, shared: bool = False) -> socket.socket:
    """Bind a socket to the address and listen; connections wait until the service accepts them.

    Of several services that start at the same time, only one can listen. shared: sockets for which `share` was called
    may already listen there.

    Raises:
        FeedforwardError: the address is in use or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if IPPROTO_TCP is given; without TCP_NODELAY, an answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            share(listening)
        listening.bind((host, port))
        listening.listen(QUEUE)
    except OSError as error:
        listening.close()
        in_use = error.errno == errno.EADDRINUSE
        problem = (
            "is in use by another process; choose another --port" if in_use else f"cannot be bound ({error.strerror})"
        )
        raise FeedforwardError(f"{host}:{port}: {problem}") from None
    return listening


def share(listening: socket.socket) -> None:
    """Permit other sockets of this user on the socket's address.

    The first socket of a service must listen before it permits this; otherwise, two services could share an address.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _connections() -> int:
    """Raise the limit on open files as far as needed and permitted; return half of it, as the limit on connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * Limits.connections
    files = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    if files < needed:
        reason = f"this process may open only {files} files; `ulimit -Hn` in the shell sets the limit"
        log.warning("at most %d connections instead of %d, because %s", files // 2, Limits.connections, reason)
    return files // 2
