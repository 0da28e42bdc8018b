"""The gate between training and serving: final run → challenger → evaluation → decision → champion.

Every decision is recorded in the audit log and in the version's tags.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from feedforward.config.schema import Params
from feedforward.core import atomic_files, reasons
from feedforward.core.errors import DataError, FeedforwardError
from feedforward.data import consistency
from feedforward.data import manifest as manifest_file
from feedforward.promotion import (
    audit_log,
    compatibility,
    current_runs,
    evaluation,
    holdout_split,
    model_card,
    shadow_evidence,
    version_bundles,
)
from feedforward.promotion import candidate as candidates
from feedforward.promotion import champion as champions
from feedforward.promotion.evaluator import EvaluationFailed, Evaluator
from feedforward.promotion.policy import Candidate, Decision, confirm_with_shadow, decide
from feedforward.tracking import LoggedRun, model_version, names, settings
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

Say = Callable[[str], None]


def ignore_progress(_: str) -> None:
    """Ignore a progress message, for callers that show no progress."""


class Refused(FeedforwardError):
    """A promotion was refused. The champion is unchanged; a challenger stays registered and is not served."""


@dataclass(frozen=True)
class Outcome:
    """The result of a promotion. champion: number of the version that is now champion."""

    version: Version
    decision: Decision
    champion: int | None

    @property
    def sentence(self) -> str:
        """What became of the version, and why."""
        state = f" does not replace version {self.champion}"
        if self.decision.promoted:
            state = " is now the champion"
        elif self.champion in (None, self.version.number):
            state = ""
        return f"version {self.version.number}{state}: {self.decision.reason}"


def promote(
    params: Params, name: str, run_id: str | None = None, say: Say = ignore_progress, skip_comparison: str | None = None
) -> Outcome:
    """Evaluate a final run (default: the latest) and make it champion if the promotion rule is met.

    Only runs with the current data and parameters qualify. skip_comparison: the reason for which a champion that
    cannot be compared with the challenger is replaced without a comparison; None: it is not replaced.

    Raises:
        ParamsError: unknown dataset or run, an invalid reason, or a private key that is missing or wrong.
        DataError: no run qualifies, its model is damaged, or the data have not passed validation.
        Refused: the version predicts wrongly or does not meet the acceptance criteria, or the dataset is a demo.
        EvaluationFailed: the evaluation could not be finished. TrackingError: the registry does not answer.
        Busy: another promotion or rollback is running.
    """
    settings.apply()
    if skip_comparison is not None:
        skip_comparison = reasons.clean(skip_comparison, "--skip-comparison", required=True)
    if params.dataset(name).demo:
        audit_log.append(name, audit_log.REFUSED, compatibility.DEMO)
        raise Refused(f"{name}: {compatibility.DEMO}; use another dataset")
    from feedforward.tracking.registry import Registry

    registry = Registry()
    with names.fixed(params.project):
        with Evaluator(params) as evaluator:
            run = candidates.choose(params, name, registry, run_id)
            consistency.require_valid(name, params.datasets[name])
            # trains models, so without the lock: a rollback must not wait for hours
            calibration = evaluation.final_calibration(evaluator, name, run, registry)
            with champions.decision_lock(name):
                if problem := current_runs.outdated_reason(params, name, run):
                    raise EvaluationFailed(f"{name}: {problem}: the data have changed meanwhile; run the command again")
                version = candidates.register(params, name, run, registry, calibration)
                current = champions.reconcile(name, registry)
                if (rolled_back := candidates.rolled_back(version, current, registry)) is not None:
                    return keep_rolled_back(name, version, rolled_back, current, registry)
                atomic_files.crash_point("promote.before_alias")
                registry.set_alias(version, model_version.CHALLENGER)
            say(f"{version.name} is run {run.run_id[:8]} ({run.name}); evaluating it in a separate process")
            version = evaluate(evaluator, name, run, version, registry)
        return conclude(params, name, run, version, registry, skip_comparison)


def keep_rolled_back(
    name: str, version: Version, rolled_back: Version, champion: Version | None, registry: "Registry"
) -> Outcome:
    """Do not promote a rolled-back model again; record this and return the outcome. The caller must hold the lock.

    rolled_back: `version`, or another version of the same model.
    """
    it = "it" if version.number == rolled_back.number else f"the same model, version {rolled_back.number},"
    reason = (
        f"{it} was rolled back ({rolled_back.tags.get(champions.REASON, 'no reason given')});"
        f" `feedforward rollback {name} --to {rolled_back.number} --reason REASON` makes it champion again"
    )
    audit_log.append(name, audit_log.KEPT, reason, version, champion)
    if version.number != rolled_back.number:  # otherwise, it keeps the mark of the rollback
        registry.tag(version, {champions.DECISION: audit_log.KEPT, champions.REASON: reason})
    return Outcome(version, Decision(False, reason, None, ()), champion.number if champion else None)


def evaluate(evaluator: Evaluator, name: str, run: LoggedRun, version: Version, registry: "Registry") -> Version:
    """Evaluate a version and return it with its metrics; if the evaluation fails, the audit log records the reason.

    Raises:
        Refused: the version was changed, cannot be loaded, or makes wrong predictions.
        EvaluationFailed: the evaluation could not be finished.
    """
    try:
        return evaluation.evaluate(evaluator, name, run, version, registry)
    except (DataError, EvaluationFailed) as error:
        reason, refused = str(error), isinstance(error, DataError)
        with champions.decision_lock(name):
            decision = audit_log.REFUSED if refused else audit_log.FAILED
            audit_log.append(name, decision, reason, version, champions.reconcile(name, registry))
        if not refused:
            raise
        registry.tag(version, {champions.DECISION: audit_log.REFUSED, champions.REASON: reason})
        raise Refused(f"{version.name}: refused: {reason}") from None


def conclude(
    params: Params,
    name: str,
    run: LoggedRun,
    version: Version,
    registry: "Registry",
    skip_comparison: str | None = None,
) -> Outcome:
    """Decide on an evaluated version under the lock, and make it champion if it is accepted.

    skip_comparison: as in `promote`.

    Raises:
        Refused: the version does not meet the acceptance criteria. EvaluationFailed: the data or parameters have
            changed since the evaluation; also see `evaluation.champion_evidence`.
    """
    with champions.decision_lock(name):
        champion = champions.reconcile(name, registry)
        if champion is not None and champion.number == version.number:
            decision = Decision(False, "it is already the champion", None, ())
            audit_log.append(name, audit_log.KEPT, decision.reason, version, champion)
            return Outcome(version, decision, champion.number)
        if (rolled_back := candidates.rolled_back(version, champion, registry)) is not None:  # during the evaluation
            registry.remove_alias(version, model_version.CHALLENGER)
            return keep_rolled_back(name, version, rolled_back, champion, registry)
        try:
            candidate, decision = _decide(params, name, run, version, champion, skip_comparison)
        except EvaluationFailed as error:
            audit_log.append(name, audit_log.FAILED, str(error), version, champion)
            raise
        verdict = _verdict(decision)
        _add_card(params, name, run, version, registry, candidate, decision)
        entry = audit_log.append(name, verdict, decision.reason, version, champion, decision.gain)
        atomic_files.crash_point("promote.after_log")
        if decision.promoted:
            champions.move(version, entry, registry)
            return Outcome(version, decision, version.number)
        registry.tag(version, {champions.DECISION: verdict, champions.REASON: decision.reason})
        if verdict == audit_log.REFUSED:
            raise Refused(f"{version.name}: refused: {decision.reason}")
        return Outcome(version, decision, champion.number if champion else None)


def _verdict(decision: Decision) -> str:
    if decision.promoted:
        return audit_log.PROMOTED
    if decision.waiting:
        return audit_log.WAITING
    return audit_log.KEPT if decision.gain is not None or decision.remedy else audit_log.REFUSED


def _decide(
    params: Params, name: str, run: LoggedRun, version: Version, champion: Version | None, skip_comparison: str | None
) -> tuple[Candidate, Decision]:
    """Compare challenger and champion on the current validation split."""
    dataset, split = params.datasets[name], holdout_split.of_today(name, params.datasets[name])
    validation = split.validation
    models = evaluation.holdout_models(version)
    if current_runs.outdated_reason(params, name, run) or not all(map(split.was_trained_on, models)):
        problem = "the data or parameters have changed during the evaluation"
        raise EvaluationFailed(f"{version.name}: {problem}; run the command again")
    metrics, target = version.metrics(), models[0].description.target
    measured = {key: value for key, value in run.metrics.items() if not key.startswith("system/")}
    evidence = evaluation.evidence(models, validation, target)
    candidate = Candidate(evidence, {**measured, **metrics}, int(metrics["bytes"]), metrics["latency_ms"])
    labels = np.asarray(validation.labels).astype(np.int64)
    decision = decide(candidate, None, labels, dataset.labels, params.promotion)
    if not decision.promoted:  # the criteria do not depend on the champion, which perhaps cannot be compared
        return candidate, decision
    compared = evaluation.ChampionEvidence(problem=_equality(version, champion))
    if not compared.problem:
        compared = evaluation.champion_evidence(params, name, champion, target, split, skip_comparison)
    if compared.evidence is not None:
        decision = decide(candidate, compared.evidence, labels, dataset.labels, params.promotion)
    elif compared.problem:
        decision = dataclasses.replace(decision, reason=f"it meets all acceptance criteria; {compared.problem}")
    if decision.remedy:
        note = f"{decision.remedy}, or run `feedforward promote {name} --skip-comparison REASON`"
        if skip_comparison is not None:
            note = f"replaced without a comparison: {skip_comparison}"
        decision = dataclasses.replace(
            decision, promoted=skip_comparison is not None, reason=f"{decision.reason}; {note}"
        )
    shadow = params.promotion.shadow
    if decision.promoted and champion is not None and compared.is_served and shadow is not None:
        answers = shadow_evidence.find(name, champion, version)
        decision = confirm_with_shadow(decision, answers.requests, answers.agreement, shadow)
    return candidate, decision


def _equality(version: Version, champion: Version | None) -> str:
    """Why no comparison is needed: `version` is the champion's model, registered again; empty for another model."""
    if champion is None or not candidates.is_same_model(version, champion):
        return ""
    try:
        version_bundles.check(champion)
    except DataError as error:
        return f"{champion.name} is the same model, but a file of it cannot be used: {error}"
    return f"{champion.name} is the same model, with other names, variants or preprocessing"


def _add_card(
    params: Params,
    name: str,
    run: LoggedRun,
    version: Version,
    registry: "Registry",
    candidate: Candidate,
    decision: Decision,
) -> None:
    """Write the version's model card, and also set it as the version's description in the registry."""
    served = version_bundles.served(version)
    facts = model_card.Facts(
        name=version.name,
        sample_kind=served.encoder.sample_kind,
        description=served.description,
        data=manifest_file.load(name),
        params=run.params | {"variant": served.description.variant},  # its name may have changed
        test_metrics=candidates.final_metrics(params, name, run, registry),
        own_test_metrics={key: value for key, value in sorted(run.metrics.items()) if key.startswith("test_")},
        metrics=version.metrics(),
        calibration=version.calibration(),
        evidence=candidate.evidence,
        decision=decision,
    )
    card = model_card.write(facts)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "card.md").write_text(card, encoding="utf-8")
        registry.add(version, Path(folder), "card")
    registry.describe(version, card)
