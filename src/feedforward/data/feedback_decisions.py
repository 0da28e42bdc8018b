"""An append-only log of decisions about user-submitted samples: accepted for training, or rejected.

    {"time": …, "sample": …, "digest": …, "label": …, "decision": "accepted" or "rejected",
     "by": …, "via": "command" or "page", "reason": …}

`sample` is the sample's ID, which `digest` and `label` determine; only the last line about a sample counts. A decision
is reported only after its line is on disk.
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


@dataclass(frozen=True)
class Decision:
    """The last decision about a sample. time: ISO 8601, UTC. by: login name."""

    verdict: str
    time: str
    by: str
    reason: str


def sample_id(entry: Mapping[str, Any]) -> str:
    """The SHA-256 digest of content and label, because users may give the same text different labels.

    It is not shortened: a user who finds two samples with one ID could have one accepted, and then submit the other.
    """
    return hashlib.sha256(f"{entry.get('digest')}\n{entry.get('label')}".encode()).hexdigest()


def is_wanted(decision: Decision | None, review: bool) -> bool:
    """Whether training may use a sample about which this was decided. review: whether somebody must have accepted it.

    >>> is_wanted(None, review=False), is_wanted(None, review=True)
    (True, False)
    """
    return not review if decision is None else decision.verdict == ACCEPTED


def read(name: str) -> dict[str, Decision]:
    """The last decision about each sample of a dataset, by sample ID."""
    decisions = {}
    for line in append_only_log.read(paths.reviews(name)):
        if line.get("decision") in (ACCEPTED, REJECTED):
            texts = (str(line.get(key, "")) for key in ("decision", "time", "by", "reason"))
            decisions[sample_id(line)] = Decision(*texts)  # `sample` was shorter in earlier releases
    return decisions


def append(name: str, entries: Iterable[Mapping[str, Any]], verdict: Verdict, via: str, reason: str) -> None:
    """Record the same verdict on several samples; if the process is killed, only complete lines count."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    common = {"decision": verdict, "by": user(), "via": via, "reason": reason}
    lines = [
        {"time": time, "sample": sample_id(entry), "digest": entry.get("digest"), "label": entry.get("label"), **common}
        for entry in entries
    ]
    append_only_log.extend(paths.reviews(name), lines)


def user() -> str:
    """The login name of the user who runs this process, or the user ID if there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user database has no entry, as in some containers
        return str(os.getuid())
