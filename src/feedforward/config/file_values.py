"""Cached values of params.yaml: reading the file takes 30 ms, so it is read again only after it has changed."""

import copy
import functools
from pathlib import Path
from typing import Any

from feedforward.config import yaml_reader


def read_cached(path: Path) -> dict[Any, Any]:
    """A copy, which the caller may change, of what `yaml_reader.read` returns; raises the same errors, or OSError."""
    status = path.stat()
    return copy.deepcopy(_read(path, status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=4)
def _read(path: Path, _modified: int, _size: int) -> dict[Any, Any]:
    return yaml_reader.read(path)
