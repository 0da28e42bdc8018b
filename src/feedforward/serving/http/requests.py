"""Parse the bytes of a connection into complete HTTP/1.1 requests of limited size.

httptools, a wrapper around Node.js's parser, does the parsing. This module adds the limits that it lacks: on the size
of the head, of the body, and of a chunked body's framing (chunk sizes, extensions, trailers), and on the memory that
all bodies of requests and responses use together.
"""

from dataclasses import dataclass

import httptools

from feedforward.serving.problems import RETRY, ErrorResponse

Headers = list[tuple[bytes, bytes]]

SMALL_BODY_BYTES = 2**16  # smaller bodies are always read and sent, regardless of the memory that larger ones use


@dataclass(frozen=True)
class Limits:
    """Limits for one client and for all clients together. Times in seconds, sizes in bytes."""

    body_bytes: int
    bodies_bytes: int = 2**26  # all bodies above SMALL_BODY_BYTES together, until they are answered or sent
    head_bytes: int = 2**16  # request line and headers; the framing of a chunked body may take twice as much
    headers: int = 100  # each takes at least 150 bytes of memory, however short it is
    connections: int = 800
    idle: float = 60.0  # until the first byte of a request
    head: float = 10.0  # from the first byte to the end of the headers
    body: float = 10.0  # from the end of the headers to the end of the body
    write: float = 30.0  # until the client has read a response
    linger: float = 2.0  # until a refused client closes the connection


@dataclass
class BodyMemory:
    """Memory in use by large bodies of requests and of responses that clients have not read yet, in bytes."""

    limit: int
    used: int = 0

    def reserve(self, size: int) -> bool:
        """Reserve `size` bytes; False if that would exceed the limit."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def release(self, size: int) -> None:
        """Release `size` bytes."""
        self.used -= size


@dataclass
class Request:
    """A complete request.

    target: as sent, `/path?query`. headers: with names in lower case. reserved: bytes reserved in the BodyMemory.
    """

    method: str
    target: bytes
    version: str
    headers: Headers
    keep_alive: bool
    body: bytes = b""
    reserved: int = 0


class RequestReader:
    """Turns bytes into requests, in order. After a refusal, it reads nothing more.

    state: `idle` before the first byte of a request, then `head`, then `body`. expects_continue: whether the client
    waits for `100 Continue` before it sends the body. reserved: bytes reserved for the unfinished body.
    """

    def __init__(self, limits: Limits, memory: BodyMemory) -> None:
        self.limits, self.memory = limits, memory
        self.state, self.expects_continue, self.reserved = "idle", False, 0
        self._parser = httptools.HttpRequestParser(self)
        self._ready: list[Request | ErrorResponse] = []
        self._refused = False
        self._received = 0  # bytes of this request, except those that came together with the end of the previous one
        self._target, self._headers, self._head_bytes = b"", Headers(), 0
        self._parts, self._size = list[bytes](), 0

    def feed(self, data: bytes) -> list[Request | ErrorResponse]:
        """Parse `data` and return the requests that it completes; a refusal, if any, comes last."""
        self._ready = []
        self._received += len(data)
        remaining = data
        while remaining and not self._refused:
            try:
                self._parser.feed_data(remaining)
                remaining = b""
            except httptools.HttpParserUpgrade as upgrade:
                remaining = self._head_without_upgrade() + remaining[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError as error:
                self._refuse(ErrorResponse(400, f"must be an HTTP/1.1 request: {_reason(error)}"))
        self._check_received()
        return self._ready

    def release(self) -> None:
        """Release the memory reserved for an unfinished body."""
        self.memory.release(self.reserved)
        self.reserved = 0

    # --- callbacks of the parser ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Start a new request."""
        self.state = "head"
        self._target, self._headers, self._head_bytes = b"", Headers(), 0
        self._parts, self._size = [], 0

    def on_url(self, part: bytes) -> None:
        """Append part of the request target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header, or drop a trailer."""
        if self.state == "head" and not self._refused:
            self._headers.append((name.lower(), value))
            self._head_bytes += len(name) + len(value)
            if len(self._headers) > self.limits.headers:
                self._refuse(self._head_too_large())

    def on_headers_complete(self) -> None:
        """Check the complete head; if it is refused, the body is not read."""
        self.state = "body"
        self._method = self._parser.get_method().decode("ascii")
        self._version = self._parser.get_http_version()
        self._keep_alive = self._parser.should_keep_alive()
        if refusal := self._head_problem():
            self._refuse(refusal)
        expects = any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers)
        self.expects_continue = expects and not self._refused

    def on_body(self, part: bytes) -> None:
        """Append part of the body, if the limits permit it."""
        if self._refused:
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > self.limits.body_bytes:
            self._refuse(self._body_too_large())
        elif self._size > SMALL_BODY_BYTES:
            growth = self._size - self.reserved
            if not self.memory.reserve(growth):
                error = "body: the service is holding as many large requests as it can; try again in a moment"
                self._refuse(ErrorResponse(503, error, "body", RETRY))
                return
            self.reserved += growth

    def on_message_complete(self) -> None:
        """Add the completed request to the result of `feed`."""
        if self._refused or self._parser.should_upgrade():  # then `feed` parses it again, without `Upgrade`
            return
        body = b"".join(self._parts)
        self._ready.append(
            Request(self._method, self._target, self._version, self._headers, self._keep_alive, body, self.reserved)
        )
        self.reserved, self.expects_continue = 0, False  # the request holds the reservation now
        self.state, self._received = "idle", 0
        self._parts = []

    def _head_without_upgrade(self) -> bytes:
        """The head without its `Upgrade` header, because httptools does not parse the body of a request that has one.

        RFC 9110 permits a server to ignore the header.
        """
        line = b"%b %b HTTP/%b\r\n" % (self._method.encode(), self._target, self._version.encode())
        headers = [b"%b: %b\r\n" % header for header in self._headers if header[0] != b"upgrade"]
        return line + b"".join(headers) + b"\r\n"

    # --- limits ----------------------------------------------------------------------------------

    def _refuse(self, refusal: ErrorResponse) -> None:
        if not self._refused:
            self._ready.append(refusal)
        self._refused, self._parts = True, []
        self.release()

    def _head_problem(self) -> ErrorResponse | None:
        if self._head_bytes + len(self._target) > self.limits.head_bytes:
            return self._head_too_large()
        if self._method == "CONNECT":
            return ErrorResponse(501, "CONNECT is not supported")
        names = [name for name, _ in self._headers]
        if not self._target.startswith(b"/") or b"#" in self._target:
            return ErrorResponse(400, "the request target must be a path that starts with / and has no #")
        if names.count(b"host") != 1 and (b"host" in names or self._version == "1.1"):
            return ErrorResponse(400, f"Host: must be sent exactly once, was sent {names.count(b'host')} times", "Host")
        codings = [value for name, value in self._headers if name == b"transfer-encoding"]
        if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
            return ErrorResponse(501, "Transfer-Encoding: must be chunked", "Transfer-Encoding")
        declared = next((value for name, value in self._headers if name == b"content-length"), b"0")
        return self._body_too_large() if int(declared) > self.limits.body_bytes else None

    def _check_received(self) -> None:
        if self.state == "head" and self._received > self.limits.head_bytes:
            self._refuse(self._head_too_large())
        elif self.state == "body" and self._received > self.limits.body_bytes + 2 * self.limits.head_bytes:
            self._refuse(ErrorResponse(413, "body: chunk sizes, extensions and trailers are too long", "body"))

    def _head_too_large(self) -> ErrorResponse:
        limits = f"{self.limits.head_bytes} bytes and {self.limits.headers} headers"
        return ErrorResponse(431, f"the request line and headers must have at most {limits}")

    def _body_too_large(self) -> ErrorResponse:
        return ErrorResponse(413, f"body: must have at most {self.limits.body_bytes} bytes", "body")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
