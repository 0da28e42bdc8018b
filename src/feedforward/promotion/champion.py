"""The `champion` alias of a dataset: how it is moved, and how an interrupted move is completed.

A move writes its entry to the audit log, sets the alias, and then records in the version's tags that it is complete.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from feedforward.core import atomic_files, paths
from feedforward.core.errors import Busy
from feedforward.promotion import audit_log
from feedforward.promotion.audit_log import Entry
from feedforward.tracking import model_version
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

DECISION, REASON = "decision", "reason"  # tags of a version
CHAMPION_SINCE = "champion_since"  # tag: time of the audit log entry for the move that made this version champion
LOCK_TIMEOUT = 600.0  # s
COMPLETION_REASON = "an interrupted move of the alias was completed"


@contextlib.contextmanager
def decision_lock(dataset: str) -> Iterator[None]:
    """Hold the dataset's lock, so that decisions are made one at a time.

    Raises:
        Busy: the lock was not released within LOCK_TIMEOUT.
    """
    lock = paths.store() / ".locks" / f"promote-{dataset}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=LOCK_TIMEOUT):
            yield
    except Timeout:
        raise Busy(f"{lock}: another promotion of {dataset} is running; run the command again later") from None


def move(version: Version, entry: Entry, registry: "Registry") -> None:
    """Make `version` the champion, as the audit log's `entry` records."""
    registry.set_alias(version, model_version.CHAMPION)
    atomic_files.crash_point("promote.after_alias")
    _complete(version, entry, registry)


def reconcile(dataset: str, registry: "Registry") -> Version | None:
    """Make the registry consistent with the audit log, and return the champion. The caller must hold the lock.

    If a move was interrupted before or after the alias was set, this function completes it. If the alias was changed by
    something other than a promotion or rollback, it keeps the change and adds an entry to the log.
    """
    champion = registry.find(dataset, model_version.CHAMPION)
    number = champion.number if champion else None
    entries = [entry for entry in audit_log.entries(dataset) if entry["decision"] != audit_log.REFUSED]
    if not entries:
        return champion
    last = entries[-1]
    if last["champion"] == number:
        moves = [entry for entry in entries if entry["decision"] in audit_log.MOVES and entry["version"] == number]
        if champion is not None and moves and not _is_complete(champion, moves[-1]):
            _complete(champion, moves[-1], registry)
        return champion
    if last["decision"] in audit_log.MOVES and last["before"] == number:
        target = registry.find(dataset, int(last["champion"]))
        if target is not None and not _is_complete(target, last):
            completion = audit_log.append(dataset, audit_log.FINISHED, COMPLETION_REASON, target, champion)
            move(target, {**last, "time": completion["time"]}, registry)
            return target
    reason = "the alias was changed by something other than a promotion or rollback"
    audit_log.append(dataset, audit_log.CHANGED, reason, champion, champion)
    return champion


def _is_complete(version: Version, entry: Entry) -> bool:
    if CHAMPION_SINCE in version.tags:
        return version.tags[CHAMPION_SINCE] >= str(entry["time"])
    return version.tags.get(DECISION) == audit_log.PROMOTED  # how releases before 0.2 recorded a complete move


def _complete(version: Version, entry: Entry, registry: "Registry") -> None:
    """Record in tags that the move is complete; after a rollback, first mark the version that was rolled back."""
    if entry["decision"] == audit_log.ROLLED_BACK and entry["before"]:
        replaced = registry.find(version.dataset, int(entry["before"]))
        if replaced is not None:
            registry.tag(replaced, {DECISION: audit_log.ROLLED_BACK, REASON: entry["reason"]})
    registry.tag(version, {DECISION: audit_log.PROMOTED, REASON: entry["reason"], CHAMPION_SINCE: entry["time"]})
