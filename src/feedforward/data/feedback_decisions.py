"""What people decided about samples from users: accepted for training, or struck out. Append-only.

    {"time": …, "sample": …, "digest": …, "label": …, "decision": "accepted" or "rejected",
     "by": …, "via": "command" or "page", "reason": …}

`sample` identifies a sample with its label; its last line counts. A line is on disk before a decision is reported.
"""

import getpass
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from feedforward.core import append_only_log, paths

Verdict = Literal["accepted", "rejected"]
ACCEPTED: Verdict = "accepted"
REJECTED: Verdict = "rejected"
ID_DIGITS = 12


@dataclass(frozen=True)
class Decision:
    """The last decision about a sample. time: ISO 8601, UTC. by: login name."""

    verdict: str
    time: str
    by: str
    reason: str


def sample_id(entry: Mapping[str, Any]) -> str:
    """Identifies content and label, since one text may have been given two labels: hexadecimal digits."""
    return hashlib.sha256(f"{entry.get('digest')}\n{entry.get('label')}".encode()).hexdigest()[:ID_DIGITS]


def read(name: str) -> dict[str, Decision]:
    """The last decision about each sample of a dataset, by id."""
    decisions = {}
    for line in append_only_log.read(paths.reviews(name)):
        if line.get("decision") in (ACCEPTED, REJECTED):
            texts = (str(line.get(key, "")) for key in ("decision", "time", "by", "reason"))
            decisions[str(line.get("sample"))] = Decision(*texts)
    return decisions


def append(name: str, entries: Iterable[Mapping[str, Any]], verdict: Verdict, via: str, reason: str) -> None:
    """Record one verdict on several samples; complete lines are kept if the process is killed."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    who = {"decision": verdict, "by": user(), "via": via, "reason": reason}
    lines = [
        {"time": time, "sample": sample_id(entry), "digest": entry.get("digest"), "label": entry.get("label"), **who}
        for entry in entries
    ]
    append_only_log.extend(paths.reviews(name), lines)


def user() -> str:
    """The login name of this process's user, or its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry in the system's list of users, as in some containers
        return str(os.getuid())
