"""Environment variables that every process of this project needs, however the process was started."""

import logging
import os
import sys
import time
import zoneinfo
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Git sets these for hooks. A git command that inherits them acts on the repository of the hook, wherever it is started.
GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
_LOGGER = logging.getLogger(__name__)


def prepare() -> None:
    """Set the variables: no proxy for loopback, this environment's programs first on PATH, MPLBACKEND, a valid TZ.

    GIT_VARIABLES are removed, so that git finds the repository of the workspace.

    Call this before importing libraries. Child processes inherit the variables.
    """
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = _with_required(os.environ.get(name, ""), LOOPBACK, ",")
    programs = str(Path(sys.executable).parent)  # DVC starts stages as `python`, even if no venv is active
    os.environ["PATH"] = os.pathsep.join([programs, *_split_without(os.environ.get("PATH", ""), programs, os.pathsep)])
    os.environ["MPLBACKEND"] = "agg"  # figures are written to files; importing matplotlib fails for an unknown backend
    for name in GIT_VARIABLES:
        os.environ.pop(name, None)
    zone = os.environ.get("TZ")
    if zone and not _is_zone(zone):
        _LOGGER.warning("TZ: must be a time zone such as Europe/Berlin, got %r; using UTC", zone)
        os.environ["TZ"] = "UTC"
        time.tzset()


def _with_required(value: str, required: tuple[str, ...], separator: str) -> str:
    parts = [part.strip() for part in value.split(separator) if part.strip()]
    return separator.join([*parts, *(part for part in required if part not in parts)])


def _split_without(value: str, entry: str, separator: str) -> list[str]:
    return [part for part in value.split(separator) if part and part != entry]


def _is_zone(name: str) -> bool:
    """Whether the time zone database has this name; Great Expectations reads TZ and accepts no other names."""
    try:
        zoneinfo.ZoneInfo(name.removeprefix(":"))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
