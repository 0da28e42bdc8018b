"""ASGI middleware: checks of host, origin and encoding, request metrics, and a fast path for predictions.

FastAPI's overhead is five times the cost of a prediction, so POST requests to `/predict/…`, `/incoming/…` and
`/feedback/…` are answered here (docs/serving.md). FastAPI describes the interface and answers all other requests.
"""

import asyncio
import ipaddress
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from feedforward.core.environment import LOOPBACK
from feedforward.core.errors import FeedforwardError
from feedforward.serving.http.application import Application, Message, Receive, Scope, Send
from feedforward.serving.metrics import ServiceMetrics
from feedforward.serving.problems import FAILED, JSON, SECURITY_HEADERS, ErrorResponse, error_response, problem

Handler = Callable[[str, str, bytes], Awaitable[bytes]]  # dataset, content type, body → JSON

HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
# Paths that are counted under their own names in the metrics, like those with a handler; the rest counts as `other`
COUNTED = frozenset(("", "health", "ready", "metrics", "datasets", "docs", "monitoring", "feedback"))
PRIVATE = "feedback"  # path that only clients on this machine may use
CLIENT_LEFT = 499  # counted if the client closes the connection before its answer; never sent
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Middleware:
    """An ASGI application that wraps another.

    handlers: handlers of `POST /NAME/{dataset}`, by NAME. hosts: names accepted in the Host header, in lower case.
    """

    inner: Application
    handlers: Mapping[str, Handler]
    hosts: frozenset[str]
    metrics: ServiceMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0  # of the response; 0 until it has started

        async def send_with_security_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        name, _, dataset = scope["path"].strip("/").partition("/")
        handler = self.handlers.get(name) if dataset and "/" not in dataset else None
        try:
            await self._answer(handler, dataset, scope, receive, send_with_security_headers)
        except asyncio.CancelledError:
            status = CLIENT_LEFT
            raise
        except Exception:  # a bug: the traceback goes to the log, and one line to the client
            log.exception("%s %s failed", scope["method"], str(scope["path"])[:60])
            if not status:
                await respond(send_with_security_headers, 500, problem(FAILED))
        finally:
            counted_path = name if handler or (not dataset and name in COUNTED) else "other"
            self.metrics.observe(counted_path, status, time.perf_counter() - began)

    async def _answer(self, handler: Handler | None, dataset: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            kind = self._check(scope["headers"])
            if scope["path"].strip("/").partition("/")[0] == PRIVATE:
                _check_private(scope)
            if handler is None or scope["method"] != "POST":
                method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server omits the response's body
                await self.inner({**scope, "method": method}, receive, send)
                return
            await respond(send, 200, await handler(dataset, kind, await read_body(receive)))
        except ErrorResponse as refusal:
            await respond(send, refusal.status, refusal.body, refusal.headers)
        except FeedforwardError as error:
            response = error_response(error)
            await respond(send, response.status, response.body)

    def _check(self, headers: list[tuple[bytes, bytes]]) -> str:
        """Check the headers and return the content type.

        Web pages from other sites must not be able to use the service, whether by DNS rebinding or through a form.

        Raises:
            ErrorResponse: the host or origin is not allowed or is sent twice, or the body is compressed.
        """
        values: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in (b"host", b"origin") and name in values:
                raise ErrorResponse(403, f"{name.decode().title()}: must be sent once", name.decode().title())
            values[name] = value
        host = values.get(b"host", b"").decode("latin-1").lower()
        match = HOST.fullmatch(host)
        if match is None or match["name"].strip("[]") not in self.hosts:
            raise ErrorResponse(403, f"Host: must be one of {', '.join(sorted(self.hosts))}, got {host[:60]!r}", "Host")
        origin = values.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin.partition("://")[2] != host:
            raise ErrorResponse(403, f"Origin: must be this service, got {origin[:60]!r}", "Origin")
        if values.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            error = "Content-Encoding: must be identity; send the body uncompressed"
            raise ErrorResponse(415, error, "Content-Encoding", ((b"accept-encoding", b"identity"),))
        return content_type(values.get(b"content-type", JSON).decode("latin-1"))


def _check_private(scope: Scope) -> None:
    """Refuse clients on other machines, including those behind a local proxy that forwards their Host header.

    Raises:
        ErrorResponse: the client's address or the Host header is not local.
    """
    client = scope.get("client")
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
    match = HOST.fullmatch(host)
    if client is None or not _is_loopback(client[0]) or match is None or match["name"].strip("[]") not in LOOPBACK:
        raise ErrorResponse(403, f"/{PRIVATE}: is only available on this machine; open it at 127.0.0.1", "Host")


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)  # an IPv4 client of a socket that also accepts IPv6
    return (mapped or parsed).is_loopback


def content_type(header: str) -> str:
    """The media type in lower case, without parameters."""
    return header.partition(";")[0].strip().lower()


async def read_body(receive: Receive) -> bytes:
    """Read the request body; the server limits its size and the time until it is complete.

    Raises:
        ErrorResponse: the client closed the connection.
    """
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ErrorResponse(400, "body: the connection was closed before the body was complete", "body")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def respond(send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Send a complete JSON response."""
    lines = [(b"content-type", JSON), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
