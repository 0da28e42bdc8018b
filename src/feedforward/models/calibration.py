"""Calibration of predicted probabilities: are predictions made with 80 % confidence correct 80 % of the time?

A network that trains too long becomes overconfident: its loss rises while its accuracy hardly changes (Guo et al., "On
calibration of modern neural networks", ICML 2017). Dividing the logits by one number, the temperature, removes that
part of the loss and changes no predicted class. The rest of the loss is the refinement (Berta et al., "Rethinking early
stopping: refine, then calibrate", 2025).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

BINS = 15  # as in Guo et al., but each bin has the same number of samples
LIMITS = (math.exp(-4), math.exp(4))  # lowest and highest temperature
STEPS, TOLERANCE = 50, 1e-4  # Newton's method: largest number of steps, and relative change at which it stops


@dataclass(frozen=True)
class Calibration:
    """How well the predictions for labeled samples are calibrated.

    ece: expected calibration error; scaled_ece: the same after temperature scaling. brier: Brier score. temperature:
    geometric mean of the halves' temperatures. refinement: cross-entropy after scaling, nats. The cross-entropy before
    scaling minus the refinement is the calibration part of the loss. bins, scaled_bins: see `reliability`.

    Scaled metrics are cross-fitted: each of two random halves is scaled with the temperature fitted on the other.
    """

    ece: float
    scaled_ece: float
    brier: float
    temperature: float
    refinement: float
    bins: Numbers
    scaled_bins: Numbers


FIGURES = ("ece", "scaled_ece", "brier", "temperature", "refinement")


def measure(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.generic]) -> Calibration:
    """Measure the calibration of predictions. All metrics are NaN if a logit is not finite.

    logits: shape (samples, outputs). labels: class numbers of shape (samples,), or 0 and 1 of shape (samples, outputs);
    each 0 or 1 counts as the label of a prediction with two classes.
    """
    class_logits, classes, sample = as_classes(logits, labels)
    if not np.isfinite(class_logits).all():
        return Calibration(math.nan, math.nan, math.nan, math.nan, math.nan, np.empty((0, 3)), np.empty((0, 3)))
    half = np.random.default_rng(0).permutation(len(logits))[sample] % 2 == 1
    temperatures = [temperature(class_logits[part], classes[part]) for part in (half, ~half)]
    # reversed, because each half is scaled with the temperature of the other
    scaled_values = log_probabilities(class_logits / np.where(half, *temperatures[::-1])[:, None])
    probabilities, scaled_probabilities = (
        np.exp(values) for values in (log_probabilities(class_logits), scaled_values)
    )
    bins, scaled_bins = reliability(probabilities, classes), reliability(scaled_probabilities, classes)
    return Calibration(
        expected_error(bins),
        expected_error(scaled_bins),
        brier_score(probabilities, classes),
        math.sqrt(math.prod(temperatures)),
        float(-scaled_values[np.arange(len(classes)), classes].mean()),
        bins,
        scaled_bins,
    )


def as_classes(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.generic]) -> tuple[Numbers, Labels, Labels]:
    """Convert to class predictions: logits of shape (n, classes), class numbers (n,), and row numbers of samples (n,).

    A sigmoid output with logit z is equivalent to a softmax over two classes with logits 0 and z.
    """
    class_logits, rows = logits.astype(np.float64), np.arange(len(logits))
    if labels.ndim == 1 and class_logits.shape[1] > 1:
        return class_logits, labels.astype(np.int64), rows
    column = class_logits.reshape(-1, 1)
    classes = (np.asarray(labels).reshape(-1) > 0).astype(np.int64)
    return np.concatenate([np.zeros_like(column), column], axis=1), classes, np.repeat(rows, class_logits.shape[1])


def log_probabilities(logits: Numbers) -> Numbers:
    """Logarithms of the softmax, shape (n, classes)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def temperature(logits: Numbers, labels: Labels) -> float:
    """The temperature, within LIMITS, with the lowest cross-entropy of softmax(logits / temperature).

    The cross-entropy is convex in the inverse temperature, so Newton's method with bisection finds the minimum. A
    normal prior for the inverse (mean 1, variance 1) has the weight of one sample: without the prior, a few samples
    that are all predicted correctly would give the lowest temperature. Fit a temperature on validation samples, never
    on test samples.
    """
    per_sample = 1 / max(1, len(labels))
    columns = np.ascontiguousarray(logits.T)  # shape (classes, n), because sums over the first axis are faster
    shifted = columns - columns.max(axis=0)
    label_logits = shifted[labels, np.arange(len(labels))]
    (low, high), inverse = (1 / LIMITS[1], 1 / LIMITS[0]), 1.0
    for _ in range(STEPS):
        weights = np.exp(inverse * shifted)
        weights /= weights.sum(axis=0)
        means = (weights * shifted).sum(axis=0)
        slope = per_sample * (inverse - 1 + float((means - label_logits).sum()))
        curvature = per_sample * (1 + float(((weights * shifted**2).sum(axis=0) - means**2).sum()))
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        next_inverse = inverse - slope / curvature
        next_inverse = next_inverse if low < next_inverse < high else math.sqrt(low * high)
        if abs(next_inverse - inverse) <= TOLERANCE * inverse:
            break
        inverse = next_inverse
    return 1 / inverse


def reliability(probabilities: Numbers, labels: Labels, bins: int = BINS) -> Numbers:
    """Number of samples, mean confidence, and share of correct predictions in each bin, shape (bins, 3).

    probabilities: shape (n, classes). The confidence of a prediction is its largest probability. The bins are in
    ascending order of confidence; their numbers of samples differ by at most one. Empty bins are left out.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return np.array([[len(part), confidence[part].mean(), correct[part].mean()] for part in parts])


def expected_error(bins: Numbers) -> float:
    """Expected calibration error: mean distance between confidence and accuracy over the bins, corrected for its bias.

    The plain mean is too large, because even with a distance of zero the accuracy of a bin varies by chance. Its
    expected excess, computed for normal errors at the observed distances, is subtracted (Kumar et al., "Verified
    uncertainty calibration", NeurIPS 2019). bins: the result of `reliability`.

    >>> round(expected_error(np.array([[5000, 0.9, 0.5], [5000, 0.8, 0.8]])), 3)
    0.198
    """
    samples, confidence, correct = bins.T
    gaps = np.abs(confidence - correct)
    share = (samples * correct + 0.5) / (samples + 1)  # of correct predictions, never 0 or 1, so the spread is above 0
    spread = np.sqrt(share * (1 - share) / samples)
    ratio = gaps / spread
    erf = np.array([math.erf(value / math.sqrt(2)) for value in ratio])
    # each expected gap is the mean of the absolute value of a normal variable with mean gap and deviation spread
    expected_gaps = spread * math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2) + gaps * erf
    return max(0.0, float(np.average(2 * gaps - expected_gaps, weights=samples)))


def brier_score(probabilities: Numbers, labels: Labels) -> float:
    """Mean squared distance between probabilities and one-hot labels, from 0 to 2 (Brier 1950).

    >>> brier_score(np.full((2, 2), 0.5), np.array([0, 1]))
    0.5
    """
    label_probabilities = probabilities[np.arange(len(labels)), labels]
    return float(((probabilities**2).sum(axis=1) - 2 * label_probabilities + 1).mean())
