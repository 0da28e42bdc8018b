"""Read the regular members of a tar stream with `tarfile` in streaming mode.

Nothing is extracted, so no name becomes a path.

`tarfile` stops silently at a damaged header in the middle of an archive, and reads extension headers of any size;
`_Header` rejects both. Reading IMDb's archive of 100,000 reviews takes 2.5 s of CPU time and 221 MiB of memory, once
per fetch. A hand-written parser took 1.8 s and 204 MiB, which did not justify its 90 lines.
"""

import tarfile
from collections.abc import Callable, Iterable, Iterator
from tarfile import HeaderError
from typing import Any

from feedforward.core.errors import DataError

LARGEST_EXTENSION = 2**20  # bytes of a pax or long-name header
EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# Errors that `tarfile` raises for hostile headers
DAMAGE_ERRORS = (tarfile.TarError, ValueError, OverflowError, IndexError, KeyError, AttributeError)


def members(chunks: Iterable[bytes], is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each regular member for whose name `is_wanted` returns True.

    Raises:
        DataError: the archive is damaged, or contains a sparse file or an oversized header.
        EOFError: the stream ended early.
    """
    stream: Any = _Stream(chunks)  # `tarfile` calls nothing but `read`
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header, encoding="utf-8", errors="replace") as archive:
            while (member := archive.next()) is not None:
                if member.size < 0:
                    raise DataError(f"tar: damaged pax header: {member.size} bytes")
                if member.issparse() or any(key.startswith("GNU.sparse.") for key in member.pax_headers):
                    raise DataError("tar: sparse files are not supported; pack the archive without --sparse")
                name = member.name.removeprefix("./")
                if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and is_wanted(name):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield name, content.read()
    except DAMAGE_ERRORS as error:
        if stream.ended:
            raise EOFError("the tar archive ends early") from None
        raise DataError(
            f"tar: damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from None
    stream.drain()  # so that the checksum at the end of the gzip stream is read


class _Header(tarfile.TarInfo):
    """A tar header that raises an error if it is damaged, cut off or too large, wherever it is in the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> "_Header":
        """Read the next header, with its extensions."""
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if hasattr(error, "ends_archive"):
                raise
            raise DataError(f"tar: damaged header ({error})") from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """Parse a header block; an empty block ends the archive."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except HeaderError as error:
            if len(buf) < tarfile.BLOCKSIZE:
                raise EOFError("the tar archive ends early") from None
            if not any(buf):
                error.ends_archive = True  # type: ignore[attr-defined]
                raise
            raise DataError(f"tar: damaged header ({error}), {preview(bytes(buf))}") from None
        if header.type in EXTENSIONS and header.size > LARGEST_EXTENSION:
            raise DataError(
                f"tar: extension header of {header.size:,} bytes; at most {LARGEST_EXTENSION:,} are allowed"
            )
        return header


class _Stream:
    """A readable object over chunks of any size. ended: whether a read went past the end of the data."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._rest, self.ended = iter(chunks), b"", False

    def read(self, size: int) -> bytes:
        """Return `size` bytes; fewer only at the end."""
        pieces, missing = [], size
        while missing:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    self.ended = True
                    break
            piece, self._rest = self._rest[:missing], self._rest[missing:]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def drain(self) -> None:
        """Read to the end."""
        for _ in self._chunks:
            pass


def preview(data: bytes) -> str:
    """The first bytes of unexpected content, printable."""
    start = data[:40].strip(b"\0")
    return f"a web page ({start!r}…)" if start.lstrip().startswith(b"<") else f"{start!r}…"
