"""The alias `champion` of a dataset: who moves it, and how an interrupted move is finished.

A move writes its line to the audit log, sets the alias, and then records in the version's tags that it is complete.
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
MOVED = "champion_since"  # tag: time of the line of the audit log that made the version champion
LOCK_TIMEOUT = 600.0  # s
INTERRUPTED = "an interrupted move of the alias was finished"


@contextlib.contextmanager
def exclusive(dataset: str) -> Iterator[None]:
    """Hold the dataset's lock: decisions are made one at a time, and the others wait.

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
    """Make `version` the champion, as the line `entry` of the audit log says."""
    registry.set_alias(version, model_version.CHAMPION)
    atomic_files.crash_point("promote.after_alias")
    _complete(version, entry, registry)


def reconcile(dataset: str, registry: "Registry") -> Version | None:
    """The champion, after the registry was made consistent with the audit log. Call it under the lock.

    A move that was interrupted before or after the alias was set is finished. An alias that was changed outside of the
    gate is kept, and noted in the log.
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
            finished = audit_log.append(dataset, audit_log.FINISHED, INTERRUPTED, target, champion)
            move(target, {**last, "time": finished["time"]}, registry)
            return target
    audit_log.append(dataset, audit_log.CHANGED, "the alias was changed outside of the gate", champion, champion)
    return champion


def _is_complete(version: Version, entry: Entry) -> bool:
    if MOVED in version.tags:
        return version.tags[MOVED] >= str(entry["time"])
    return version.tags.get(DECISION) == audit_log.PROMOTED  # as releases before 0.2 recorded it


def _complete(version: Version, entry: Entry, registry: "Registry") -> None:
    """Record in tags that the move is complete; a version that was rolled back is marked first."""
    if entry["decision"] == audit_log.ROLLED_BACK and entry["before"]:
        replaced = registry.find(version.dataset, int(entry["before"]))
        if replaced is not None:
            registry.tag(replaced, {DECISION: audit_log.ROLLED_BACK, REASON: entry["reason"]})
    registry.tag(version, {DECISION: audit_log.PROMOTED, REASON: entry["reason"], MOVED: entry["time"]})
