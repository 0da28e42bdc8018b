"""The promotion rule: does the challenger replace the champion? Pure functions turn metrics into a decision.

The rule compares the models' cross-entropies sample by sample on the validation split. It uses cross-entropy instead of
accuracy, because cross-entropy is a proper score (it rewards calibrated probabilities, which are served), and because
every sample counts: if two models disagree on 200 of 10,000 samples, comparing accuracies uses only those 200.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from feedforward.config.schema import Promotion, ShadowRule

INFINITY_THRESHOLD = 1e300  # larger values count as infinite, because MLflow stores infinity as 1.797e308
MINIMUM_SAMPLES = 30  # for a comparison that leaves samples out; with fewer, Student's t is a poor approximation
NORMAL_DEGREES = 1e6  # degrees of freedom above which Student's t counts as normal

NO_SAMPLE = "no validation sample; raise `training.validation.samples`, or shuffle with `reader.shuffle_seed`"
NO_VARIANCE = "validation samples that all have the same target; raise `training.validation.samples`"


@dataclass(frozen=True)
class Evidence:
    """Results of models of one recipe on the same samples: usually holdout models on the validation split.

    losses: float64 of shape (models, samples), the cross-entropy of each sample in nats (for regression, the squared
    error in variances of the target). The first model has the seed of the final model; the others show the effect of
    the seed. correct: bool, whether the first model predicts correctly, of shape (samples,) for one class, (samples,
    labels) for several labels, and (samples, 0) for a value. r2: R² of the first model if it predicts a value, else
    None. unseen: bool of shape (samples,), whether each sample is new to the models; None if all are. Only these
    samples count in comparisons.
    """

    losses: npt.NDArray[np.float64]
    correct: npt.NDArray[np.bool_]
    r2: float | None = None
    unseen: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Candidate:
    """What the rule needs to know about a challenger. metrics: all its metrics, which must be finite."""

    evidence: Evidence
    metrics: Mapping[str, float]
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
    """The decision on a challenger. reason: one line. class_accuracy: one value per label, in the order of the labels.

    waiting: whether the challenger is better, but the shadow has not compared enough requests yet. remedy: what would
    make the two comparable; empty unless there is evidence for a champion that does not suffice for a comparison.
    """

    promoted: bool
    reason: str
    gain: Gain | None
    class_accuracy: tuple[float, ...]
    waiting: bool = False
    remedy: str = ""


def decide(
    challenger: Candidate,
    champion: Evidence | None,
    labels: npt.NDArray[np.integer],
    names: Sequence[str],
    rule: Promotion,
) -> Decision:
    """Decide whether the challenger becomes champion. champion: None if there is no comparable champion.

    labels: class numbers of the validation samples on which both were measured, shape (samples,). names: of the
    classes or labels.
    """
    accuracy = class_accuracy(challenger.evidence.correct, labels, len(names))
    violations = violations_of_criteria(challenger, accuracy, names, rule)
    if violations:
        return Decision(False, "; ".join(violations), None, accuracy)
    if champion is None:
        return Decision(
            True, "it meets all acceptance criteria, and there is no champion to compare with", None, accuracy
        )
    samples, total = int(unseen(challenger.evidence, champion).sum()), len(labels)
    if too_few(samples, total):
        reason = f"only {samples} of {total} validation samples are new to the champion's holdout models"
        remedy = "let `training.validation` hold out samples on which they were not trained"
        return Decision(False, reason, None, accuracy, remedy=remedy)
    if not shows_samples(challenger.evidence, champion):
        reason = "a single validation sample does not show whether the challenger is better on others"
        return Decision(False, reason, None, accuracy, remedy="raise `training.validation.samples`")
    if not shows_seeds(challenger.evidence, champion):
        models = f"{len(challenger.evidence.losses)} and {len(champion.losses)} holdout models"
        reason = f"challenger and champion have {models}, too few to tell a gain from the effect of the seeds"
        return Decision(False, reason, None, accuracy, remedy="set promotion.holdout_models to 3 or more")
    difference = gain(challenger.evidence, champion, rule.confidence)
    low = _distinct(difference.low, rule.minimum_gain)
    reason = f"gain in validation cross-entropy {difference.mean:.4f} [{low}, {difference.high:.4f}]"
    if samples < total:
        reason += f" on the {samples} of {total} validation samples that are new to the champion's holdout models"
    if difference.low >= rule.minimum_gain and difference.mean > 0:
        return Decision(True, reason, difference, accuracy)
    reason += f", whose lower bound must be at least {rule.minimum_gain:g}"
    if difference.mean <= 0:
        reason += " and whose mean must be above 0"
    return Decision(False, reason, difference, accuracy)


def confirm_with_shadow(decision: Decision, requests: int, agreement: float, rule: ShadowRule) -> Decision:
    """The decision to promote, withheld unless the shadow confirms it.

    requests: number of requests that the champion has answered and the challenger has been sent. agreement: share of
    the samples in these requests with the same answer (none of those in a request that the challenger refused); it is
    compared with the bound without a statistical test.
    """
    if requests < rule.requests:
        reason = (
            f"{decision.reason}; it waits for the shadow, which has compared {requests} of {rule.requests} requests"
        )
        return replace(decision, promoted=False, waiting=True, reason=reason)
    comparison = f"the shadow compared {requests} requests, agreement {_distinct(agreement, rule.agreement)}"
    if agreement < rule.agreement:
        reason = f"{decision.reason}; {comparison}, which must be at least {rule.agreement:g}"
        return replace(decision, promoted=False, reason=reason)
    return replace(decision, reason=f"{decision.reason}; {comparison}")


def violations_of_criteria(
    challenger: Candidate, accuracy: Sequence[float], names: Sequence[str], rule: Promotion
) -> list[str]:
    """Acceptance criteria that the challenger violates, one line each. They do not depend on the champion."""
    violations = [
        f"{name} must be finite, got {value:g}"
        for name, value in challenger.metrics.items()
        if not math.isfinite(value) or abs(value) >= INFINITY_THRESHOLD
    ]
    if not challenger.evidence.losses.size or not np.isfinite(challenger.evidence.losses).all():
        violations.append("there must be validation samples, and the loss of each must be finite")
    if rule.class_accuracy > 0:
        violations += [
            f"accuracy on {name} must be at least {rule.class_accuracy:g}, got "
            + (NO_SAMPLE if math.isnan(share) else _distinct(share, rule.class_accuracy))
            for name, share in zip(names, accuracy, strict=False)  # empty for regression
            if not share >= rule.class_accuracy
        ]
    r2, predicts_value = challenger.evidence.r2, challenger.evidence.correct.shape[1:] == (0,)
    if predicts_value and (r2 is None or not r2 >= rule.minimum_r2):
        received = NO_VARIANCE if r2 is None else _distinct(r2, rule.minimum_r2)
        violations.append(f"R² must be at least {rule.minimum_r2:g}, got {received}")
    if challenger.bytes > rule.max_bytes:
        violations.append(f"size must be at most {rule.max_bytes} bytes, got {challenger.bytes}")
    if not challenger.latency <= rule.max_latency:
        violations.append(f"latency must be at most {rule.max_latency:g} ms per sample, got {challenger.latency:.3g}")
    return violations


def _distinct(value: float, bound: float) -> str:
    """The value with four decimals, or with as many as it takes to tell it from a different bound."""
    texts = (f"{value:.{decimals}f}" for decimals in range(4, 18))
    return next((text for text in texts if (float(text) == bound) == (value == bound)), repr(value))


def class_accuracy(correct: npt.NDArray[np.bool_], labels: npt.NDArray[np.integer], classes: int) -> tuple[float, ...]:
    """Share of correct predictions in each class (NaN if it has no samples); with several labels, for each label."""
    if correct.ndim == 2:
        return tuple(correct.mean(axis=0).tolist())
    totals = np.bincount(labels, minlength=classes)
    counts = np.bincount(labels, weights=correct, minlength=classes)
    return tuple(float(count / total) if total else math.nan for count, total in zip(counts, totals, strict=True))


def gain(challenger: Evidence, champion: Evidence, confidence: float) -> Gain:
    """The mean paired difference of the losses, the champion's minus the challenger's, and its confidence interval.

    Samples that a model of either recipe was trained on are left out.

    The interval accounts for the choice of validation samples and for the seeds of both recipes, so a lucky seed does
    not count as an improvement. As seeds are few, the degrees of freedom follow Welch and Satterthwaite (Biometrics
    Bulletin 2, 1946). A recipe with one model is taken to vary as much over seeds as the other, as in Student's t test
    of two samples. With one model each, the interval is that of these two models: it accounts for samples only.

    Raises:
        ValueError: the two were not measured on equally many samples.
    """
    samples = challenger.losses.shape[1]
    if samples != champion.losses.shape[1]:
        raise ValueError(f"losses of {samples} and of {champion.losses.shape[1]} samples cannot be paired")
    counted = unseen(challenger, champion)
    new, old = challenger.losses[:, counted], champion.losses[:, counted]
    differences = old.mean(axis=0) - new.mean(axis=0)
    parts = [_variance(differences), *_seed_variances(new.mean(axis=1), old.mean(axis=1))]
    mean, half = float(differences.mean()), _half_width(parts, confidence)
    return Gain(mean, mean - half, mean + half)


def expected_loss(evidence: Evidence, confidence: float) -> tuple[float, float, float]:
    """Mean loss of a recipe and its confidence interval (low, high), over samples and seeds as in `gain`.

    With one model, it is the interval of this model's loss: it accounts for samples only.
    """
    losses = evidence.losses[:, unseen(evidence)]
    parts = [_variance(losses.mean(axis=0)), _variance(losses.mean(axis=1))]
    mean, half = float(losses.mean()), _half_width(parts, confidence)
    return mean, max(mean - half, 0.0), mean + half  # neither a cross-entropy nor a squared error is below 0


def shows_samples(*evidence: Evidence) -> bool:
    """Whether the samples that are new to all models suffice for an interval over samples: one shows no spread."""
    return int(unseen(*evidence).sum()) > 1


def shows_seeds(*evidence: Evidence) -> bool:
    """Whether the models suffice for an interval over seeds: they need at least two degrees of freedom.

    With one, Satterthwaite's approximation is poor: in simulations, 95 % intervals covered the truth in 88 % of cases.
    """
    return sum(len(models.losses) - 1 for models in evidence) >= 2


def unseen(*evidence: Evidence) -> npt.NDArray[np.bool_]:
    """Whether each sample is new to all models: bool, shape (samples,)."""
    result = np.ones(evidence[0].losses.shape[1], np.bool_)
    for models in evidence:
        if models.unseen is not None:
            result &= models.unseen
    return result


def too_few(samples: int, total: int) -> bool:
    """Whether so many of `total` samples are left out that the others do not suffice for a comparison."""
    return samples < min(total, MINIMUM_SAMPLES)


def _half_width(parts: Sequence[tuple[float, int]], confidence: float) -> float:
    """Half the interval's width for a mean whose variance is the sum of `parts`: (variance, degrees of freedom)."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in parts)
    level = (1 + confidence) / 2
    quantile = special.stdtrit(freedom, level) if freedom < NORMAL_DEGREES else special.ndtri(level)
    return float(quantile) * math.sqrt(total)


def _seed_variances(*losses: npt.NDArray[np.float64]) -> list[tuple[float, int]]:
    """The variances due to the seeds of two recipes, given the mean loss of each model, for `_half_width`."""
    few, several = sorted(losses, key=len)
    if len(few) > 1:
        return [_variance(few), _variance(several)]
    variance, degrees = _variance(several)  # s² / n of n models
    return [(variance * (1 + len(several)), degrees)]  # s² (1 / n + 1)


def _variance(values: npt.NDArray[np.float64]) -> tuple[float, int]:
    """The variance of the mean and its degrees of freedom; variance 0 for a single value, whose spread is unknown."""
    if len(values) < 2:
        return 0.0, 1
    return float(values.var(ddof=1)) / len(values), len(values) - 1
