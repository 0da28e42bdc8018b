"""Calibration of predicted probabilities: are predictions made with 80 % confidence correct 80 % of the time?

A network that is trained too long usually becomes overconfident: its loss rises while its accuracy hardly changes (Guo
et al., "On calibration of modern neural networks", ICML 2017).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]
BINS = 15  # as in Guo et al.


@dataclass(frozen=True)
class Bin:
    """The samples whose confidence falls into one bin: count, mean confidence, and share of correct predictions."""

    n: int
    confidence: float
    accuracy: float


def probabilities(logits: Array, temperature: float = 1.0) -> Array:
    """Softmax of logits / temperature, (samples, classes); a single column belongs to class 1 of two."""
    scaled = np.asarray(logits, float) / temperature
    if scaled.shape[1] == 1:
        scaled = np.concatenate([np.zeros_like(scaled), scaled], axis=1)
    return np.asarray(special.softmax(scaled, axis=1))


def reliability(p: Array, labels: Labels, bins: int = BINS) -> list[Bin]:
    """The non-empty bins of equal width over the confidence of the predictions, from low to high.

    p: (samples, classes), rows sum to 1. labels: (samples,) class numbers.
    """
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    members = [index == i for i in range(bins)]
    return [Bin(int(m.sum()), float(confidence[m].mean()), float(right[m].mean())) for m in members if m.any()]


def expected_error(p: Array, labels: Labels, bins: int = BINS) -> float:
    """Expected calibration error: mean distance between confidence and accuracy over the bins, weighted by samples.

    >>> expected_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]))
    0.4
    """
    total = sum(abs(b.confidence - b.accuracy) * b.n for b in reliability(p, labels, bins))
    return float(np.round(total / len(labels), 12))


def brier_score(p: Array, labels: Labels) -> float:
    """Mean squared distance between the probabilities and the one-hot labels, in [0, 2] (Brier 1950)."""
    return float(((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=1).mean())


def cross_entropy(p: Array, labels: Labels) -> float:
    """Mean negative logarithm of the probability assigned to the label, in nats."""
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-300)).mean())


def temperature(logits: Array, labels: Labels) -> float:
    """The temperature with the lowest cross-entropy on these samples; above 1 for an overconfident network.

    Dividing the logits by it does not change any predicted class. Fit it on validation samples, never on test samples.
    """

    def loss(log_temperature: float) -> float:
        return cross_entropy(probabilities(logits, float(np.exp(log_temperature))), labels)

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


@dataclass(frozen=True)
class Decomposition:
    """Cross-entropy = calibration + refinement: what temperature scaling removes, and what remains."""

    calibration: float
    refinement: float


def decompose(logits: Array, labels: Labels) -> Decomposition:
    """Split the cross-entropy at the best temperature (both parts in nats, calibration not negative)."""
    refinement = cross_entropy(probabilities(logits, temperature(logits, labels)), labels)
    return Decomposition(max(0.0, cross_entropy(probabilities(logits), labels) - refinement), refinement)


def confusion_matrix(p: Array, labels: Labels) -> npt.NDArray[np.int64]:
    """Number of samples by true class (rows) and predicted class (columns)."""
    matrix = np.zeros((p.shape[1], p.shape[1]), np.int64)
    np.add.at(matrix, (labels, p.argmax(axis=1)), 1)
    return matrix


@dataclass(frozen=True)
class ClassScore:
    """Precision and recall of a class, with its number of samples; 0 where undefined."""

    precision: float
    recall: float
    n: int


def class_scores(matrix: npt.NDArray[np.int64]) -> list[ClassScore]:
    """Scores of each class, from a confusion matrix."""
    right, answered, true = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return [
        ClassScore(float(r / a) if a else 0.0, float(r / t) if t else 0.0, int(t))
        for r, a, t in zip(right, answered, true, strict=True)
    ]
