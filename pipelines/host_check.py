"""ASGI middleware that refuses requests that a browser sends on behalf of a page from another site.

A site can point its domain name to 127.0.0.1 (DNS rebinding). Its pages then reach a local server as if the server
belonged to the site, and CORS does not apply. The Host header of such a request names the site, so the header is
compared with the names of this server. The Origin header reveals pages that send requests, including WebSocket
requests, to 127.0.0.1 directly.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})

_HOST = re.compile(r"(?P<name>\[[0-9a-f:]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


class HostCheck:
    """Passes a request to `app` if it is addressed to one of `names` and does not come from another server's page.

    The port in Host may differ from the server's own, because a container may be published on another port; Origin must
    have the port that Host has.
    """

    def __init__(self, app: Any, names: Collection[str] = LOOPBACK) -> None:
        self._app, self._names = app, frozenset(name.lower() for name in names)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on allowed requests and answer others with 403 (as servers do if a WebSocket is closed unaccepted)."""
        if scope["type"] == "lifespan" or is_allowed(scope["headers"], self._names):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            names = ", ".join(sorted(self._names))
            text = f"Host or Origin is not allowed; open this server as one of: {names}\n".encode()
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": text})


def is_allowed(headers: Iterable[tuple[bytes, bytes]], names: Collection[str]) -> bool:
    """Whether the only Host header has an allowed name, and the Origin header, if any, the same name and port."""
    values: dict[bytes, list[str]] = {b"host": [], b"origin": []}
    for name, value in headers:
        if name.lower() in values:
            values[name.lower()].append(value.decode("latin-1").lower())
    if len(values[b"host"]) != 1 or len(values[b"origin"]) > 1:
        return False
    [host] = values[b"host"]
    match = _HOST.fullmatch(host)
    origins = {f"http://{host}", f"https://{host}"}
    return match is not None and match["name"] in names and origins.issuperset(values[b"origin"])
