"""Append-only files with one JSON object per line, written so that lines are not lost, split or joined."""

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from feedforward.core import atomic_files, locks


def append(path: Path, entry: Mapping[str, Any], max_bytes: int | None = None, timeout: float = locks.SHORT) -> bool:
    """Append one line and wait until it is on disk; see `extend`."""
    return extend(path, [entry], max_bytes, timeout)


def extend(
    path: Path, entries: Sequence[Mapping[str, Any]], max_bytes: int | None = None, timeout: float = locks.SHORT
) -> bool:
    """Append lines and wait until they are on disk. Write nothing and return False if this would exceed `max_bytes`.

    All lines are appended in a single write, under a lock. If a power failure has cut off the last line, a line break
    is written first.

    Raises:
        Busy: another process held the lock for `timeout` seconds; nothing is written.
        OSError: the file cannot be written; if the disk is full, a part of the lines may have been written.
    """
    lines = b"".join(atomic_files.canonical_json(entry).encode() + b"\n" for entry in entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.holding(path.with_name(f".{path.name}.lock"), timeout):
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(file).st_size
            if max_bytes is not None and size + len(lines) > max_bytes:
                return False
            is_cut_off = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            content = b"\n" + lines if is_cut_off else lines
            if os.write(file, content) != len(content):
                raise OSError(errno.ENOSPC, "the disk is full, so only part of the entry was written", str(path))
            os.fsync(file)
        finally:
            os.close(file)
    return True


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries, oldest first; skip lines that `parse` refuses. A missing file has none."""
    try:
        with path.open("rb") as file:
            for line in file:
                if (entry := parse(line)) is not None:
                    yield entry
    except FileNotFoundError:
        return


def parse(line: bytes) -> dict[str, Any] | None:
    """The entry in a line; None if the line is not a complete JSON object in valid Unicode."""
    try:
        entry = json.loads(line)
        if b"\\ud" in line.lower():  # an escaped surrogate; encoding raises ValueError if it is unpaired
            json.dumps(entry, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
