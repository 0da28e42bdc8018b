"""The gate between training and serving: run → challenger → examination → decision → champion.

Every decision, either way, is a line of an append-only log and tags of the version. The line is written first and
the alias moved then: whoever comes next sees from the log whether a move was cut off, and finishes it.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from feedforward.config.schema import Params
from feedforward.core import append_only_log, atomic_files, paths
from feedforward.core.errors import Busy, DataError, FeedforwardError
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import encoders
from feedforward.data.splits import Split
from feedforward.experiments import runner
from feedforward.models import metrics
from feedforward.promotion import bundle, evaluation, model_card
from feedforward.promotion import candidate as candidacy
from feedforward.promotion.bundle import Servable
from feedforward.promotion.policy import Candidate, Decision, Evidence, decide
from feedforward.tracking import Found, model_version, model_versions, settings
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

EXAMINED = "examination"  # tag: figures of the examination, JSON
WITNESSES = "witnesses"  # folder; and tag: (seed, SHA-256 of its manifest) of each, the model's own seed first; JSON
PATIENCE = 600.0  # s that a promotion waits for others, and that an examination may take
Say = Callable[[str], None]


def _silence(_: str) -> None:
    """For callers that tell nobody."""


class Refused(FeedforwardError):
    """The challenger is not sound; it stays registered and is not served."""


@dataclass(frozen=True)
class Outcome:
    """What a promotion came to. champion: the number of the version that is champion now."""

    version: Version
    decision: Decision
    champion: int | None


def promote(params: Params, name: str, run_id: str | None = None, say: Say = _silence) -> Outcome:
    """Examine a final run (the latest, or that one) and make it champion if the rule says so.

    Raises:
        ParamsError: unknown data set or run. DataError: no run, or its data and parameters are not those of now.
        Refused: the examination failed, or the data set is a sample. Busy: another promotion does not end.
    """
    settings.apply()
    if params.dataset(name).demo:
        reason = "it is an embedded sample, which is never promoted"
        _log(name, None, "refused", reason, None)
        raise Refused(f"{name}: {reason}; promote a real data set")
    from feedforward.tracking.registry import Registry

    registry = Registry()
    with _alone(name):
        run = candidacy.choose(params, name, registry, run_id)
        version = candidacy.register(params, name, run, registry)
        atomic_files.crash_point("promote.before_alias")
        registry.set_alias(version, model_version.CHALLENGER)
    say(f"{version.name} is run {run.run_id[:8]} ({run.name}); it is examined in a process of its own")
    version = examined(params, name, run, version, registry)
    return conclude(params, name, run, version, registry)


# --- examine ---------------------------------------------------------------------------------


def examined(params: Params, name: str, run: Found, version: Version, registry: "Registry") -> Version:
    """The version with its figures as tags and its witness beside it; what was examined before is not again.

    Raises:
        Refused: it was touched, or does not answer as it should.
    """
    if EXAMINED in version.tags and WITNESSES in version.tags:
        return version
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        outcome = _examine_apart(name, version, folder)
        if outcome["refused"]:
            _log(name, version, "refused", outcome["refused"], None)
            registry.tag(version, {"decision": "refused", "reason": outcome["refused"]})
            raise Refused(f"{version.name}: refused: {outcome['refused']}")
        seeds = evaluation.witness_seeds(params, int(run.tags["seed"]))
        digests = [[seed, atomic_files.file_digest(folder / str(seed) / bundle.MANIFEST)] for seed in seeds]
        for seed in seeds:
            registry.add(version, folder / str(seed), f"{WITNESSES}/{seed}")
    figures = outcome["figures"]
    recorded = candidacy.recorded(params, name, run, registry)
    if recorded is not None:
        figures["recorded_cross_entropy"] = recorded
    tags = {EXAMINED: atomic_files.canonical_json(figures), WITNESSES: atomic_files.canonical_json(digests)}
    registry.tag(version, tags)
    return dataclasses.replace(version, tags={**version.tags, **tags})


def _examine_apart(name: str, version: Version, target: Path) -> dict[str, Any]:
    command = [sys.executable, "-I", "-m", "feedforward.promotion.evaluation", name, str(version.number), str(target)]
    environment = os.environ | {"FEEDFORWARD_ROOT": str(paths.root()), "FEEDFORWARD_STORE": str(paths.store())}
    try:
        code = subprocess.run(command, env=environment, timeout=PATIENCE, capture_output=True, check=False).returncode
    except subprocess.TimeoutExpired:
        return {"figures": {}, "refused": f"its examination took longer than {PATIENCE:.0f} s"}
    with contextlib.suppress(OSError, ValueError):
        return dict(atomic_files.read_json(target / evaluation.RESULT))
    return {"figures": {}, "refused": f"its examination ended with code {code} and no result"}


# --- decide ----------------------------------------------------------------------------------


def conclude(params: Params, name: str, run: Found, version: Version, registry: "Registry") -> Outcome:
    """Decide on an examined version, one at a time, and move the alias if it is to be champion."""
    with _alone(name):
        champion = _settled(name, registry)
        if champion is not None and champion.number == version.number:
            decision = Decision(False, "it is champion already", None, ())
            _log(name, version, "kept", decision.reason, champion)
            return Outcome(version, decision, champion.number)
        candidate, before, labels, problem = _evidence(params, name, run, version, champion)
        names = params.datasets[name].labels
        decision = decide(candidate, before, labels, names, params.promotion)
        if problem:
            decision = dataclasses.replace(decision, reason=f"{decision.reason} ({problem})")
        sound = decision.promoted or decision.gain is not None
        verdict = "promoted" if decision.promoted else "kept" if sound else "refused"
        _keep_card(params, name, run, version, registry, candidate, decision)
        _log(name, version, verdict, decision.reason, champion, decision)
        atomic_files.crash_point("promote.after_log")
        if decision.promoted:
            registry.set_alias(version, model_version.CHAMPION)
        registry.tag(version, {"decision": verdict, "reason": decision.reason})
        if not sound:
            raise Refused(f"{version.name}: refused: {decision.reason}")
        now = version.number if decision.promoted else champion.number if champion else None
        return Outcome(version, decision, now)


def _evidence(
    params: Params, name: str, run: Found, version: Version, champion: Version | None
) -> tuple[Candidate, Evidence | None, np.ndarray[Any, np.dtype[np.int64]], str]:
    """The challenger's and the champion's evidence on the validation split as it is now, its labels, and a remark."""
    whole = Split.load(paths.vectorized(name) / "train")
    _, validation = runner.split_training(whole, params.datasets[name])
    own = witnesses_of(version)
    figures = json.loads(version.tags[EXAMINED])
    measured = {key: value for key, value in run.metrics.items() if not key.startswith("system/")}
    evidence = _judged(own, own[0], validation)
    candidate = Candidate(evidence, {**measured, **figures}, int(figures["bytes"]), figures["latency_ms"])
    before, problem = None, ""
    if champion is not None:
        try:
            bundle.read(
                model_versions.folder(champion, model_version.SERVED), champion.tags.get(model_version.DIGEST, "")
            )
            before = _judged(witnesses_of(champion), own[0], validation)
        except DataError as error:
            problem = f"the champion before cannot be served any more: {error}"
    return candidate, before, np.asarray(validation.labels).astype(np.int64), problem


def _judged(witnesses: Sequence[Servable], made_by: Servable, validation: Split) -> Evidence:
    """What the witnesses say of validation samples that are encoded, and values scaled, as `made_by` has them."""
    features = encoders.translate(validation.features, made_by.encoder, witnesses[0].encoder)
    split = Split(features, validation.labels)
    (mean, scale), (own_mean, own_scale) = (each.description.target or (0.0, 1.0) for each in (made_by, witnesses[0]))
    units = (own_mean - mean) / scale, own_scale / scale
    judged = [evaluation.judge(each.network, split, units) for each in witnesses]
    losses = np.stack([losses for losses, _ in judged])
    explained = None
    if metrics.is_value(split.labels):
        answers = witnesses[0].ask(features)[:, 0]
        explained = metrics.r2(np.asarray(split.labels, np.float64) * scale + mean, answers)
    return Evidence(losses, judged[0][1], explained)


def witnesses_of(version: Version) -> list[Servable]:
    """The version's witnesses, that of its own seed first.

    Raises:
        DataError: one was touched, or the version was never examined.
    """
    if WITNESSES not in version.tags or EXAMINED not in version.tags:
        raise DataError(f"{version.name}: was never examined; run `feedforward promote {version.dataset}`")
    digests = json.loads(version.tags[WITNESSES])
    return [bundle.read(model_versions.folder(version, f"{WITNESSES}/{seed}"), digest) for seed, digest in digests]


def _settled(name: str, registry: "Registry") -> Version | None:
    """The champion, after a move that was cut off is finished, and one past the gate is noted."""
    champion = registry.find(name, model_version.CHAMPION)
    moves = [entry for entry in append_only_log.read(paths.audit()) if entry["dataset"] == name and entry["champion"]]
    last = moves[-1] if moves else None
    number = champion.number if champion else None
    if last is None or last["champion"] == number:
        return champion
    if last["decision"] == "promoted" and last["before"] == number:
        meant = registry.find(name, int(last["champion"]))
        if meant is not None and meant.tags.get("decision") != "promoted":  # that tag is set once the alias has moved
            registry.set_alias(meant, model_version.CHAMPION)
            registry.tag(meant, {"decision": "promoted", "reason": last["reason"]})
            _log(name, meant, "finished", "a promotion was cut off before its alias moved", champion)
            return meant
    _log(name, champion, "found", "the champion was changed past the gate", champion)
    return champion


def _log(
    name: str,
    version: Version | None,
    verdict: str,
    reason: str,
    champion: Version | None,
    decision: Decision | None = None,
) -> None:
    """A line of the audit log. before, champion: the champions' numbers before and after."""
    before = champion.number if champion else None
    moved = verdict in ("promoted", "finished")
    gain = decision.gain if decision else None
    append_only_log.append(
        paths.audit(),
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "dataset": name,
            "version": version.number if version else None,
            "run": version.run_id if version else None,
            "digest": version.tags.get(model_version.DIGEST) if version else None,
            "decision": verdict,
            "reason": reason,
            "gain": dataclasses.asdict(gain) if gain else None,
            "before": before,
            "champion": version.number if version and moved else before,
        },
    )


def _keep_card(
    params: Params,
    name: str,
    run: Found,
    version: Version,
    registry: "Registry",
    candidate: Candidate,
    decision: Decision,
) -> None:
    served = bundle.read(model_versions.folder(version, model_version.SERVED), version.tags[model_version.DIGEST])
    own: Mapping[str, float] = {key: value for key, value in sorted(run.metrics.items()) if key.startswith("test_")}
    losses, hits = candidate.evidence.losses, candidate.evidence.hits
    facts = model_card.Facts(
        name=version.name,
        takes=served.encoder.takes,
        description=served.description,
        data=manifest_file.load(name),
        params=run.params,
        tested=candidacy.finals(params, name, run, registry),
        own_test=own,
        examined=json.loads(version.tags[EXAMINED]),
        evidence=[float(mean) for mean in losses.mean(axis=1)],
        accuracy=float(hits.mean()) if hits.size else None,
        explained=candidate.evidence.explained,
        samples=len(hits),
        decision=decision,
    )
    card = model_card.write(facts)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "card.md").write_text(card, encoding="utf-8")
        registry.add(version, Path(folder), "card")
    registry.describe(version, card)


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """One promotion of a data set at a time; the others wait, since each is to be decided."""
    lock = paths.store() / ".locks" / f"promote-{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=PATIENCE):
            yield
    except Timeout:
        raise Busy(f"{lock}: another promotion of {name} is at work; wait for it, then run the command again") from None
