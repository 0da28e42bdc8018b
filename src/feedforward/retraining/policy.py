"""Decide whether to train again, from new samples, drift, the champion's age and changed inputs, and say why.

`observe` gathers the facts, `decide` is a pure function, and `record` writes the log of retraining attempts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset, Params, Retraining
from feedforward.core import append_only_log, paths
from feedforward.core.errors import DataError, one_line
from feedforward.data import drift, feedback, feedback_features
from feedforward.data import manifest as manifest_file
from feedforward.data.drift import Distances
from feedforward.data.readers import reading
from feedforward.promotion import audit_log, candidate, champion, drift_windows, shadow_evidence
from feedforward.tracking import model_version, model_versions, settings
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

BINS = 24  # approximate number of bins in a histogram


@dataclass(frozen=True)
class Histogram:
    """Shares of training data and of incoming samples in each bin. edges: bin limits; the last bin is open-ended."""

    edges: list[int]
    train: list[float]
    incoming: list[float]


@dataclass(frozen=True)
class Comparison:
    """Incoming samples compared with training data. classes: class shares in training data and in incoming samples."""

    distances: Distances
    classes: tuple[list[float], list[float]]
    histograms: dict[str, Histogram]


@dataclass(frozen=True)
class Observations:
    """What is known about a dataset when the decision is made.

    new: number of valid samples that no training run has used. comparison: of the new samples with training data.
    refused: number of unusable samples, by reason. waiting: number of samples that nobody has accepted yet. withdrawn:
    number of samples in the training data that are no longer accepted. age: days since the current champion first
    became champion. pending: a finished run that the gate has not decided on. requests: what drifted in the latest
    window of requests to the champion; None if nothing did.
    """

    new: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    comparison: Comparison | None = None
    age: float | None = None
    pending: str | None = None
    waiting: int = 0
    withdrawn: int = 0
    requests: str | None = None


@dataclass(frozen=True)
class Decision:
    """Whether to train again. reasons: one line per reason. remarks: observations that are not reasons to train."""

    retrain: bool
    reasons: list[str]
    remarks: list[str]

    @property
    def text(self) -> str:
        """The decision in one line."""
        if self.retrain:
            return f"train: {'; '.join(self.reasons)}"
        return "; ".join(["no reason to train", *self.remarks])


def observe(params: Params, name: str, now: datetime) -> Observations:
    """Gather the facts about a dataset. Writes nothing.

    Raises:
        TrackingError: the registry does not answer. DataError: the vectorized data, the user-submitted samples, the
            audit log or another record cannot be read.
    """
    dataset = params.datasets[name]
    if not (paths.vectorized(name) / "manifest.json").is_file():
        return Observations()
    intake = feedback.examine(name, dataset, params.retraining.review)
    comparison = _compare(name, dataset, intake.new, params.retraining) if intake.new else None
    return Observations(
        len(intake.new),
        intake.refused,
        comparison,
        _age(name, now),
        _pending(params, name),
        waiting=intake.waiting,
        withdrawn=len(intake.withdrawn),
        requests=request_drift(name),
    )


def request_drift(name: str) -> str | None:
    """What drifted in the latest window of requests to the current champion; None if nothing did."""
    last = next(iter(drift_windows.load(name)[-1:]), None)
    if last is None or not last["drifted"]:
        return None
    current = model_versions.find(name)
    return str(last["farthest"]) if current is not None and current.number == last["version"] else None


def _age(name: str, now: datetime) -> float | None:
    """Days since the first entry in the audit log that names the current champion."""
    since: dict[int, str] = {}
    number = None
    for entry in audit_log.entries_in_registry(name, lambda number: model_versions.find(name, number)):
        if entry["champion"]:
            number = entry["champion"]
            since.setdefault(number, entry["time"])
    return (now - datetime.fromisoformat(since[number])).total_seconds() / 86400 if number else None


def complete_interrupted_promotion(params: Params, name: str) -> None:
    """Complete a promotion or rollback that was interrupted after its decision.

    Raises:
        TrackingError: the registry does not answer. Busy: another promotion is running.
    """
    has_data = (paths.vectorized(name) / "manifest.json").is_file()
    registry = _registry(params, name) if has_data else None
    if registry is not None:
        with champion.decision_lock(name):
            champion.reconcile(name, registry)


def _registry(params: Params, name: str) -> "Registry | None":
    """The registry, if it can have versions of the dataset."""
    uri = settings.tracking_uri()
    database = Path(uri.removeprefix(settings.SQLITE))
    if params.datasets[name].demo or (uri.startswith(settings.SQLITE) and not database.is_file()):
        return None
    from feedforward.tracking.registry import Registry

    return Registry()


def _pending(params: Params, name: str) -> str | None:
    """The latest final run with the current data and parameters, as text, if the gate has not decided on it.

    A version that waits for the shadow is pending again once the shadow has compared enough requests. A version whose
    promotion was interrupted after the decision is not pending.
    """
    registry = _registry(params, name)
    if registry is None:
        return None
    try:
        run = candidate.choose(params, name, registry, None)
    except DataError:
        return None
    interrupted = champion.interrupted_move(name, registry)
    promoted = interrupted[0] if interrupted else None
    current = promoted or registry.find(name, model_version.CHAMPION)
    decided = any(
        version == promoted or _is_decided(params, version, current) for version in registry.versions(name, run.run_id)
    )
    return None if decided else f"{run.run_id[:8]} ({run.name})"


def _is_decided(params: Params, version: Version, current: Version | None) -> bool:
    """Whether the gate has decided on the version, or must still wait for the shadow. current: the champion."""
    if version.tags.get(champion.DECISION) != audit_log.WAITING or params.promotion.shadow is None or current is None:
        return champion.DECISION in version.tags and version.tags[champion.DECISION] != audit_log.WAITING
    evidence = shadow_evidence.find(version.dataset, current, version)
    return evidence.requests < params.promotion.shadow.requests


def _compare(name: str, dataset: Dataset, new: list[dict[str, Any]], bounds: Retraining) -> Comparison:
    import pyarrow.parquet as pq

    train = manifest_file.load_split(name, "train")
    incoming = feedback_features.part(new, dataset, feedback_features.encoder_of(name, dataset))
    columns, filters = ["raw_length"], [("split", "==", "train")]
    table = pq.read_table(paths.vectorized(name) / "profile.parquet", columns=columns, filters=filters)
    lengths = np.asarray(table["raw_length"]), incoming.raw_lengths
    class_count = len(dataset.labels)
    name_of = reading.column_names(dataset.reader, paths.vectorized(name))
    distances = drift.measure(train, incoming.split, lengths, class_count, bounds.drift, name_of)
    nonzero = drift.train_nonzero(train.features, name_of), drift.nonzero(incoming.split.features)
    splits = train, incoming.split
    train_shares, incoming_shares = (drift.shares_of(split.labels, class_count).tolist() for split in splits)
    histograms = {drift.NONZERO: _histogram(*nonzero), drift.LENGTH: _histogram(*lengths)}
    return Comparison(distances, (train_shares, incoming_shares), histograms)


def _histogram(train: npt.NDArray[np.int64], incoming: npt.NDArray[np.int64]) -> Histogram:
    """Bins of equal width up to the 99 % quantile of the training data; larger values count in the last bin."""
    low, high = int(min(train.min(), incoming.min())), int(np.quantile(train, 0.99))
    width = max(1, -(-(high - low) // BINS))
    edges = np.arange(low, max(high, low) + 2 * width, width)
    counts = [np.histogram(np.minimum(values, edges[-1] - 1), edges)[0] / len(values) for values in (train, incoming)]
    return Histogram(edges.tolist(), counts[0].tolist(), counts[1].tolist())


# --- decide ----------------------------------------------------------------------------------


def decide(params: Params, observed: Mapping[str, Observations], changed: Sequence[str], forced: bool) -> Decision:
    """Decide whether to train. changed: one line for each kind of training input that has changed."""
    reasons, remarks = ["requested"] if forced else [], []
    reasons += changed
    for name, observations in observed.items():
        new_reasons, new_remarks = _reasons_and_remarks(params.retraining, observations)
        reasons += [f"{name}: {line}" for line in new_reasons]
        remarks += [f"{name}: {line}" for line in new_remarks]
    return Decision(bool(reasons), reasons, remarks)


def _reasons_and_remarks(bounds: Retraining, observed: Observations) -> tuple[list[str], list[str]]:
    """The reasons to train, and the remarks. Without new samples to train on, neither drift nor age is a reason."""
    reasons, remarks = [], []
    usable = observed.new if bounds.use_feedback else 0
    samples = _samples(observed.new, "new ")
    if usable >= bounds.minimum_new_samples:
        reasons.append(samples)
    elif observed.new:
        minimum = f"retraining.minimum_new_samples is {bounds.minimum_new_samples}"
        remarks.append(f"{samples} ({minimum if bounds.use_feedback else 'retraining.use_feedback is off'})")
    lines = []
    if observed.comparison and observed.comparison.distances.drifted:
        lines.append(_drift_line(observed.comparison.distances))
    if observed.requests:
        missing = "" if observed.new else ", and there are no labeled samples to train on"
        lines.append(f"request drift: {observed.requests}{missing}")
    if observed.age is not None and observed.age > bounds.max_age:
        lines.append(f"the champion is {observed.age:.0f} days old")
    (reasons if usable else remarks).extend(lines)
    if observed.pending:
        reasons.append(f"the gate has not decided on run {observed.pending}")
    if observed.withdrawn and bounds.use_feedback:
        reasons.append(f"{_samples(observed.withdrawn, 'withdrawn ')} in the training data")
    if observed.waiting:
        remarks.append(f"{_samples(observed.waiting)} to review")
    if observed.refused:
        counts = ", ".join(f"{count} {reason}" for reason, count in observed.refused.items())
        remarks.append(f"refused samples: {counts}")
    return reasons, remarks


def _samples(count: int, kind: str = "") -> str:
    return f"{count} {kind}{'sample' if count == 1 else 'samples'}"


def _drift_line(distances: Distances) -> str:
    first, *others = distances.drifted
    more = f" and {len(others)} more" if others else ""
    return f"drift of {one_line(first.name)} ({first.value:.2f}, bound {first.bound:g}){more}"


# --- record ----------------------------------------------------------------------------------


def record(outcome: str, decision: Decision | None, **fields: Any) -> None:
    """Append an entry to the log of retraining attempts.

    outcome: started, trained, unchanged, skipped, failed or interrupted. fields: further fields of the entry.
    """
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "outcome": outcome, **fields}
    if decision is not None:
        entry |= {"reasons": decision.reasons, "remarks": decision.remarks}
    append_only_log.append(paths.retrainings(), entry)
