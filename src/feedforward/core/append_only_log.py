"""Append-only files with one JSON object per line: no line is lost, torn, or joined with another."""

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from feedforward.core import atomic_files


def append(path: Path, entry: Mapping[str, Any], most: int | None = None) -> bool:
    """Append one line and wait until it is on disk; False if the file would exceed `most` bytes."""
    return extend(path, [entry], most)


def extend(path: Path, entries: Sequence[Mapping[str, Any]], most: int | None = None) -> bool:
    """Append lines and wait until they are on disk; False if the file would exceed `most` bytes.

    The lines are one write to a file opened for appending, under a lock. If a power failure has torn the
    last line, a line break is written first.
    """
    line = b"".join(atomic_files.canonical_json(entry).encode() + b"\n" for entry in entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(file).st_size
            if most is not None and size + len(line) > most:
                return False
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            content = b"\n" + line if torn else line
            if os.write(file, content) != len(content):
                raise OSError(errno.ENOSPC, "only a part could be written", str(path))
            os.fsync(file)
        finally:
            os.close(file)
    return True


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The entries, oldest first; torn lines are skipped."""
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(entry, dict):
                    yield entry
    except FileNotFoundError:
        return
