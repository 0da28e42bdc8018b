"""Prefect's server rejects requests to other host names, or from pages of other origins."""

import pytest

from pipelines.host_check import LOOPBACK, is_allowed

HOST = (b"host", b"127.0.0.1:4200")


@pytest.mark.parametrize(
    "headers",
    [
        [HOST],
        [(b"Host", b"LOCALHOST:4200")],
        [(b"host", b"localhost")],
        [(b"host", b"[::1]:4200")],
        [HOST, (b"origin", b"http://127.0.0.1:4200")],
        [HOST, (b"origin", b"https://127.0.0.1:4200")],  # behind a proxy with TLS
    ],
)
def test_loopback_names_are_allowed(headers: list[tuple[bytes, bytes]]) -> None:
    assert is_allowed(headers, LOOPBACK)


@pytest.mark.proves("Prefect's server accepts no other host name or origin")
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"")],
        [(b"host", b"evil.example:4200")],
        [(b"host", b"evil.example"), HOST],
        [HOST, (b"host", b"evil.example")],
        [HOST, HOST],
        [(b"host", b"127.0.0.1.evil.example")],
        [(b"host", b"evil@127.0.0.1:4200")],
        [(b"host", b"127.0.0.1:4200#evil")],
        [(b"host", b"127.0.0.1:4200/evil")],
        [(b"host", b"127.0.0.1:4200\n")],
        [(b"host", b"127.0.0.1:")],
        [(b"host", b"127.0.0.2")],
        [HOST, (b"origin", b"http://evil.example")],
        [HOST, (b"origin", b"null")],
        [HOST, (b"origin", b"http://127.0.0.1:8888")],  # another server on this machine
        [HOST, (b"origin", b"http://127.0.0.1:4200"), (b"origin", b"http://evil.example")],
    ],
)
def test_other_hosts_and_origins_are_rejected(headers: list[tuple[bytes, bytes]]) -> None:
    assert not is_allowed(headers, LOOPBACK)
