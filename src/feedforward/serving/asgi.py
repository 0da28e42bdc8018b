"""The outermost layer: who may ask, how much, how long it took; and the fast lane of predictions.

FastAPI describes the interface and answers everything else. A prediction takes a tenth of a millisecond, FastAPI's own
work five times that, so the edge answers predictions itself (docs/serving.md).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pydantic_core

from feedforward.core.errors import DataError, FeedforwardError, InputError, NothingToServe, ParamsError, TrackingError
from feedforward.serving.feedback_log import Full
from feedforward.serving.metrics import Meters

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Lane = Callable[[str, str, bytes], Awaitable[bytes]]  # data set, content type, body → JSON

log = logging.getLogger(__name__)

BODY_PATIENCE = 10.0  # s until a body must have come
JSON = b"application/json"
STATUS: dict[type[FeedforwardError], int] = {  # the first that fits
    Full: 507,
    InputError: 422,
    NothingToServe: 503,
    DataError: 503,
    TrackingError: 503,
    ParamsError: 404,  # of a name in the address
}
HARDENED = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Rejected(Exception):
    """A request that goes no further than the edge."""

    def __init__(self, status: int, problem: str, field: str | None = None) -> None:
        self.status, self.problem, self.field = status, problem, field
        super().__init__(problem)


@dataclass(frozen=True)
class Edge:
    """An ASGI application around another.

    lanes: what answers `POST /NAME/{dataset}`, by NAME. hosts: names that the Host header may have; None: any.
    """

    inner: Application
    lanes: Mapping[str, Lane]
    hosts: frozenset[str] | None
    max_body_bytes: int
    meters: Meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        began = time.perf_counter()
        seen = {"status": 500}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), *HARDENED]
            await send(message)

        place = "other"
        try:
            place = await self._answer(scope, receive, sending)
        finally:
            self.meters.observe(place, seen["status"], time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> str:
        """Answer; the name under which the request is counted."""
        name, _, dataset = str(scope["path"]).strip("/").partition("/")
        lane = self.lanes.get(name) if dataset and "/" not in dataset else None
        try:
            headers = {key.lower(): value for key, value in scope["headers"]}
            self._check_host(headers)
            body = await self._body(headers, receive)
            if lane is None or scope["method"] != "POST":
                await self.inner(scope, _replayed(body, receive), send)
                return name if name in ("", "health", "ready", "metrics", "datasets", "docs", *self.lanes) else "other"
            kind = headers.get(b"content-type", JSON).decode("latin-1").partition(";")[0].strip().lower()
            await respond(send, 200, await lane(unquote(dataset), kind, body))
        except Rejected as rejection:
            await respond(send, rejection.status, problem(rejection.problem, rejection.field))
        except FeedforwardError as error:
            await respond(send, *described(error))
        except Exception:  # a defect: the log gets the traceback, the caller a line, the others go on
            log.exception("%s %s failed", scope["method"], str(scope["path"])[:60])
            await respond(send, 500, problem("the service failed at this request; its log says where"))
        return name if lane else "other"

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """Pages of other sites must not reach a service on this machine: neither by a name of theirs nor by a form."""
        host = headers.get(b"host", b"").decode("latin-1")
        if self.hosts is not None and _hostname(host) not in self.hosts:
            raise Rejected(403, f"Host: must be one of {', '.join(sorted(self.hosts))}, got {host[:60]!r}", "Host")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2] != host:
            raise Rejected(403, f"Origin: must be this service, got {origin[:60]!r}", "Origin")

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 18:
            raise Rejected(400, "Content-Length: must be a number", "Content-Length")
        if int(declared) > self.max_body_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(BODY_PATIENCE):
                return await self._read(receive)
        except TimeoutError:
            raise Rejected(408, f"body: did not come within {BODY_PATIENCE:.0f} s", "body") from None

    async def _read(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise Rejected(400, "body: the connection was closed before its end", "body")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_body_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        return b"".join(parts)

    def _too_large(self) -> Rejected:
        return Rejected(413, f"body: must have at most {self.max_body_bytes} bytes", "body")


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # a bracket too few
        return ""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What the inner application receives: the body that was read, then whatever follows."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def respond(send: Send, status: int, body: bytes) -> None:
    """A whole JSON response."""
    headers = [(b"content-type", JSON), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def problem(error: str, field: str | None = None) -> bytes:
    """The JSON of a problem."""
    return bytes(pydantic_core.to_json({"error": error, "field": field}))


def described(error: FeedforwardError) -> tuple[int, bytes]:
    """Status and JSON of an error that a user can mend."""
    field = error.field if isinstance(error, InputError) else None
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
    return status, problem(str(error).splitlines()[0], field)
