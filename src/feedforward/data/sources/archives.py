"""Unpack archives as they stream, within limits, and compute the SHA-256 of their content."""

import hashlib
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from feedforward.config.schema import SourceFile
from feedforward.core.errors import DataError
from feedforward.data import collected_files
from feedforward.data.sources import tar_stream

CHUNK = 2**20  # maximum number of bytes that are unpacked at a time
MAX_PARTS = 100_000  # of a gzip file; more would take too long, because zlib copies the rest of the chunk for each part


def write_content(chunks: Iterable[bytes], file: SourceFile, target: IO[bytes]) -> str:
    """Unpack a file as it streams, and write its content to `target`; return the content's SHA-256 (hex).

    Raises:
        DataError: the data is not an archive of the kind that `file.archive` names, exceeds `max_bytes`, or does not
            have the members that `file` requires; see `write_members`.
        EOFError: the stream ended early.
    """
    # Limit the packed bytes as well, because an endless gzip stream can unpack to nothing
    packed = limit_size(chunks, file.max_bytes + CHUNK)
    if file.archive == "tar":
        unpacked = limit_size(gunzip(packed), file.max_bytes)
        return write_members(tar_stream.members(unpacked, lambda path: is_wanted(path, file)), file, target)
    sha256 = hashlib.sha256()
    for chunk in limit_size(gunzip(packed) if file.archive == "gzip" else packed, file.max_bytes):
        sha256.update(chunk)
        target.write(chunk)
    return sha256.hexdigest()


def content_digest(path: Path, file: SourceFile) -> str | None:
    """SHA-256 (hex) of content that `write_content` wrote; None if it is missing or unreadable."""
    sha256 = hashlib.sha256()
    try:
        if file.archive in ("none", "gzip"):
            with path.open("rb") as stored:
                return hashlib.file_digest(stored, "sha256").hexdigest()
        for names, contents in collected_files.read(path):
            for name, content in zip(names, contents, strict=True):
                sha256.update(_line(name, hashlib.sha256(content).hexdigest()))
    except (OSError, DataError):
        return None
    return sha256.hexdigest()


def source_digest(received: Iterable[Any], file: SourceFile) -> str:
    """SHA-256 (hex) of the current content of a source, without storing it; see `write_content`.

    received: the bytes of a file in chunks, or the names and contents of a folder's members.

    Raises:
        DataError, EOFError: see `write_content`.
    """
    if file.archive in ("none", "gzip"):
        sha256 = hashlib.sha256()
        for chunk in gunzip(received) if file.archive == "gzip" else received:
            sha256.update(chunk)
        return sha256.hexdigest()
    if file.archive == "tar":
        received = tar_stream.members(gunzip(received), lambda path: is_wanted(path, file))
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in _with_valid_names(received, file)}
    return hashlib.sha256(b"".join(_line(path, digests[path]) for path in _sort_paths(digests, file))).hexdigest()


def _sort_paths(paths: Iterable[str], file: SourceFile) -> list[str]:
    """Sort paths by folder, in the order of `folders`, then by name."""
    rank = {folder: number for number, folder in enumerate(file.folders)}
    return sorted(paths, key=lambda path: (rank[path.rpartition("/")[0]], path))


def limit_size(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Yield the chunks unchanged, as long as their total size is within a limit.

    Raises:
        DataError: they have more than `limit` bytes in total.
    """
    received = 0
    for chunk in chunks:
        received += len(chunk)
        if received > limit:
            raise DataError(f"more than the {limit:,} bytes that `max_bytes` allows")
        yield chunk


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack gzip data that has one or more parts, and yield at most CHUNK bytes at a time.

    Raises:
        DataError: the data is damaged or not gzip.
        EOFError: the stream ended early.
    """
    unpacker, parts = None, 0
    for packed in chunks:
        has_more = True
        while has_more:
            if unpacker is None:
                packed = packed.lstrip(b"\0") if parts else packed  # zeros after a part are padding
                if not packed:
                    break
                unpacker, parts = zlib.decompressobj(zlib.MAX_WBITS | 16), parts + 1
            try:
                unpacked = unpacker.decompress(packed, CHUNK)
            except zlib.error as error:
                raise DataError(f"expected gzip, received {tar_stream.preview(packed)} ({error})") from None
            if unpacked:
                yield unpacked
            if parts > MAX_PARTS:
                raise DataError(f"more than {MAX_PARTS:,} gzip parts")
            packed = unpacker.unconsumed_tail or unpacker.unused_data
            has_more = bool(packed) or len(unpacked) == CHUNK  # after a full chunk, zlib may have more
            if unpacker.eof:
                unpacker = None
    if unpacker is not None or not parts:
        raise EOFError("the gzip data ends early")


def write_members(received: Iterable[tuple[str, bytes]], file: SourceFile, target: IO[bytes]) -> str:
    """Write the members as Parquet, in the order described in SourceFile; return their digest.

    Raises:
        DataError: a member occurs twice or has an invalid name, or there are more or fewer than `file` requires.
    """
    members: dict[str, tuple[int, int, str]] = {}
    # Members arrive in any order and must be sorted, so they are buffered, in an unnamed file to save memory
    with tempfile.TemporaryFile(dir=Path(target.name).parent) as buffer:
        for path, content in _with_valid_names(received, file):
            if path in members:
                raise DataError(f"{file.archive}: member {path!a} occurs twice")
            if len(members) == file.file_count:
                raise DataError(
                    f"{file.archive}: more than the {file.file_count:,} members expected in {', '.join(file.folders)}"
                )
            members[path] = (buffer.tell(), len(content), hashlib.sha256(content).hexdigest())
            buffer.write(content)
        if len(members) != (file.file_count or len(members) or 1):
            expected = f"{file.file_count:,} members" if file.file_count else "at least one member"
            raise DataError(
                f"{file.archive}: expected {expected} ({_suffixes(file)}) in {', '.join(file.folders)};"
                f" received {len(members):,}"
            )
        ordered = _sort_paths(members, file)

        def content_of(path: str) -> bytes:
            start, size, _ = members[path]
            buffer.seek(start)
            return buffer.read(size)

        collected_files.write(ordered, [members[path][1] for path in ordered], content_of, target)
    return hashlib.sha256(b"".join(_line(path, members[path][2]) for path in ordered)).hexdigest()


def _suffixes(file: SourceFile) -> str:
    return " or ".join(f"*{suffix}" for suffix in ([file.suffix] if isinstance(file.suffix, str) else file.suffix))


def is_wanted(path: str, file: SourceFile) -> bool:
    """Whether the member at `path` belongs to the content of `file`."""
    folder, _, name = path.rpartition("/")
    return bool(
        folder in file.folders
        and name.endswith(file.suffix)
        and not name.startswith(".")  # hidden files, such as those that macOS adds
        and name
        and not (file.archive == "tar" and {"\0", "\n"} & {*path})  # such names occur almost only in forged archives
    )


def name_problem(path: str) -> str | None:
    """Why content with this path cannot be stored; None if it can.

    >>> name_problem("pos/caf\\udce9.txt")
    'its name is not valid UTF-8'
    """
    if {"\0", "\n"} & {*path}:  # both separate the fields from which the digest is computed
        return "its name contains a line break or NUL"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    return None


def _with_valid_names(received: Iterable[tuple[str, bytes]], file: SourceFile) -> Iterator[tuple[str, bytes]]:
    for path, content in received:
        if problem := name_problem(path):
            raise DataError(f"{file.archive}: member {path!a}: {problem}; rename it in the source, then fetch again")
        yield path, content


def _line(path: str, digest: str) -> bytes:
    return f"{path}\0{digest}\n".encode()
