"""The `champion` alias of a dataset: how it is moved, and how an interrupted move is completed.

Before a move, its entry is written to the audit log. The move sets the alias, and then records in the tags of the
version that it is complete.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from feedforward.core import atomic_files, locks, paths, reasons
from feedforward.promotion import audit_log
from feedforward.promotion.audit_log import Entry
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

DECISION, REASON = "decision", "reason"  # tags of a version
CHAMPION_SINCE = "champion_since"  # tag: time of the audit log entry for the move that made this version champion
COMPLETION_REASON = "an interrupted move of the alias was completed"


@contextlib.contextmanager
def decision_lock(dataset: str) -> Iterator[None]:
    """Hold the dataset's lock, so that decisions are made one at a time. Nothing is trained while it is held.

    Raises:
        Busy: the lock was not released within `locks.LONG`.
    """
    lock = paths.store() / ".locks" / f"promote-{dataset}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locks.holding(lock, locks.LONG):  # it says so if it has to wait
        yield


def move(version: Version, entry: Entry, registry: "Registry") -> None:
    """Make `version` the champion, as the audit log's `entry` records."""
    # While the server is down, nobody may use the champion before; the answer to setting the alias may get lost.
    model_versions.remember_champion(version.dataset, None)
    registry.set_alias(version, model_version.CHAMPION)
    model_versions.remember_champion(version.dataset, version)
    atomic_files.crash_point("promote.after_alias")
    _complete(version, entry, registry)


def reconcile(dataset: str, registry: "Registry") -> Version | None:
    """Make the registry consistent with the audit log, and return the champion. The caller must hold the lock.

    If a move was interrupted before or after the alias was set, this function completes it. If the alias was changed by
    another checkout, or by something other than a promotion or rollback, it keeps the change and adds an entry to the
    log. Entries about versions of another registry are ignored.
    """
    champion = registry.find(dataset, model_version.CHAMPION)
    model_versions.remember_champion(dataset, champion)
    entries = entries_in(registry, dataset)
    if interrupted := _interrupted_move(dataset, champion, entries, registry):
        target, entry = interrupted
        if champion is not None and target.number == champion.number:
            _complete(champion, entry, registry)
            return champion
        completion = audit_log.append(dataset, audit_log.FINISHED, COMPLETION_REASON, target, champion)
        move(target, {**entry, "time": completion["time"]}, registry)
        return target
    if entries and entries[-1]["champion"] != (champion.number if champion else None):
        reason = "the alias was changed by another checkout, or by something other than a promotion or rollback"
        audit_log.append(dataset, audit_log.CHANGED, reason, champion, champion)
    return champion


def interrupted_move(dataset: str, registry: "Registry") -> tuple[Version, Entry] | None:
    """The version that an interrupted move makes champion once `reconcile` completes it, and its entry. Writes nothing.

    The entry is that of the promotion or rollback, with the time of its last completion, if that was interrupted too.
    """
    champion = registry.find(dataset, model_version.CHAMPION)
    return _interrupted_move(dataset, champion, entries_in(registry, dataset), registry)


def entries_in(registry: "Registry", dataset: str) -> list[Entry]:
    """Read the entries about versions in this registry, except refusals, which do not change the champion."""
    versions = {version.number: version for version in registry.versions(dataset)}
    entries = audit_log.entries_in_registry(dataset, versions.get)
    return [entry for entry in entries if entry["decision"] != audit_log.REFUSED]


def _interrupted_move(
    dataset: str, champion: Version | None, entries: Sequence[Entry], registry: "Registry"
) -> tuple[Version, Entry] | None:
    """See `interrupted_move`; None if no move was interrupted."""
    if not entries:
        return None
    last, number = entries[-1], champion.number if champion else None
    if last["champion"] == number:  # the alias was set, but perhaps not the tags
        moves = (entry for entry in reversed(entries) if entry["decision"] in audit_log.MOVES)
        target, entry = champion, next((entry for entry in moves if entry["version"] == number), None)
    elif last["decision"] in audit_log.MOVES and last["before"] == number:
        target, entry = registry.find(dataset, int(last["champion"])), last
    else:
        return None
    if target is None or entry is None or not audit_log.is_about(entry, target):
        return None
    if _is_complete(target, entry, entries):
        return None
    made = (past for past in reversed(entries) if past["decision"] in (audit_log.PROMOTED, audit_log.ROLLED_BACK))
    decided = next((past for past in made if past["version"] == entry["version"]), entry)
    return target, {**decided, "time": entry["time"]}


def since_elsewhere(version: Version, entries: Sequence[Entry]) -> str:
    """When another checkout last made the version champion, according to its tag; empty if this checkout did, or none.

    entries: those of this checkout's log, in their order. Times do not show which entry is later, because a clock may
    have been set back.
    """
    since = version.tags.get(CHAMPION_SINCE, "")
    return "" if any(entry["champion"] == version.number and entry["time"] == since for entry in entries) else since


def _is_complete(version: Version, entry: Entry, entries: Sequence[Entry]) -> bool:
    """Whether the version's tags record the move of the entry, its last one in the log, or a later one elsewhere."""
    if CHAMPION_SINCE in version.tags:
        time = str(entry["time"])
        return version.tags[CHAMPION_SINCE] == time or since_elsewhere(version, entries) > time
    return version.tags.get(DECISION) == audit_log.PROMOTED  # how releases before 0.2 recorded a complete move


def _complete(version: Version, entry: Entry, registry: "Registry") -> None:
    """Record in tags that the move is complete; after a rollback, first mark the version that was rolled back."""
    reason = str(entry["reason"])[: reasons.MAX_CHARACTERS]  # an entry of an earlier release may be longer
    if entry["decision"] == audit_log.ROLLED_BACK and entry["before"]:
        replaced = registry.find(version.dataset, int(entry["before"]))
        if replaced is not None:
            registry.tag(replaced, {DECISION: audit_log.ROLLED_BACK, REASON: reason})
    registry.tag(version, {DECISION: audit_log.PROMOTED, REASON: reason, CHAMPION_SINCE: entry["time"]})
