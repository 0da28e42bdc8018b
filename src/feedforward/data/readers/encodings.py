"""Recognize gzip, UTF-16 and UTF-32 by the first bytes of a file."""

import codecs
import gzip
import zlib
from pathlib import Path
from typing import IO, cast

GZIP = b"\x1f\x8b"  # first bytes of a gzipped file
# What reading a file can raise, even after some of its content: EOFError and zlib.error for a truncated or damaged gzip
UNREADABLE = (OSError, EOFError, zlib.error)
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # must come first: it begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def detect_wide(start: bytes) -> str | None:
    """UTF-32 or UTF-16 if a text starts with such a byte-order mark or with two ASCII characters in UTF-16, else None.

    >>> [detect_wide(start) for start in ("ab".encode("utf-16-le"), "ab".encode("utf-16"), b"abcd")]
    ['utf-16-le', 'utf-16', None]
    """
    if b"\0" not in start[:4] and start[:2] not in BYTE_ORDER_MARKS:  # nearly always
        return None
    zeros = bytes(byte == 0 for byte in start[:4])
    without_mark = {b"\0\1\0\1": "utf-16-le", b"\1\0\1\0": "utf-16-be"}.get(zeros)
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if start.startswith(mark)), without_mark)


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file, and decompress it if it is gzipped, whatever its name.

    Raises:
        OSError: the file cannot be read. Reading from the result may raise any exception of UNREADABLE.
    """
    with path.open("rb") as file:
        is_packed = file.read(2) == GZIP
    return cast(IO[bytes], gzip.open(path)) if is_packed else path.open("rb")
