"""The audit log of promotions: one entry per decision, and one per other change of the `champion` alias.

    {"time": …, "project": …, "dataset": …, "version": …, "run": …, "digest": …, "model": …, "decision": …, "reason": …,
     "gain": …, "before": …, "champion": …}

`version`, `run`, `digest` and `model` (the ID of its logged model in MLflow) identify the version that the decision is
about; `before` and `champion` are the numbers of the champions before and after the decision, null for no champion. The
entry is written before the alias moves, so an interrupted move is visible in the log and can be completed
(`champion.reconcile`).

Every registry numbers its versions from 1, and again from 1 if a registered model is deleted and created anew. After
such a deletion, or a change of the project's name, the database or the tracking server, the log also has entries about
versions that this registry does not have. `entries_in_registry` leaves these entries out.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feedforward.core import append_only_log, paths, reasons
from feedforward.core.errors import DataError
from feedforward.core.redaction import redact
from feedforward.tracking import model_version, names
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.promotion.policy import Gain  # importing it would import SciPy, which serving does not need

# decisions about a challenger; kept: the champion was kept, and the challenger is valid but does not replace it
PROMOTED, KEPT, REFUSED = "promoted", "kept", "refused"
WAITING = "waiting"  # better than the champion, but the shadow has not compared enough requests yet
FAILED = "failed"  # the challenger's evaluation could not be finished
ROLLED_BACK = "rolled_back"  # an earlier version is champion again
FINISHED = "finished"  # an interrupted move of the alias was completed
CHANGED = "changed"  # the alias was changed by another checkout, or by something other than a promotion or rollback
MOVES = (PROMOTED, ROLLED_BACK, FINISHED)  # decisions that make the version champion

Entry = Mapping[str, Any]


def append(
    dataset: str,
    decision: str,
    reason: str,
    version: Version | None = None,
    before: Version | None = None,
    gain: "Gain | None" = None,
) -> Entry:
    """Append an entry and return it. before: the champion when the decision was made."""
    number = before.number if before else None
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "project": names.current_project(),
        "dataset": dataset,
        **_identity(version),
        "decision": decision,
        "reason": redact(reason)[: reasons.MAX_CHARACTERS],  # it may contain a library's message
        "gain": asdict(gain) if gain else None,
        "before": number,
        "champion": version.number if version and decision in MOVES else number,
    }
    append_only_log.append(paths.audit(), entry)
    return entry


def entries(dataset: str) -> list[Entry]:
    """Read the entries about a dataset, oldest first.

    Raises:
        DataError: an entry was changed and cannot be read.
    """
    matching: list[Entry] = [entry for entry in append_only_log.read(paths.audit()) if entry.get("dataset") == dataset]
    if damaged := next(itertools.filterfalse(_is_readable, matching), None):
        raise DataError(f"{paths.audit()}: an entry about {dataset} was changed ({damaged!s:.80}); restore a backup")
    return matching


def entries_in_registry(dataset: str, find: Callable[[int], Version | None]) -> list[Entry]:
    """Read the entries about a version in the registry, or about this project and no version; raises as `entries` does.

    find: looks up the version with a number in the registry.
    """
    find = functools.cache(find)
    project = names.current_project()
    return [
        entry
        for entry in entries(dataset)
        if (
            entry.get("project", project) == project  # entries of earlier releases do not name it
            if entry["version"] is None
            else is_about(entry, find(entry["version"]))
        )
    ]


def is_about(entry: Entry, version: Version | None) -> bool:
    """Whether the entry is about that version, and not about one with the same number that this registry lacks."""
    identity = _identity(version)
    recorded = {"model": identity["model"], **entry}  # entries of release 0.2 do not name the model
    return version is not None and all(recorded.get(key) == value for key, value in identity.items())


def _identity(version: Version | None) -> dict[str, Any]:
    return {
        "version": version.number if version else None,
        "run": version.run_id if version else None,
        "digest": version.tags.get(model_version.DIGEST) if version else None,
        "model": version.tags.get("model_id") if version else None,
    }


def _is_readable(entry: Entry) -> bool:
    try:
        moment = datetime.fromisoformat(entry["time"])
        texts = [entry[key] for key in ("decision", "reason")]
        numbers = [entry[key] for key in ("version", "before", "champion")]
    except (KeyError, TypeError, ValueError):
        return False
    return (
        moment.tzinfo is not None
        and all(isinstance(text, str) for text in texts)
        and all(number is None or type(number) is int for number in numbers)
        and not (entry["decision"] in MOVES and entry["champion"] is None)
    )
