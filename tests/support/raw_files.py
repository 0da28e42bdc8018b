"""Small raw files, and a web server that can fail in several ways."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from feedforward.config.schema import SourceFile

FOLDERS = ("set/train/neg", "set/train/pos", "set/test/neg", "set/test/pos")
REVIEWS = {
    "set/train/neg/0_1.txt": b"A bad, bad film!",
    "set/train/neg/10_2.txt": b"bad and long",
    "set/train/pos/2_9.txt": b"A good film, good fun.",
    "set/test/neg/0_3.txt": b"bad",
    "set/test/pos/1_8.txt": b"unheard of",
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def members_digest(members: dict[str, bytes]) -> str:
    """Return the digest of archive members in canonical order; see the docstring of SourceFile."""
    return sha256(b"".join(f"{name}\0{sha256(content)}\n".encode() for name, content in members.items()))


def npy(array: np.ndarray, **options: Any) -> bytes:
    """Return an array as the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def tar_entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, len(content)
    return entry, content


def tar(entries: list[tuple], layout: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def tar_gz(members: dict[str, bytes], layout: int = tarfile.USTAR_FORMAT) -> bytes:
    return gzip.compress(tar([tar_entry(*item) for item in members.items()], layout), 1)


def reviews_file(**changes: object) -> SourceFile:
    """Return the entry of `files` in params.yaml for the archive tar_gz(REVIEWS)."""
    values = {"archive": "tar", "folders": FOLDERS, "suffix": ".txt", "file_count": len(REVIEWS)}
    return SourceFile(**{**values, "sha256": members_digest(REVIEWS), "max_bytes": 10**6, **changes})


Response = Callable[[http.server.BaseHTTPRequestHandler], None]


def complete(body: bytes, **headers: str) -> Response:
    """Respond with status 200 and this body."""

    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return respond


def cut_off(body: bytes, sent: int) -> Response:
    """Announce the length of the whole body, but close the connection after `sent` bytes."""

    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:sent])

    return respond


def stalled(body: bytes, sent: int, seconds: float) -> Response:
    """Send `sent` bytes, then stall for some seconds."""

    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        cut_off(body, sent)(request)
        request.wfile.flush()
        time.sleep(seconds)

    return respond


def failing(status: int) -> Response:
    return lambda request: request.send_error(status)


class Server:
    """Answers requests for a path with its responses, in order; repeats the last one. requested: all paths so far."""

    def __init__(self, responses: dict[str, list[Response]]) -> None:
        self.responses = responses
        self.requested: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                outer.requested.append(self.path)
                remaining = outer.responses.get(path, [failing(404)])
                with contextlib.suppress(ConnectionError):
                    (remaining.pop(0) if len(remaining) > 1 else remaining[0])(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextlib.contextmanager
def serving(responses: dict[str, list[Response]]) -> Iterator[Server]:
    """Run a server during the block. responses: by path."""
    server = Server(responses)
    thread = threading.Thread(target=functools.partial(server.server.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()
