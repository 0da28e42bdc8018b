"""The rule of promotion: does the challenger replace the champion? Pure functions from figures to a decision.

The rule compares the cross-entropy of each validation sample, paired. Cross-entropy, not accuracy, because it is a
proper score (it rewards calibrated probabilities, and these are served), and because every sample counts: if two
models disagree on 200 of 10,000 samples, a comparison of accuracies uses those 200 only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from feedforward.config.schema import Promotion, ShadowRule

HUGE = 1e300  # MLflow stores infinity as 1.797e308
MANY_DEGREES = 1e6  # of freedom: from here on, Student's t is normal


@dataclass(frozen=True)
class Evidence:
    """Results of holdout models of one recipe on the validation split, which none of them was trained on.

    losses: float64, (models, samples), cross-entropy of each sample in nats. The first model has the seed of the final
    model; the others show the effect of the seed. hits: bool, whether the first model predicts correctly: (samples,)
    for one class, (samples, labels) for several labels, (samples, 0) for a value. r2: of the first model if it predicts
    a value, else None.
    """

    losses: npt.NDArray[np.float64]
    hits: npt.NDArray[np.bool_]
    r2: float | None = None


@dataclass(frozen=True)
class Candidate:
    """What the rule needs to know about a challenger. figures: all its metrics, which must be finite."""

    evidence: Evidence
    figures: Mapping[str, float]
    bytes: int
    latency: float  # ms per sample


@dataclass(frozen=True)
class Gain:
    """The champion's mean cross-entropy minus the challenger's, in nats, with its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """reason: one line. class_accuracy: one value per label, in the order of the labels.

    waiting: the challenger is better, but the shadow has not compared enough requests yet.
    """

    promoted: bool
    reason: str
    gain: Gain | None
    class_accuracy: tuple[float, ...]
    waiting: bool = False


def decide(
    challenger: Candidate,
    champion: Evidence | None,
    labels: npt.NDArray[np.integer],
    names: Sequence[str],
    rule: Promotion,
) -> Decision:
    """Decide whether the challenger becomes champion. champion: None if there is none that can be compared.

    labels: (samples,), class numbers of the validation split on which both were measured. names: the labels.
    """
    accuracy = class_accuracy(challenger.evidence.hits, labels, len(names))
    violations = criteria_violated(challenger, accuracy, names, rule)
    if violations:
        return Decision(False, "; ".join(violations), None, accuracy)
    if champion is None:
        return Decision(
            True, "it meets all acceptance criteria, and there is no champion to compare with", None, accuracy
        )
    difference = gain(challenger.evidence, champion, rule.confidence)
    reason = f"gain in validation cross-entropy {difference.mean:.4f} [{difference.low:.4f}, {difference.high:.4f}]"
    if difference.low >= rule.minimum_gain and difference.mean > 0:
        return Decision(True, reason, difference, accuracy)
    return Decision(False, f"{reason}, its lower bound must be at least {rule.minimum_gain:g}", difference, accuracy)


def after_shadow(decision: Decision, requests: int, agreement: float, rule: ShadowRule) -> Decision:
    """The decision to promote, if the shadow confirms it.

    requests: number that both versions have answered. agreement: share of their samples with the same answer; it
    describes these requests, and its distance to the bound is not tested.
    """
    if requests < rule.requests:
        reason = (
            f"{decision.reason}; it waits for the shadow, which has compared {requests} of {rule.requests} requests"
        )
        return replace(decision, promoted=False, waiting=True, reason=reason)
    seen = f"the shadow compared {requests} requests, agreement {agreement:.4f}"
    if agreement < rule.agreement:
        reason = f"{decision.reason}; {seen}, it must be at least {rule.agreement:g}"
        return replace(decision, promoted=False, reason=reason)
    return replace(decision, reason=f"{decision.reason}; {seen}")


def criteria_violated(
    challenger: Candidate, accuracy: Sequence[float], names: Sequence[str], rule: Promotion
) -> list[str]:
    """Acceptance criteria that the challenger violates, independent of the champion; one line each."""
    violations = [
        f"{name} must be finite, got {value:g}"
        for name, value in challenger.figures.items()
        if not math.isfinite(value) or abs(value) >= HUGE
    ]
    if not challenger.evidence.losses.size or not np.isfinite(challenger.evidence.losses).all():
        violations.append("the cross-entropy of each validation sample must be finite")
    violations += [
        f"accuracy on {name} must be at least {rule.class_accuracy:g}, got {share:.4f}"
        for name, share in zip(names, accuracy, strict=False)  # empty if a value is predicted
        if not share >= rule.class_accuracy  # NaN for a class without samples
    ]
    r2 = challenger.evidence.r2
    if r2 is not None and not r2 >= rule.minimum_r2:
        violations.append(f"R² must be at least {rule.minimum_r2:g}, got {r2:.4f}")
    if challenger.bytes > rule.max_bytes:
        violations.append(f"size must be at most {rule.max_bytes} bytes, got {challenger.bytes}")
    if not challenger.latency <= rule.max_latency:
        violations.append(f"latency must be at most {rule.max_latency:g} ms per sample, got {challenger.latency:.3g}")
    return violations


def class_accuracy(hits: npt.NDArray[np.bool_], labels: npt.NDArray[np.integer], classes: int) -> tuple[float, ...]:
    """Share of hits in each class (NaN for a class without samples), or for each of several labels."""
    if hits.ndim == 2:
        return tuple(hits.mean(axis=0).tolist())
    totals = np.bincount(labels, minlength=classes)
    correct = np.bincount(labels, weights=hits, minlength=classes)
    return tuple(float(hit / total) if total else math.nan for hit, total in zip(correct, totals, strict=True))


def gain(challenger: Evidence, champion: Evidence, confidence: float) -> Gain:
    """The mean paired difference of the losses, champion's minus challenger's, and its confidence interval.

    The interval accounts for the choice of validation samples and for the seeds of both recipes, so that a lucky seed
    does not count as an improvement. Seeds are few: degrees of freedom follow Welch and Satterthwaite.

    Raises:
        ValueError: the two were not measured on the same samples.
    """
    samples = challenger.losses.shape[1]
    if samples != champion.losses.shape[1]:
        raise ValueError(f"losses of {samples} and of {champion.losses.shape[1]} samples cannot be paired")
    differences = champion.losses.mean(axis=0) - challenger.losses.mean(axis=0)
    parts = [_variance(differences), *(_variance(models.losses.mean(axis=1)) for models in (challenger, champion))]
    mean, half = float(differences.mean()), _half_width(parts, confidence)
    return Gain(mean, mean - half, mean + half)


def expected_loss(evidence: Evidence, confidence: float) -> tuple[float, float, float]:
    """Mean loss of a recipe and its confidence interval (low, high), over samples and seeds as in `gain`."""
    parts = [_variance(evidence.losses.mean(axis=0)), _variance(evidence.losses.mean(axis=1))]
    mean, half = float(evidence.losses.mean()), _half_width(parts, confidence)
    return mean, mean - half, mean + half


def _half_width(parts: Sequence[tuple[float, int]], confidence: float) -> float:
    """Half the interval of a mean whose variance is the sum of `parts`: (variance, degrees of freedom)."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in parts)
    level = (1 + confidence) / 2
    return float(special.stdtrit(freedom, level) if freedom < MANY_DEGREES else special.ndtri(level)) * math.sqrt(total)


def _variance(values: npt.NDArray[np.float64]) -> tuple[float, int]:
    """The variance of the mean and its degrees of freedom; 0 for a single value, whose spread is unknown."""
    if len(values) < 2:
        return 0.0, 1
    return float(values.var(ddof=1)) / len(values), len(values) - 1
