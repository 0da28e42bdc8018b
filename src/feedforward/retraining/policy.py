"""When to train again: what has come in, how old the champion is, what changed → a decision with its reasons.

`look` gathers facts and changes nothing, `decide` is pure, `record` keeps what was decided and what came of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset, Params, Retraining
from feedforward.core import append_only_log, paths
from feedforward.core.errors import DataError, one_line
from feedforward.data import feedback
from feedforward.data.readers import reading
from feedforward.data.splits import Split
from feedforward.promotion import audit_log, candidate, champion
from feedforward.retraining import drift
from feedforward.retraining.drift import Distances
from feedforward.tracking import settings

BINS = 24  # of a histogram


@dataclass(frozen=True)
class Histogram:
    """Shares of training data and of incoming samples by bin; `edges` has one more; the last bin is open."""

    edges: list[int]
    train: list[float]
    incoming: list[float]


@dataclass(frozen=True)
class Comparison:
    """Incoming samples beside training data."""

    distances: Distances
    classes: tuple[list[float], list[float]]
    histograms: dict[str, Histogram]


@dataclass(frozen=True)
class Look:
    """A data set as it stands.

    new: sound samples that no training has seen; refused: others, by reason. age: days since the champion became one.
    pending: a finished run that has not been through the gate.
    """

    new: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    comparison: Comparison | None = None
    age: float | None = None
    pending: str | None = None


@dataclass(frozen=True)
class Decision:
    """Train again? reasons: why; remarks: what was seen and is no reason."""

    retrain: bool
    reasons: list[str]
    remarks: list[str]

    @property
    def text(self) -> str:
        """One line."""
        if self.retrain:
            return f"train: {'; '.join(self.reasons)}"
        return "; ".join(["nothing to train for", *self.remarks])


def look(params: Params, name: str, now: datetime) -> Look:
    """What speaks for a training on a data set.

    Raises:
        TrackingError: the registry does not answer. DataError: the vectorized data are damaged.
    """
    dataset = params.datasets[name]
    if not (paths.vectorized(name) / "manifest.json").is_file():
        return Look()
    intake = feedback.examine(name, dataset)
    comparison = _compare(name, dataset, intake.new, params.retraining) if intake.new else None
    return Look(len(intake.new), intake.refused, comparison, _age(name, now), _pending(params, name))


def _age(name: str, now: datetime) -> float | None:
    """Days since the log of promotions named the champion for the first time."""
    since: dict[int, str] = {}
    number = None
    for entry in audit_log.entries(name):
        if entry["champion"]:
            number = entry["champion"]
            since.setdefault(number, entry["time"])
    return (now - datetime.fromisoformat(since[number])).total_seconds() / 86400 if number else None


def _pending(params: Params, name: str) -> str | None:
    """The latest final run of the data and parameters as they are, if the gate has not decided on it."""
    uri = settings.tracking_uri()
    if params.datasets[name].demo or (
        uri.startswith(settings.SQLITE) and not Path(uri.removeprefix(settings.SQLITE)).is_file()
    ):
        return None
    from feedforward.tracking.registry import Registry

    registry = Registry()
    with champion.exclusive(name):
        champion.reconcile(name, registry)
    try:
        run = candidate.choose(params, name, registry, None)
    except DataError:
        return None
    decided = any(champion.DECISION in version.tags for version in registry.versions(name, run.run_id))
    return None if decided else f"{run.run_id[:8]} ({run.name})"


def _compare(name: str, dataset: Dataset, new: list[dict[str, Any]], bounds: Retraining) -> Comparison:
    import pyarrow.parquet as pq

    train = Split.load(paths.vectorized(name) / "train")
    incoming = feedback.part(new, dataset, feedback.encoder_of(name, dataset))
    columns, wanted = ["raw_length"], [("split", "==", "train")]
    table = pq.read_table(paths.vectorized(name) / "profile.parquet", columns=columns, filters=wanted)
    lengths = np.asarray(table["raw_length"]), incoming.raw_lengths
    classes = len(dataset.labels)
    name_of = reading.column_names(dataset.reader, paths.vectorized(name))
    distances = drift.measure(train, incoming.split, lengths, classes, bounds.drift, name_of)
    ones = drift.ones_of(train.features), drift.ones_of(incoming.split.features)
    before, now = (drift.shares_of(split.labels, classes).tolist() for split in (train, incoming.split))
    histograms = {drift.ONES: _histogram(*ones), drift.LENGTH: _histogram(*lengths)}
    return Comparison(distances, (before, now), histograms)


def _histogram(train: npt.NDArray[np.int64], incoming: npt.NDArray[np.int64]) -> Histogram:
    low, high = int(min(train.min(), incoming.min())), int(np.quantile(train, 0.99))
    width = max(1, -(-(high - low) // BINS))
    edges = np.arange(low, max(high, low) + 2 * width, width)
    counts = [np.histogram(np.minimum(values, edges[-1] - 1), edges)[0] / len(values) for values in (train, incoming)]
    return Histogram(edges.tolist(), counts[0].tolist(), counts[1].tolist())


# --- decide ----------------------------------------------------------------------------------


def decide(params: Params, looks: Mapping[str, Look], changed: Sequence[str], forced: bool) -> Decision:
    """Whether to train. changed: what training reads and is not as it was, as lines."""
    reasons, remarks = ["asked for"] if forced else [], []
    reasons += changed
    for name, seen in looks.items():
        said = _speaks_for(params.retraining, seen)
        reasons += [f"{name}: {line}" for line in said[0]]
        remarks += [f"{name}: {line}" for line in said[1]]
    return Decision(bool(reasons), reasons, remarks)


def _speaks_for(bounds: Retraining, seen: Look) -> tuple[list[str], list[str]]:
    """Reasons and remarks. Where there is nothing new to learn, neither drift nor age is a reason."""
    reasons, remarks = [], []
    learnable = seen.new if bounds.use_feedback else 0
    samples = f"{seen.new} new {'sample' if seen.new == 1 else 'samples'}"
    if learnable >= bounds.minimum_new_samples:
        reasons.append(samples)
    elif seen.new:
        why = (
            f"{bounds.minimum_new_samples} are worth a training"
            if bounds.use_feedback
            else "retraining.use_feedback is off"
        )
        remarks.append(f"{samples} ({why})")
    found = [_drift_line(seen.comparison.distances)] if seen.comparison and seen.comparison.distances.drifted else []
    if seen.age is not None and seen.age > bounds.max_age:
        found.append(f"the champion is {seen.age:.0f} days old")
    (reasons if learnable else remarks).extend(found)
    if seen.pending:
        reasons.append(f"run {seen.pending} has not been through the gate")
    if seen.refused:
        remarks.append("refused: " + ", ".join(f"{count} {reason}" for reason, count in seen.refused.items()))
    return reasons, remarks


def _drift_line(distances: Distances) -> str:
    first, *others = distances.drifted
    more = f" and {len(others)} more" if others else ""
    return f"drift of {one_line(first.name)} ({first.value:.2f}, bound {first.bound:g}){more}"


# --- record ----------------------------------------------------------------------------------


def record(outcome: str, decision: Decision | None, **more: Any) -> None:
    """A line of the log. outcome: started, which trained or failed ends; unchanged; or skipped."""
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "outcome": outcome, **more}
    if decision is not None:
        entry |= {"reasons": decision.reasons, "remarks": decision.remarks}
    append_only_log.append(paths.retrainings(), entry)
