"""Stream files from a folder, an HTTP server, S3, or any other fsspec location.

Over HTTP and from S3, each wait has a time limit; elsewhere, a slow source is noticed only when data arrive.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from feedforward.core.redaction import redact
from feedforward.data.sources.progress_bar import Bar

CHUNK = 2**16  # bytes
SLOWEST = 1024  # bytes per second; a slower source counts as stalled


@dataclass(frozen=True)
class RetryPolicy:
    """Limits for a network source; times are in seconds. The pause before a retry doubles each time."""

    stall_s: float = 30.0
    retries: int = 3
    pause_s: float = 1.0


class Unreachable(Exception):
    """A source does not provide a file or folder. final: whether a retry would be pointless."""

    def __init__(self, reason: str, final: bool) -> None:
        super().__init__(reason)
        self.final = final


def is_local(location: str) -> bool:
    """Whether a location is a path. Others start with a protocol.

    >>> is_local("/data/a::b.csv"), is_local("s3://bucket/a.csv"), is_local("zip::s3://bucket/a.zip")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)", location) is None


def read(location: str, policy: RetryPolicy, bar: Bar) -> Iterator[bytes]:
    """Yield the bytes of a source as they arrive; an error of any kind is raised as Unreachable."""
    try:
        options, open_options = _options(location, policy)
        system, path = _file_system(location, options)
        with system.open(path, "rb", **open_options) as stream:
            size = getattr(stream, "size", None) or getattr(getattr(stream, "r", None), "content_length", None)
            bar.start(location.partition("?")[0].rpartition("/")[2], size)
            start, received = time.monotonic(), 0
            while chunk := stream.read(CHUNK):
                bar.advance(len(chunk))
                yield chunk
                received += len(chunk)
                if (waited := time.monotonic() - start) > policy.stall_s:
                    if received < SLOWEST * waited:
                        raise TimeoutError
                    start, received = time.monotonic(), 0
    except Exception as error:  # every backend of fsspec raises its own exceptions
        raise _to_unreachable(error, policy) from None


def read_folder(
    location: str, folders: Sequence[str], is_wanted: Callable[[str], bool], policy: RetryPolicy, bar: Bar
) -> Iterator[tuple[str, bytes]]:
    """Yield names (FOLDER/FILE) and contents of the files directly in `folders`, sorted by name within each folder.

    is_wanted: whether a file with this name is read.

    Raises:
        Unreachable: a folder does not exist, or this kind of source cannot list folders.
    """
    if location.startswith(("http://", "https://")):
        raise Unreachable("a folder cannot be listed over HTTP; pack it as a tar archive", final=True)
    try:
        options, _ = _options(location, policy)
        system, path = _file_system(location, options)
        bar.start(location.rpartition("/")[2], None)
        for folder in folders:
            for entry in sorted(system.ls(f"{path}/{folder}", detail=True), key=lambda entry: str(entry["name"])):
                name = f"{folder}/{str(entry['name']).rpartition('/')[2]}"
                # a link to a file has a type of its own
                if entry["type"] != "directory" and is_wanted(name) and system.isfile(entry["name"]):
                    content: bytes = system.cat_file(entry["name"])
                    bar.advance(len(content))
                    yield name, content
    except Exception as error:  # every backend of fsspec raises its own exceptions
        raise _to_unreachable(error, policy) from None


def _file_system(location: str, options: dict[str, Any]) -> tuple[Any, str]:
    """The file system of a location, and the path there."""
    import fsspec

    if is_local(location):  # fsspec would split a path at `::`
        return fsspec.filesystem("file"), location
    system, path = fsspec.core.url_to_fs(location, **options)
    return system, path


def _options(location: str, policy: RetryPolicy) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options for the file system, and for opening a file on it."""
    if location.startswith(("http://", "https://")):
        import aiohttp

        wait = aiohttp.ClientTimeout(total=None, sock_connect=policy.stall_s, sock_read=policy.stall_s)
        # With the defaults of auto_decompress and Accept-Encoding, .gz files of some servers would arrive decompressed
        client = {"timeout": wait, "trust_env": True, "auto_decompress": False}
        return {"client_kwargs": client, "headers": {"Accept-Encoding": "identity"}}, {"block_size": 0, "size": -1}
    if location.startswith("s3://"):
        seconds = {"connect_timeout": policy.stall_s, "read_timeout": policy.stall_s}
        return {"config_kwargs": {**seconds, "retries": {"max_attempts": 1}}}, {}
    return {}, {}


def _to_unreachable(error: Exception, policy: RetryPolicy) -> Unreachable:
    status = getattr(error, "status", None)
    if isinstance(error, TimeoutError):
        return Unreachable(f"stalled for {policy.stall_s:g} s", final=False)
    if isinstance(error, FileNotFoundError):
        return Unreachable("no such file or folder", final=True)
    if isinstance(status, int):
        return Unreachable(f"HTTP status {status}", final=400 <= status < 500 and status not in (408, 429))
    reason = redact((str(error).splitlines() or [""])[0])
    final = isinstance(error, (PermissionError, IsADirectoryError, ImportError, ValueError))
    return Unreachable(f"{type(error).__name__} {reason}".strip(), final)
