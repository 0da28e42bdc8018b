"""How challengers' answers compare with champions' answers: counts and sums for each pair of versions.

The service's shadow process adds to the evidence about a pair, and the promotion gate reads it. Each dataset has one
file, which contains the latest PAIRS pairs, so it stays small; it contains no requests.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from feedforward.core import atomic_files, locks, paths
from feedforward.core.errors import DataError
from feedforward.promotion import audit_log, champion
from feedforward.tracking import model_version
from feedforward.tracking.model_version import Version

PAIRS = 10  # stored per dataset
MAX_BYTES = 2**24  # of a file
Identity = tuple[int, str]  # number of a version, SHA-256 of its manifest


@dataclass(frozen=True)
class Pair:
    """A challenger and the champion whose requests it answered."""

    champion: Identity
    challenger: Identity


@dataclass
class Tally:
    """Samples compared for one label. difference, distance: sums of signed and absolute differences.

    If a sample has one label, only the label that the champion predicts is compared, otherwise every label. A
    difference is the challenger's probability of the label minus the champion's; for a value, it is the challenger's
    prediction minus the champion's, in standard deviations of the target.
    """

    samples: int = 0
    agreed: int = 0
    difference: float = 0.0
    distance: float = 0.0

    def add(self, other: "Tally") -> None:
        """Add another tally."""
        self.samples += other.samples
        self.agreed += other.agreed
        self.difference += other.difference
        self.distance += other.distance


@dataclass
class Evidence:
    """The comparisons of a pair. seconds: CPU time of the challenger. labels: tallies by compared label."""

    requests: int = 0
    samples: int = 0
    agreed: int = 0
    seconds: float = 0.0
    labels: dict[str, Tally] = field(default_factory=dict)

    @property
    def agreement(self) -> float:
        """Share of samples with the same answer; 0 without samples."""
        return self.agreed / self.samples if self.samples else 0.0

    def add(self, other: "Evidence") -> None:
        """Add other evidence about the same pair."""
        self.requests += other.requests
        self.samples += other.samples
        self.agreed += other.agreed
        self.seconds += other.seconds
        for label, tally in other.labels.items():
            self.labels.setdefault(label, Tally()).add(tally)


def may_answer(version: Version) -> bool:
    """Whether a challenger may answer requests: the gate has decided that it meets the acceptance criteria.

    A version that is still being evaluated, was refused or was rolled back may not.
    """
    decision = version.tags.get(champion.DECISION)
    return version.is_evaluated and decision in (audit_log.KEPT, audit_log.WAITING, audit_log.PROMOTED)


def identity(version: Version) -> Identity:
    """The identity of a version in a pair."""
    return version.number, version.tags.get(model_version.DIGEST, "")


def find(dataset: str, current: Version, challenger: Version) -> Evidence:
    """Read the evidence about a challenger, compared with a champion; empty if there is none.

    Raises:
        DataError: the file is damaged.
    """
    return for_pair(dataset, Pair(identity(current), identity(challenger)))


def for_pair(dataset: str, pair: Pair) -> Evidence:
    """Read the evidence about a pair; raises as `find` does."""
    return next((_evidence(dataset, entry) for entry in _entries(dataset) if _is_about(entry, pair)), Evidence())


def latest(dataset: str) -> tuple[Pair, Evidence] | None:
    """Read the evidence that was added last, and its pair; None if there is none. Raises as `find` does."""
    entry = next(reversed(_entries(dataset)), None)
    if entry is None:
        return None
    try:
        pair = Pair(*((int(number), _text(digest)) for number, digest in (entry["champion"], entry["challenger"])))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(dataset, error) from None
    return pair, _evidence(dataset, entry)


def add(dataset: str, pair: Pair, evidence: Evidence) -> Evidence:
    """Add evidence to the file and return the total; raises as `find` does, or OSError if it cannot be written."""
    path = paths.shadow(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.holding(path.with_name(f".{path.name}.lock")):
        entries = _entries(dataset)
        total = for_pair(dataset, pair)
        total.add(evidence)
        others = [entry for entry in entries if not _is_about(entry, pair)]
        atomic_files.write_json(path, {"pairs": [*others[-(PAIRS - 1) :], {**asdict(pair), **asdict(total)}]}, "shadow")
    return total


def _is_about(entry: Mapping[str, Any], pair: Pair) -> bool:
    return (entry.get("champion"), entry.get("challenger")) == (list(pair.champion), list(pair.challenger))


def _entries(dataset: str) -> list[dict[str, Any]]:
    path = paths.shadow(dataset)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        return [dict(entry) for entry in atomic_files.read_json(path)["pairs"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(dataset, error) from None


def _evidence(dataset: str, entry: Mapping[str, Any]) -> Evidence:
    try:
        counts = {key: _count(entry[key]) for key in ("requests", "samples", "agreed")}
        labels = {_text(label): _tally(tally) for label, tally in entry["labels"].items()}
        return Evidence(**counts, seconds=_finite(entry["seconds"]), labels=labels)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(dataset, error) from None


def _tally(entry: Mapping[str, Any]) -> Tally:
    samples, agreed = _count(entry["samples"]), _count(entry["agreed"])
    if not samples:
        raise ValueError("a label without samples")
    return Tally(samples, agreed, _finite(entry["difference"]), _finite(entry["distance"]))


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{value!r:.40} is not a count")
    return value


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r:.40} is not finite")
    return number


def _text(value: str) -> str:
    return value.encode().decode()  # a label with an unpaired surrogate could not be shown


def _damaged(dataset: str, error: Exception) -> DataError:
    problem = f"it lacks {error}" if isinstance(error, KeyError) else error
    return DataError(f"{paths.shadow(dataset)}: cannot be read ({problem}); remove it: the shadow starts from zero")
