"""Read an untrusted archive: its size is bounded, names and digests are checked before use."""

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from feedforward.archive import layout
from feedforward.archive.layout import DIGESTS, MAX_BYTES, MAX_FILES
from feedforward.core.errors import DataError

MAX_DIRECTORY_BYTES = 2**20  # size of the ZIP file's list of files
_END, _END_64 = b"PK\5\6", b"PK\6\7"  # signatures of the records at the end of a ZIP file, and of a ZIP64 file
REMEDY = "ask for the archive again"


def read_verified(source: Path) -> dict[str, bytes]:
    """Read the content of each file, by name, and check all digests. source: a ZIP file or a folder.

    Raises:
        DataError: the archive cannot be read or is too large, or a file is missing, unlisted or changed, or has a name
            that `export` never writes.
    """
    entries = list(_folder_files(source) if source.is_dir() else _zip_files(source))
    layout.check_names(source, [name for name, _ in entries], "ask for an archive that was exported with this release")
    files = dict(entries)
    try:
        digests = layout.listed_digests(files.get(DIGESTS, b""))
    except ValueError as error:
        raise DataError(
            f"{source}: is not an archive written by `feedforward export FILE.zip` ({DIGESTS}: {error}); {REMEDY}"
        ) from None
    if mismatched := sorted((set(files) - {DIGESTS}) ^ set(digests)):
        state = "is missing" if mismatched[0] in digests else "is not listed in digests.json"
        raise DataError(f"{source}: {mismatched[0]} {state}; {REMEDY}")
    for name, expected in digests.items():
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise DataError(f"{source}: {name} has changed since the export; {REMEDY}")
    return files


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) of digests.json, which identifies the content of the whole archive."""
    return hashlib.sha256(files[DIGESTS]).hexdigest()


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Write verified files into the new `folder`, or over an earlier archive there.

    Raises:
        DataError: the folder exists and contains something other than an archive, or is or contains the current folder.
    """
    layout.write_folder(files, folder, "import", "name another folder with --to")


def _folder_files(source: Path) -> Iterator[tuple[str, bytes]]:
    count = total = 0
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DataError(f"{source}: {path.name} is not a regular file; {REMEDY}")
        if path.is_dir():
            continue
        count, total = count + 1, total + path.stat().st_size
        _check_size(source, count, total)
        yield path.relative_to(source).as_posix(), path.read_bytes()


def _zip_files(source: Path) -> Iterator[tuple[str, bytes]]:
    _check_end(source)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_size(source, len(entries), sum(entry.file_size for entry in entries))
            for entry in entries:
                yield entry.filename, _content(source, archive, entry)
    except (OSError, ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{source}: is not a readable ZIP file ({error}); {REMEDY}") from None


def _content(source: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of an entry, never more than it declares; zipfile checks their CRC at the end."""
    if entry.external_attr >> 28 not in (0, 8):  # the Unix file type: 0 if it is not stated, 8 for a regular file
        raise DataError(f"{source}: {entry.filename} is not a regular file; {REMEDY}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA may ask for 4 GiB of memory
        raise DataError(f"{source}: {entry.filename} must be stored or deflated; {REMEDY}")
    with archive.open(entry) as file:
        content = file.read(entry.file_size)
        if len(content) != entry.file_size or file.read(1):
            raise ValueError(f"{entry.filename} does not have the size that it declares")
        return content


def _check_end(source: Path) -> None:
    """Check the size of the list of files before zipfile reads the list into memory."""
    if source.exists() and not source.is_file():  # reading a pipe might never end
        raise DataError(f"{source}: is not a regular file; name a ZIP file or a folder")
    try:
        size = source.stat().st_size
        with source.open("rb") as file:  # the last record has 22 bytes; in a ZIP64 file, 20 bytes precede it
            file.seek(max(0, size - 42))
            tail = file.read(42)
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror}); name a ZIP file or a folder") from None
    if len(tail) < 22 or not tail[-22:].startswith(_END) or tail.startswith(_END_64):
        raise DataError(f"{source}: is not a ZIP file written by `feedforward export FILE.zip`; {REMEDY}")
    count, directory_bytes = struct.unpack("<HI", tail[-12:-6])
    _check_size(source, count, size)
    if directory_bytes > MAX_DIRECTORY_BYTES:
        expected = f"must have at most {MAX_DIRECTORY_BYTES} bytes, got {directory_bytes}"
        raise DataError(f"{source}: its list of files {expected}; {REMEDY}")


def _check_size(source: Path, files: int, total: int) -> None:
    if files > MAX_FILES or total > MAX_BYTES:
        raise DataError(
            f"{source}: must have at most {MAX_FILES} files and {MAX_BYTES} bytes, got {files} and {total}; {REMEDY}"
        )
