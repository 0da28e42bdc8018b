"""One call of an ASGI application: a complete request in, a complete response out."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from feedforward.serving.http.requests import Headers, Request
from feedforward.serving.problems import FAILED, JSON, problem

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)


async def respond(
    application: Application, request: Request, client: tuple[Any, ...] | None = None
) -> tuple[int, Headers, bytes]:
    """Return the application's status (500 if it raises), headers and body. client: (address, port, …)."""
    messages: list[Message] = [  # in reverse order
        {"type": "http.disconnect"},
        {"type": "http.request", "body": request.body, "more_body": False},
    ]
    status, headers, parts = 500, Headers(), list[bytes]()

    async def receive() -> Message:
        return messages.pop() if len(messages) > 1 else messages[0]

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
        else:
            parts.append(message.get("body", b""))

    path, _, query = request.target.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.version,
        "method": request.method,
        "scheme": "http",
        "path": unquote(path.decode("latin-1"), errors="replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": request.headers,
        "client": client and client[:2],
    }
    try:
        await application(scope, receive, send)
    except Exception:
        log.exception("%s %s failed", request.method, path[:60])
        return 500, [(b"content-type", JSON)], problem(FAILED)
    return status, headers, b"".join(parts)
