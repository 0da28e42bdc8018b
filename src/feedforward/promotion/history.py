"""Which version was champion, when and why, according to the audit log, and whether MLflow's registry agrees.

The audit log is local. Where another checkout has moved the alias, the tags of the version say when and why.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from feedforward.promotion import audit_log, champion
from feedforward.promotion.audit_log import Entry
from feedforward.tracking import model_versions, names
from feedforward.tracking.model_version import Version


@dataclass(frozen=True)
class Period:
    """A period in which one version was champion. since, until: ISO 8601, UTC; until is None for the current champion.

    decision: the decision in the audit log that made it champion; `changed` if there is none.
    """

    version: int
    run: str | None
    since: str
    until: str | None
    decision: str
    reason: str


@dataclass(frozen=True)
class History:
    """The periods of a dataset's champions, oldest first; only of versions that the registry has, so there can be gaps.

    mismatch: how the registry differs from the audit log, if it does. left_out: which champions in the audit log are
    not in the registry, if any: those of another project, database or server, and deleted versions.
    """

    dataset: str
    periods: list[Period]
    mismatch: str | None
    left_out: str | None


def history(dataset: str) -> History:
    """Read the history of a dataset.

    Raises:
        TrackingError: the registry does not answer. DataError: the audit log was changed.
    """
    periods: list[Period] = []
    find = functools.cache(lambda number: model_versions.find(dataset, number))
    entries = audit_log.entries_in_registry(dataset, find)
    for entry in audit_log.entries(dataset):
        number = entry["champion"]
        if entry["decision"] == audit_log.REFUSED or number == _current(periods):
            continue
        if entry not in entries:
            if _current(periods) is not None and _is_move_to_deleted(entry):
                _end(periods, entry["time"])
        elif number is None or (version := find(number)) is None:
            _end(periods, entry["time"])
        else:
            _begin(periods, _period(entry, version, periods, entries))
    current = model_versions.find(dataset)
    mismatch = _mismatch(dataset, _current(periods), current)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    if mismatch and current and (period := _period_from_tags(current, periods, entries, now)):
        _begin(periods, period)
    return History(dataset, periods, mismatch, _left_out(dataset, entries))


def _is_move_to_deleted(entry: Entry) -> bool:
    """Whether an entry about a version that the registry lacks made it champion here, and not on another server."""
    project, run = names.current_project(), str(entry.get("run"))
    if entry["decision"] not in audit_log.MOVES or entry.get("project", project) != project:
        return False
    if not re.fullmatch("[0-9a-f]{32}", run):  # edited
        return False
    from feedforward.tracking.registry import Registry  # imports MLflow, which takes two seconds

    return bool(Registry().runs_with_id_prefix(run))


def _current(periods: Sequence[Period]) -> int | None:
    return periods[-1].version if periods and periods[-1].until is None else None


def _begin(periods: list[Period], period: Period) -> None:
    _end(periods, period.since)
    periods.append(period)


def _end(periods: list[Period], until: str) -> None:
    if _current(periods) is not None:
        periods[-1] = replace(periods[-1], until=until)


def _period(entry: Entry, version: Version, earlier: Sequence[Period], entries: Sequence[Entry]) -> Period:
    """The period of the entry's champion, which began with the entry, or before it in another checkout."""
    if entry["decision"] in audit_log.MOVES:
        return Period(entry["champion"], entry.get("run"), entry["time"], None, entry["decision"], entry["reason"])
    if period := _period_from_tags(version, earlier, entries, entry["time"]):
        return period
    reason = entry["reason"] if entry["version"] == entry["champion"] else "it is not in this audit log"
    return Period(entry["champion"], version.run_id, entry["time"], None, audit_log.CHANGED, reason)


def _period_from_tags(
    version: Version, earlier: Sequence[Period], entries: Sequence[Entry], latest: str
) -> Period | None:
    """The version's last period as its tags record it, if it began in another checkout, after the `earlier` ones and
    not after `latest`. entries: those of this checkout's log.
    """
    since = champion.since_elsewhere(version, entries)
    is_later = (earlier[-1].since if earlier else "") < since <= latest
    if not is_later or version.tags.get(champion.DECISION) != audit_log.PROMOTED:
        return None
    reason = f"according to its tags: {version.tags.get(champion.REASON, '')}"
    return Period(version.number, version.run_id, since, None, audit_log.CHANGED, reason)


def _left_out(dataset: str, entries: Sequence[Entry]) -> str | None:
    others = [entry for entry in audit_log.entries(dataset) if entry["version"] and entry not in entries]
    champions = {(entry["version"], entry.get("run")) for entry in others if entry["champion"] == entry["version"]}
    if not champions:
        return None
    names = ", ".join(f"version {number} (run {str(run)[:8]})" for number, run in sorted(champions, key=str))
    return f"champions that are in the audit log, but not in this registry, are left out: {names}"


def _mismatch(dataset: str, logged: int | None, current: Version | None) -> str | None:
    actual = current.number if current else None
    if actual == logged:
        return None
    return (
        f"the audit log of this checkout has {_describe(logged)}, but the registry has {_describe(actual)};"
        f" the next `feedforward promote {dataset}` records or completes the change"
    )


def _describe(number: int | None) -> str:
    return "no champion" if number is None else f"version {number} as champion"
