"""Parsing the bytes of a connection: the same requests, however the bytes are split."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from feedforward.serving.http.requests import BodyMemory, Limits, Request, RequestReader
from feedforward.serving.problems import ErrorResponse

LIMITS = Limits(body_bytes=200_000, bodies_bytes=150_000)
STREAM = (
    b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"GET /d HTTP/1.1\r\nHOST: y\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    b"POST /e HTTP/1.1\r\nHost: z\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"
    b"GET /f HTTP/1.0\r\n\r\n"
)


def read(parts: list[bytes]) -> list[Request | ErrorResponse]:
    reader = RequestReader(LIMITS, BodyMemory(LIMITS.bodies_bytes))
    return [item for part in parts for item in reader.feed(part)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_parsing_does_not_depend_on_how_the_bytes_are_split(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    items = read([STREAM[start:end] for start, end in itertools.pairwise(edges) if start < end])
    assert items == read([STREAM])
    assert [(item.method, item.target, item.body) for item in items if isinstance(item, Request)] == [
        ("POST", b"/a?b=c", b"hello"),
        ("GET", b"/d", b""),
        ("POST", b"/e", b"abcde"),
        ("GET", b"/f", b""),
    ]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_arbitrary_bytes_give_requests_and_at_most_one_final_error(head: bytes, body: bytes) -> None:
    for content in (head, b"POST /a HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + body):
        items = read([content, body])
        assert not any(isinstance(item, ErrorResponse) for item in items[:-1])


def test_memory_for_large_bodies_is_reserved_until_it_is_released() -> None:
    memory = BodyMemory(LIMITS.bodies_bytes)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    first, second = RequestReader(LIMITS, memory), RequestReader(LIMITS, memory)
    [request] = first.feed(head + b"a" * 100_000)
    assert isinstance(request, Request)
    assert (request.reserved, memory.used) == (100_000, 100_000)
    assert second.feed(head + b"a" * 60_000) == []
    assert memory.used == 100_000  # a body reserves nothing until more than 64 KiB have arrived
    [refusal] = second.feed(b"a" * 40_000)
    assert isinstance(refusal, ErrorResponse)
    assert refusal.status == 503
    assert memory.used == 100_000
    memory.release(request.reserved)
    assert memory.used == 0


def test_too_many_headers_are_rejected_before_they_are_stored() -> None:
    reader = RequestReader(LIMITS, BodyMemory(LIMITS.bodies_bytes))
    assert reader.feed(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * (LIMITS.headers - 1)) == []
    [refusal] = reader.feed(b"a:\r\n" * 1000)
    assert isinstance(refusal, ErrorResponse)
    assert refusal.status == 431


def test_the_expect_header_is_case_insensitive() -> None:
    reader = RequestReader(LIMITS, BodyMemory(LIMITS.bodies_bytes))
    reader.feed(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
    assert reader.expects_continue
