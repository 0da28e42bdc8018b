"""Requests to invalid addresses, and to servers that do not speak HTTP or need a password."""

import base64
import http.server
import threading
from collections.abc import Iterator

import pytest
from foreign_servers import not_http

from feedforward.core import http_requests


@pytest.fixture
def guarded() -> Iterator[str]:
    """HOST:PORT of a server that answers with the Authorization header, and redirects /away to another address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/")  # type: ignore[attr-defined]
                self.end_headers()
                return
            self.send_response(200 if self.path == "/" else 404)
            self.end_headers()
            self.wfile.write(self.headers.get("Authorization", "none").encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_user_name_and_password_of_the_address_are_sent_to_its_server_only(guarded: str) -> None:
    expected = "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert http_requests.get(f"http://user:p%40ss@{guarded}/", 10).decode() == expected
    assert http_requests.get(f"http://user:p%40ss@{guarded}/", 10, max_bytes=5) == b"Basic"
    assert http_requests.get(f"http://user:p%40ss@{guarded}/away", 10) == b"none"
    with pytest.raises(OSError, match="404"):
        http_requests.get(f"http://{guarded}/missing", 10)


@pytest.mark.parametrize(
    "address",
    ["http://host:abc", "http://host:70000", "http://host:0", "http://[", "http://", "file:///etc/hosts", "host:80"],
)
def test_an_invalid_address_is_an_os_error(address: str) -> None:
    with pytest.raises(OSError, match="not an address of the form http://HOST:PORT"):
        http_requests.get(address, 1)


def test_an_answer_that_is_not_http_is_an_os_error() -> None:
    with not_http() as address, pytest.raises(OSError, match="the answer is not valid HTTP"):
        http_requests.get(f"http://{address}/health", 5)


def test_a_password_that_makes_an_address_invalid_is_not_shown() -> None:
    with pytest.raises(OSError, match=r".") as error:
        http_requests.get("http://user:secret/word@127.0.0.1:1/health", 1)
    assert "secret" not in str(error.value)
