"""Which version was champion, when and why, according to the audit log, and whether MLflow's registry agrees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from feedforward.promotion import audit_log
from feedforward.promotion.audit_log import Entry
from feedforward.tracking import model_versions


@dataclass(frozen=True)
class Period:
    """A period in which one version was champion. since, until: ISO 8601, UTC; until is None for the current champion.

    decision: the decision in the audit log that made it champion.
    """

    version: int
    run: str | None
    since: str
    until: str | None
    decision: str
    reason: str


@dataclass(frozen=True)
class History:
    """The periods of a dataset's champions, oldest first; only of versions that the registry has.

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
    entries = audit_log.entries_in_registry(dataset, lambda number: model_versions.find(dataset, number))
    for entry in entries:
        number = entry["champion"]
        current = periods[-1] if periods and periods[-1].until is None else None
        if entry["decision"] == audit_log.REFUSED or number == (current.version if current else None):
            continue
        if current is not None:
            periods[-1] = replace(current, until=entry["time"])
        if number is not None:
            run = entry.get("run") if entry.get("version") == number else None
            periods.append(Period(number, run, entry["time"], None, entry["decision"], entry["reason"]))
    return History(dataset, periods, _mismatch(dataset, periods), _left_out(dataset, entries))


def _left_out(dataset: str, entries: Sequence[Entry]) -> str | None:
    others = [entry for entry in audit_log.entries(dataset) if entry["version"] and entry not in entries]
    champions = {(entry["version"], entry.get("run")) for entry in others if entry["champion"] == entry["version"]}
    if not champions:
        return None
    names = ", ".join(f"version {number} (run {str(run)[:8]})" for number, run in sorted(champions, key=str))
    return f"champions that are in the audit log, but not in this registry, are left out: {names}"


def _mismatch(dataset: str, periods: list[Period]) -> str | None:
    champion = model_versions.find(dataset)
    actual = champion.number if champion else None
    logged = periods[-1].version if periods and periods[-1].until is None else None
    if actual == logged:
        return None
    return (
        f"the audit log has {_describe(logged)}, but the registry has {_describe(actual)};"
        f" the next `feedforward promote {dataset}` records or completes the change"
    )


def _describe(number: int | None) -> str:
    return "no champion" if number is None else f"version {number} as champion"
