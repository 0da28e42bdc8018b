"""The rule: does the challenger replace the champion? Pure: figures in, a decision with its reason out.

What is compared is the cross-entropy of each validation sample, paired. Cross-entropy and not accuracy, because it is
a proper score (it rewards an honest probability, which is what is served) and because each sample says something:
between two models that differ on 200 of 10,000 reviews, accuracy rests on those 200 alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from feedforward.config.schema import Promotion

HUGE = 1e300  # MLflow keeps infinity as 1.797e308
MANY = 1e6  # degrees of freedom from which t is normal


@dataclass(frozen=True)
class Evidence:
    """How models of one recipe did on the validation split, which none of them learned from.

    losses: float64, (models, samples), cross-entropy of each sample, nats; the first model has the seed of the one
    that is to be served, the others show what a seed does. hits: bool, (samples,), does the first model give the label
    of the sample the highest probability? Of many labels (samples, labels), of a value (samples, 0). explained: R² of
    the first model where it answers with a value.
    """

    losses: npt.NDArray[np.float64]
    hits: npt.NDArray[np.bool_]
    explained: float | None = None


@dataclass(frozen=True)
class Candidate:
    """All that the rule asks of a challenger. figures: whatever was measured of it, to be finite."""

    evidence: Evidence
    figures: Mapping[str, float]
    bytes: int
    latency: float  # ms for one sample


@dataclass(frozen=True)
class Gain:
    """By how much the champion's mean cross-entropy is above the challenger's, with its interval; nats."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """`reason` is one line; class_accuracy has a value for each label, in their order."""

    promoted: bool
    reason: str
    gain: Gain | None
    class_accuracy: tuple[float, ...]


def decide(
    challenger: Candidate,
    champion: Evidence | None,
    labels: npt.NDArray[np.integer],
    names: Sequence[str],
    rule: Promotion,
) -> Decision:
    """Whether the challenger becomes champion; `champion` None: there is none, or it cannot be served any more.

    labels: (samples,), class numbers of the validation split on which both were measured. names: of the classes.
    """
    accuracy = class_accuracy(challenger.evidence.hits, labels, len(names))
    faults = unsound(challenger, accuracy, names, rule)
    if faults:
        return Decision(False, "; ".join(faults), None, accuracy)
    if champion is None:
        return Decision(True, "the first that is sound", None, accuracy)
    found = gain(challenger.evidence, champion, rule.confidence)
    reason = f"gain in validation cross-entropy {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"
    if found.low >= rule.minimum_gain and found.mean > 0:
        return Decision(True, reason, found, accuracy)
    return Decision(False, f"{reason}, its low end must reach {rule.minimum_gain:g}", found, accuracy)


def unsound(challenger: Candidate, accuracy: Sequence[float], names: Sequence[str], rule: Promotion) -> list[str]:
    """What forbids to serve the challenger, whoever is champion; one line each, empty if nothing does."""
    faults = [
        f"{name} must be finite, got {value:g}"
        for name, value in challenger.figures.items()
        if not math.isfinite(value) or abs(value) >= HUGE
    ]
    if not challenger.evidence.losses.size or not np.isfinite(challenger.evidence.losses).all():
        faults.append("the cross-entropy of each validation sample must be finite")
    faults += [
        f"accuracy on {name} must be at least {rule.class_accuracy:g}, got {found:.4f}"
        for name, found in zip(names, accuracy, strict=False)  # of a value there is none
        if not found >= rule.class_accuracy  # a class without samples has no accuracy (NaN)
    ]
    explained = challenger.evidence.explained
    if explained is not None and not explained >= rule.minimum_r2:
        faults.append(f"explained variance (R²) must be at least {rule.minimum_r2:g}, got {explained:.4f}")
    if challenger.bytes > rule.max_bytes:
        faults.append(f"size must be at most {rule.max_bytes} bytes, got {challenger.bytes}")
    if not challenger.latency <= rule.max_latency:
        faults.append(f"latency must be at most {rule.max_latency:g} ms a sample, got {challenger.latency:.3g}")
    return faults


def class_accuracy(hits: npt.NDArray[np.bool_], labels: npt.NDArray[np.integer], classes: int) -> tuple[float, ...]:
    """Share of hits among the samples of each class, NaN where a class has none; of many labels, on each."""
    if hits.ndim == 2:
        return tuple(hits.mean(axis=0).tolist())
    totals = np.bincount(labels, minlength=classes)
    found = np.bincount(labels, weights=hits, minlength=classes)
    return tuple(float(hit / total) if total else math.nan for hit, total in zip(found, totals, strict=True))


def gain(challenger: Evidence, champion: Evidence, confidence: float) -> Gain:
    """The mean paired difference of the losses, champion's minus challenger's, and its interval.

    The interval covers the choice of the validation samples and the seeds of both recipes: what a lucky seed won on
    the split is no improvement. Degrees of freedom by Welch and Satterthwaite, for seeds are few.

    Raises:
        ValueError: the two were not measured on the same samples.
    """
    samples = challenger.losses.shape[1]
    if samples != champion.losses.shape[1]:
        raise ValueError(f"losses of {samples} and of {champion.losses.shape[1]} samples are no pairs")
    differences = champion.losses.mean(axis=0) - challenger.losses.mean(axis=0)
    parts = [_variance(differences), *(_variance(each.losses.mean(axis=1)) for each in (challenger, champion))]
    total = sum(variance for variance, _ in parts)
    mean, half = float(differences.mean()), 0.0
    if total > 0:
        freedom = total**2 / sum(variance**2 / freedom for variance, freedom in parts)
        level = (1 + confidence) / 2
        half = float(special.stdtrit(freedom, level) if freedom < MANY else special.ndtri(level)) * math.sqrt(total)
    return Gain(mean, mean - half, mean + half)


def _variance(values: npt.NDArray[np.float64]) -> tuple[float, int]:
    """The variance of the mean, and its degrees of freedom; 0 of a single value, whose spread nobody knows."""
    if len(values) < 2:
        return 0.0, 1
    return float(values.var(ddof=1)) / len(values), len(values) - 1
