"""Make an earlier champion the champion again, after verifying and probing it as in a promotion.

A version that has never been champion, because promotion refused it or kept the champion, does not become champion by
a rollback. The replaced version is marked, so that only another rollback, not a promotion, can make it champion again.
"""

from typing import TYPE_CHECKING

from feedforward.config.schema import Dataset, Params
from feedforward.core import atomic_files, reasons
from feedforward.core.errors import DataError, NothingToServe, ParamsError
from feedforward.promotion import audit_log, candidate, champion, compatibility, evaluation
from feedforward.promotion.evaluator import Evaluator
from feedforward.promotion.promote import Refused, Say, ignore_progress
from feedforward.tracking import names, settings
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry


def rollback(params: Params, name: str, to: int | None, reason: str, say: Say = ignore_progress) -> Version:
    """Make version `to` the champion (default: the previous champion) and return it.

    If an earlier rollback to this version was interrupted, it is only completed: repeated commands roll back once.

    Raises:
        ParamsError: unknown dataset, an invalid reason, `to` is the champion or has never been champion, or there is
            no earlier champion. NothingToServe: there has never been a champion.
        Refused: the version was changed, predicts wrongly, or does not fit the dataset; or a promotion, or a rollback
            for another reason, was interrupted, so that its version has become the champion only now.
        EvaluationFailed: the verification could not be finished. TrackingError: the registry does not answer.
        Busy: a promotion or another rollback is running.
    """
    settings.apply()
    dataset = params.dataset(name)
    reason = reasons.clean(reason, required=True)
    from feedforward.tracking.registry import Registry

    registry = Registry()
    with names.fixed(params.project), champion.decision_lock(name):
        interrupted = champion.interrupted_move(name, registry)
        current = champion.reconcile(name, registry)
        if interrupted and current:  # the user may not have known which version would be the champion
            kind = "rollback" if interrupted[1]["decision"] == audit_log.ROLLED_BACK else "promotion"
            is_repeated = kind == "rollback" and interrupted[1]["reason"] == reason and to in (None, current.number)
            if not is_repeated:
                completed = f"{current.name}: is the champion now, because an interrupted {kind} was completed"
                raise Refused(f"{completed}; run the command again to roll it back")
            say("an interrupted rollback was completed")
            return current
        target = _target(name, dataset, current, to, registry)
        say(f"verifying {target.name} in a separate process")
        try:
            with Evaluator(params) as evaluator:
                evaluation.verify(evaluator, name, target)
        except DataError as error:
            raise Refused(f"{target.name}: refused: {error}; or choose another version with --to") from None
        entry = audit_log.append(name, audit_log.ROLLED_BACK, reason, target, current)
        atomic_files.crash_point("rollback.after_log")
        champion.move(target, entry, registry)
    return target


def _target(name: str, dataset: Dataset, current: Version | None, to: int | None, registry: "Registry") -> Version:
    """The version to roll back to: `to`, or the latest earlier champion whose model was not rolled back.

    Neither may be the current model, registered again under other names. current: the champion; None if its alias was
    deleted.
    """
    by_number = {version.number: version for version in registry.versions(name)}
    entries = champion.entries_in(registry, name)
    last = {entry["champion"]: (position, "") for position, entry in enumerate(entries)}
    for number, version in by_number.items():
        if since := champion.since_elsewhere(version, entries):  # has no position in this log, so its time decides
            position = max((at for at, entry in enumerate(entries) if entry["time"] <= since), default=-1)
            last[number] = max(last.get(number, (-1, "")), (position, since))
    champions = sorted(filter(None, last), key=last.__getitem__, reverse=True)
    numbers = [number for number in champions if current is None or number != current.number]
    if current is None and not numbers:
        remedy = compatibility.champion_remedy(name, dataset)
        raise NothingToServe(f"{name}: there is no champion to roll back; {remedy}")
    if to is not None:
        target = registry.find(name, to) if to in numbers else None
        if target is None:
            problem = "is already the champion" if current and to == current.number else "has never been champion"
            choices = ", ".join(map(str, numbers)) or "none"
            raise ParamsError([f"--to: version {to} of {name} {problem}; earlier champions: {choices}"])
        if current is not None and candidate.answer_alike(target, current):
            problem = f"is the model of the champion, version {current.number}, with other names or variants"
            raise ParamsError([f"--to: version {to} of {name} {problem}; change params.yaml, then promote it again"])
        return target
    rolled_back = candidate.rolled_back_versions(name, registry)
    others = [by_number[number] for number in numbers if number in by_number]
    others = [other for other in others if current is None or not candidate.answer_alike(other, current)]
    for other in others:
        if not any(candidate.answer_alike(other, version) for version in rolled_back):
            return other
    listed = ", ".join(str(other.number) for other in others)
    note = f"; to use one that was rolled back, name it with --to: {listed}" if others else ""
    raise ParamsError([f"{name}: there is no earlier champion to roll back to{note}"])
