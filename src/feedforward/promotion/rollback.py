"""Make an earlier version the champion again, verified and probed as in a promotion, and mark the current one.

A version that was rolled back is not promoted again; only another rollback makes it champion.
"""

from typing import TYPE_CHECKING

from feedforward.config.schema import Params
from feedforward.core import atomic_files
from feedforward.core.errors import DataError, NothingToServe, ParamsError
from feedforward.promotion import audit_log, champion, evaluation
from feedforward.promotion.promote import Refused, Say, silent
from feedforward.tracking import settings
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry


def rollback(params: Params, name: str, to: int | None, reason: str, say: Say = silent) -> Version:
    """Make version `to` champion (default: the champion before the current one); return it.

    Raises:
        ParamsError: unknown dataset, no such version, or no reason. NothingToServe: there is no champion.
        Refused: the version was changed, gives wrong answers, or is a model of another task.
        EvaluationFailed: the verification could not be finished. Busy: a promotion is running.
    """
    settings.apply()
    params.dataset(name)
    if not reason.strip():
        raise ParamsError(["--reason: must say why, got an empty text"])
    from feedforward.tracking.registry import Registry

    registry = Registry()
    with champion.exclusive(name):
        current = champion.reconcile(name, registry)
        if current is None:
            raise NothingToServe(f"{name}: there is no champion to roll back; run `feedforward promote {name}`")
        target = _target(name, current, to, registry)
        say(f"verifying {target.name} in a separate process")
        try:
            evaluation.verify(name, target)
        except DataError as error:
            raise Refused(f"{target.name}: refused: {error}; choose another version with --to") from None
        entry = audit_log.append(name, audit_log.ROLLED_BACK, reason.strip(), target, current)
        atomic_files.crash_point("rollback.after_log")
        champion.move(target, entry, registry)
    return target


def _target(name: str, current: Version, to: int | None, registry: "Registry") -> Version:
    """The version to return to: `to`, or the latest earlier champion that was not rolled back itself."""
    champions = dict.fromkeys(entry["champion"] for entry in reversed(audit_log.entries(name)) if entry["champion"])
    numbers = [number for number in champions if number != current.number]
    if to is not None:
        target = registry.find(name, to) if to != current.number else None
        if target is None:
            problem = "is champion already" if to == current.number else "is not a version"
            some = f"; earlier champions: {', '.join(map(str, numbers))}" if numbers else ""
            raise ParamsError([f"--to: {to} {problem} of {name}{some}"])
        return target
    for number in numbers:
        target = registry.find(name, int(number))
        if target is not None and target.tags.get(champion.DECISION) != audit_log.ROLLED_BACK:
            return target
    raise ParamsError([f"{name}: there is no earlier champion to return to; name a version with --to"])
