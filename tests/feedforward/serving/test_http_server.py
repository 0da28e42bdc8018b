"""The HTTP server over raw sockets: limits, deadlines, and conformance with HTTP."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import registered
from live_service import GLAD, SERVING, LiveService
from registered import NAME
from waiting import PATIENCE

from feedforward.config.schema import Params
from feedforward.serving import work_queue

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow

DEADLINES = dict.fromkeys(("idle", "head", "body", "write", "linger"), 0.4)  # s
LIMITS = {"connections": 20, "bodies_bytes": 300_000}
BODY = json.dumps({"samples": [GLAD]}).encode()
HEAD = f"POST /predict/{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n".encode()
POST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture
def service(small: Params, small_store: "Store") -> Iterator[LiveService]:
    """A service with short deadlines and low limits."""
    registered.champion(small_store, small)
    with LiveService(small.model_copy(update={"serving": SERVING}), **DEADLINES, **LIMITS) as running:
        yield running


def connect(service: LiveService) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE)


def read_all(connection: socket.socket) -> bytes:
    """Return everything that the server sends until it closes the connection."""
    answer = b""
    try:
        while part := connection.recv(65536):
            answer += part
    except ConnectionError:
        pass
    return answer


def exchange(service: LiveService, request: bytes) -> bytes:
    """Send the bytes, half-close the connection, and return the responses."""
    with connect(service) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def drip(connection: socket.socket, part: bytes) -> bool:
    """Send `part` repeatedly, and return whether the server closed the connection."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            connection.sendall(part)
        except ConnectionError:
            return True
        time.sleep(0.02)
    return False


def problem(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


# --- deadlines -------------------------------------------------------------------------------


@pytest.mark.proves("Idle connections and unfinished requests do not keep the service busy")
def test_an_idle_connection_is_closed_without_a_response(service: LiveService) -> None:
    with connect(service) as connection:
        assert read_all(connection) == b""
    with connect(service) as connection:
        connection.sendall(POST)
        assert read_all(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.proves("Idle connections and unfinished requests do not keep the service busy")
@pytest.mark.parametrize("part", [b"X-Header: y\r\n", b"a"])
def test_a_slow_request_head_is_rejected_and_the_connection_closed(service: LiveService, part: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + b"X: ")
        assert drip(connection, part)
    with connect(service) as connection:
        connection.sendall(HEAD)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert problem(answer)["field"] == "head"


def test_a_slow_request_body_is_rejected_and_the_connection_closed(service: LiveService) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n{")
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in answer
        assert drip(connection, b" ")


def test_connection_of_a_client_that_does_not_read_is_closed(service: LiveService) -> None:
    with connect(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert drip(connection, b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 50)
    assert service.ask(GLAD).status_code == 200


# --- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("beginning", [b"GET /", HEAD + b"X: ", HEAD + b"X: y\r\n" * 5000])
def test_an_endless_request_head_is_rejected(service: LiveService, beginning: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(beginning)
        assert drip(connection, b"a" * 1000)
    assert exchange(service, beginning + b"a" * 70_000).startswith(b"HTTP/1.1 431")


@pytest.mark.proves("Endless trailers of a chunked body are refused")
@pytest.mark.parametrize("framing", [b"0\r\n" + b"X: y\r\n" * 60_000, b"1;" + b"x" * 350_000, b"1\r\na\r\n" * 60_000])
def test_endless_trailers_and_chunk_framing_are_rejected(service: LiveService, framing: bytes) -> None:
    answer = exchange(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framing)
    assert answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400")), answer[:200]
    with connect(service) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framing)
        assert drip(connection, b"X: y\r\n" * 1000)


def test_a_body_above_the_limit_is_rejected_before_it_is_read(service: LiveService) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + b"Content-Length: 200001\r\nExpect: 100-continue\r\n\r\n")
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413")
    assert problem(answer)["error"] == "body: must have at most 200000 bytes"


@pytest.mark.proves("Large bodies share a memory limit, and short requests do not wait for them")
def test_large_bodies_share_a_limit_that_does_not_affect_short_requests(service: LiveService) -> None:
    part = HEAD + b"Content-Length: 199999\r\n\r\n" + b" " * 120_000
    connections = [connect(service) for _ in range(2)]
    try:
        for connection in connections:
            connection.sendall(part)
        while service.server.memory.used < 240_000:
            time.sleep(0.01)
        refused = exchange(service, part)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in refused
        assert service.ask(GLAD).status_code == 200
    finally:
        for connection in connections:
            connection.close()
    while service.server.memory.used:
        time.sleep(0.01)
    request = HEAD + b"Content-Length: 150000\r\n\r\n" + BODY.ljust(150_000)
    assert exchange(service, request).startswith(b"HTTP/1.1 200")
    assert service.server.memory.used == 0


@pytest.mark.proves("Idle connections and unfinished requests do not keep the service busy")
def test_connections_over_the_limit_do_not_block_other_clients(service: LiveService) -> None:
    parts = [b"", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{"]
    connections = [connect(service) for _ in range(3 * LIMITS["connections"])]
    try:
        for k, connection in enumerate(connections):
            try:
                connection.sendall(parts[k % 3])
            except ConnectionError:  # the server has already closed it in favor of newer connections
                continue
            assert service.client.get("/health", headers={"connection": "close"}).status_code == 200
    finally:
        for connection in connections:
            connection.close()


# --- work ------------------------------------------------------------------------------------


@pytest.fixture
def default_service(small: Params, small_store: "Store") -> Iterator[LiveService]:
    """A service with the default limits."""
    registered.champion(small_store, small, 1.0, dropout=2.0)
    registered.pictures_champion(small_store)
    with LiveService(small) as running:
        yield running


@pytest.mark.proves("A body of up to millions of wrong values is answered with one short error message")
@pytest.mark.parametrize(
    "body",
    [
        b'{"samples": [' + b"1," * 4_000_000 + b"1]}",
        b'{"samples": [' + b"[]," * 2_600_000 + b"[]]}",
        b'{"samples": [' + b"[1.5]," * 100_000 + b"[1.5]]}",
        b'{"samples": [[' + b'["a"],' * 100_000 + b'["a"]]]}',
        b'{"samples": [[[' + b'"a",' * 1_000_000 + b'"a"]]]}',
        b'{"samples": ["a"]' + b"".join(b',"%d":1' % k for k in range(500_000)) + b"}",
        b'{"samples": [{' + b",".join(b'"%d":[]' % k for k in range(100_000)) + b"}]}",
    ],
    ids=["numbers", "lists", "rows", "texts in rows", "texts in a row", "fields", "columns"],
)
@pytest.mark.parametrize("dataset", [NAME, "tones"])
def test_a_body_of_many_invalid_values_gives_one_short_error(
    default_service: LiveService, body: bytes, dataset: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = default_service.client.post(f"/predict/{dataset}", content=body, headers=headers)
    assert answer.status_code == 422
    assert len(answer.content) < 500


@pytest.mark.proves(
    "Health checks and short requests do not wait for pages, and a flood of requests for pages is refused"
)
def test_health_checks_do_not_wait_for_pages(default_service: LiveService) -> None:
    release, handlers = threading.Event(), default_service.service.handlers
    get = default_service.client.get
    waiting = [
        asyncio.run_coroutine_threadsafe(queue.run(lambda: release.wait(PATIENCE)), default_service.loop)
        for queue in (handlers.pages, handlers.feedback._queue)
        for _ in range(1 + work_queue.WAITING)
    ]
    paths = ("/", "/docs", "/monitoring", "/metrics", "/datasets", "/feedback", f"/feedback/{NAME}")
    try:
        for path in paths:
            answer = get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path
            assert "try again in a moment" in answer.json()["error"]
        assert [get(path).status_code for path in ("/health", "/ready")] == [200, 200]
        assert default_service.ask(GLAD).status_code == 200
    finally:
        release.set()
    assert all(future.result(PATIENCE) for future in waiting)
    assert [get(path).status_code for path in paths[:-1]] == [200] * 6


@pytest.mark.proves("Short requests are answered while a request with a thousand explanations runs")
def test_short_requests_are_answered_while_long_requests_run(default_service: LiveService) -> None:
    texts = [f"{letter}{digit} word1" for letter in "abcdefghij" for digit in range(100)]
    finished: list[str] = []

    def send_long_request() -> None:
        default_service.client.post(f"/predict/{NAME}", json={"samples": texts, "explain": True, "variants": True})
        finished.append("long")

    threads = [threading.Thread(target=send_long_request) for _ in range(4)]
    for thread in threads:
        thread.start()
    while "long" not in finished:
        assert default_service.ask(GLAD, explain=True).status_code == 200
        finished.append("short")
    for thread in threads:
        thread.join()
    assert finished.index("long") > 3, finished  # more than three short requests were answered first


# --- HTTP ------------------------------------------------------------------------------------


@pytest.mark.proves("Pipelined requests are answered in order")
def test_pipelined_requests_are_answered_in_order(service: LiveService) -> None:
    health_request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answers = exchange(service, health_request * 5000 + b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == 5000
    assert answers.count(b"HTTP/1.1") == 5001
    assert answers.endswith(b'"field":null}')


@pytest.mark.proves("A request with `Upgrade: h2c` keeps its body")
@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_an_upgrade_is_ignored_and_the_body_is_read(service: LiveService, upgrade: bytes) -> None:
    headers = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\nHTTP2-Settings: AAMAAABk\r\n"
    post = HEAD + headers + b"Content-Length: %d\r\n\r\n" % len(BODY)
    answers = exchange(service, post + BODY + POST)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    with connect(service) as connection:
        connection.sendall(post)
        time.sleep(0.05)
        connection.sendall(BODY)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
    get = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers + b"\r\n"
    assert exchange(service, get * 2).count(b"HTTP/1.1 200 OK") == 2


def test_expect_100_continue_is_answered(service: LiveService) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_a_chunked_body_with_a_trailer_is_read(service: LiveService) -> None:
    chunks = b"%x\r\n%b\r\n5;x=y\r\n     \r\n0\r\nX-Trailer: z\r\n\r\n" % (len(BODY), BODY)
    answer = exchange(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    answer = exchange(service, HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks)
    assert answer.startswith(b"HTTP/1.1 501")


@pytest.mark.proves("A wrong method is answered with 405 and a list of the allowed ones; HEAD works like GET")
@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/openapi.json", "/metrics"])
def test_head_gives_the_headers_of_get_without_a_body(service: LiveService, path: str) -> None:
    get, head = service.client.get(path), service.client.head(path)
    assert (get.status_code, head.status_code) == (200, 200)
    assert head.content == b""
    assert int(head.headers["content-length"]) > 0
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.proves("A wrong method is answered with 405 and a list of the allowed ones; HEAD works like GET")
@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/", "GET, HEAD"), (f"/predict/{NAME}", "POST"), (f"/feedback/{NAME}", "GET, HEAD, POST")],
)
def test_response_to_an_unsupported_method_lists_the_allowed_methods(
    service: LiveService, path: str, allowed: str
) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = service.client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_keep_alive_follows_the_version_and_the_connection_header(service: LiveService) -> None:
    with connect(service) as connection:
        for _ in range(3):
            connection.sendall(POST)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
        connection.sendall(POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        assert b"connection: close" in read_all(connection)
    with connect(service) as connection:
        connection.sendall(POST.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b"connection: close" in read_all(connection)


@pytest.mark.proves("Malformed heads, two Host headers and contradictory lengths are refused in JSON")
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"GET /#x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 501),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1e3\r\n\r\n", 400),
        (HEAD + b"Content-Length: %d\r\n\r\n" % 10**30, 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /health HTTP/1.0\r\n\r\n", 403),  # well-formed, but without the name of an allowed host
    ],
)
def test_a_malformed_request_is_rejected_with_a_json_error(
    service: LiveService, request_bytes: bytes, status: int
) -> None:
    answer = exchange(service, request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert problem(answer)["error"].isprintable()


def test_a_failing_request_gets_500_and_the_next_one_is_served(
    service: LiveService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("feedforward.serving.pages.datasets", fail)
        patch.setattr("feedforward.serving.schemas.answer", fail)
        for answer in (service.client.get("/datasets"), service.ask(GLAD)):
            assert (answer.status_code, answer.json()["field"]) == (500, None)
    assert service.ask(GLAD).status_code == 200
    assert 'feedforward_requests_total{path="predict",status="500"} 1.0' in service.client.get("/metrics").text
