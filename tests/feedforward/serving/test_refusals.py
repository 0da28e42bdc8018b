"""Refusals of the service: bad requests, other hosts and origins, malformed bytes."""

import contextlib
import json
import socket
from typing import Any

import numpy as np
import pytest
from bad_requests import FIELDS, REQUESTS
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from live_service import GLAD, LiveService
from registered import NAME
from waiting import PATIENCE

from feedforward.core import paths

pytestmark = pytest.mark.slow


@pytest.mark.proves("A bad request is refused in one line that names the field")
def test_error_for_a_bad_request_is_one_line_that_names_the_field(served: LiveService) -> None:
    assert len(REQUESTS) >= 60
    unexpected = []
    for bad in REQUESTS:
        answer = served.client.request(bad.method, bad.path, content=bad.body, headers=dict(bad.headers))
        problem = answer.json()
        as_expected = (answer.status_code, problem["field"]) == (bad.status, bad.error_field)
        if not as_expected or bad.message not in problem["error"] or not problem["error"].isprintable():
            unexpected.append((bad, bad.body[:60], answer.status_code, problem))
    assert not unexpected
    assert served.ask(GLAD).status_code == 200
    assert not paths.incoming(NAME).exists()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([GLAD, "glad"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.proves("Every request is answered, or refused in one line")
def test_arbitrary_requests_are_answered_or_rejected(served: LiveService) -> None:
    @examples(300)
    @given(
        st.sampled_from(["/predict/notes", "/predict/tones", "/incoming/notes", "/incoming/tones"]),
        st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(st.sampled_from(FIELDS), _json) | _json)
        | st.binary(max_size=99),
        st.sampled_from(["application/json", "text/plain", "image/png", "application/octet-stream", "\xe9", "a;b"]),
    )
    def ask(path: str, body: bytes, content_type: str) -> None:
        answer = served.client.post(path, content=body, headers={b"content-type": content_type.encode("latin-1")})
        assert answer.status_code in (200, 413, 422, 507), (path, body, answer.text)
        assert answer.status_code == 200 or answer.json()["error"].isprintable(), answer.text

    ask()


def test_unsupported_content_types_are_rejected(served: LiveService) -> None:
    for content_type in ("application/x-www-form-urlencoded", "image/png", "", "multipart/form-data; boundary=x"):
        answer = served.client.post(f"/predict/{NAME}", content=b"word1", headers={"content-type": content_type})
        assert (answer.status_code, answer.json()["field"]) == (422, "Content-Type")
    answer = served.client.post("/predict/tones", content=b"not a picture", headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["field"]) == (422, "samples.0")


@pytest.mark.proves("Requests for other host names, or from pages of other sites, are refused")
def test_other_hosts_and_origins_are_rejected(served: LiveService) -> None:
    for headers in (
        {"host": "evil.example"},
        {"host": f"127.0.0.1.evil.example:{served.port}"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{served.port + 1}"},
    ):
        answer = served.client.post(f"/predict/{NAME}", json={"samples": [GLAD]}, headers=headers)
        assert answer.status_code == 403, headers
    same_origin = {"origin": f"http://127.0.0.1:{served.port}"}
    assert served.client.post(f"/predict/{NAME}", json={"samples": [GLAD]}, headers=same_origin).status_code == 200


def send_raw(port: int, content: bytes) -> bytes:
    """Send these bytes, and return the response until the server closes the connection or stops sending."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
        answer = b""
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except OSError:
            pass
        return answer


def malformed(rng: np.random.Generator) -> bytes:
    """Return an invalid request of a random kind."""
    body = json.dumps({"samples": [GLAD], "explain": True}).encode()
    head = f"POST /predict/{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    kind = rng.integers(8)
    if kind == 0:
        return bytes(rng.integers(0, 256, rng.integers(0, 300), np.uint8))
    if kind == 1:
        return request[: rng.integers(len(request))]
    if kind == 2:
        broken = bytearray(request)
        for _ in range(rng.integers(1, 30)):
            broken[rng.integers(len(broken))] = rng.integers(256)
        return bytes(broken)
    if kind == 3:
        return f"{head}Content-Length: {rng.integers(10**12)}\r\n\r\n".encode() + body
    if kind == 4:
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + bytes(rng.integers(0, 256, 50, np.uint8))
    if kind == 5:
        return f"GET /{'a' * rng.integers(100_000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    if kind == 6:
        return head.encode() + b"X: y\r\n" * rng.integers(2000) + b"\r\n"
    unexpected: list[Any] = [
        [],
        {},
        None,
        -1,
        1e308,
        "\x00",
        "\u202e",
        {"samples": {"$gt": ""}},
        {"samples": [[[]]]},
        {"samples": [[["a"]]]},
    ]
    chosen = json.dumps(unexpected[rng.integers(len(unexpected))]).encode()
    return f"{head}Content-Length: {len(chosen)}\r\nConnection: close\r\n\r\n".encode() + chosen


def test_service_stays_up_under_a_thousand_malformed_requests(served: LiveService) -> None:
    rng = np.random.default_rng(5)
    statuses: dict[str, int] = {}
    for _ in range(1000):
        answer = send_raw(served.port, malformed(rng))
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "closed"
        statuses[status] = statuses.get(status, 0) + 1
    assert not any(status.startswith("5") for status in statuses), statuses
    assert statuses.get("422", 0) > 50, statuses
    assert served.ask(GLAD).status_code == 200
    assert served.thread.is_alive()


@pytest.mark.parametrize("beginning", [b"GET /", f"POST /predict/{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ".encode()])
def test_service_rejects_an_endless_request_head(served: LiveService, beginning: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as connection:
        connection.sendall(beginning)
        with contextlib.suppress(ConnectionError):  # the server may close while the test is still sending
            for _ in range(1000):
                connection.sendall(b"a" * 1000)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100).startswith(b"HTTP/1.1 431")
    assert served.ask(GLAD).status_code == 200
