"""Errors of a network: confusion matrix, precision and recall per label, ROC and precision–recall curves, residuals.

The results are JSON-serializable and of bounded size, so they can be stored with each run and compared across seeds.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.models import metrics
from feedforward.models.metrics import Labels, Numbers
from feedforward.models.numpy_network import Array, Network

Truths = npt.NDArray[np.bool_]

GRID = np.arange(51) / 50
# The points are denser where curves bend: at low false positive rates and at high recall.
FALSE_POSITIVE_RATES = GRID**2
RECALLS = 1 - GRID[::-1] ** 2
MAX_CLASSES = 50  # in a confusion matrix
BINS, POINTS = 20, 200  # for residuals
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def analyze(network: Network, logits: Array, labels: Labels, mean: float = 0.0, scale: float = 1.0) -> dict[str, Any]:
    """Analyze the errors of predictions, given logits and labels; return a dictionary with these keys.

    `labels`: for each label, `precision`, `recall`, `f1`, `support` (number of samples with it), `auc` and
    `average_precision` (both None unless some samples have the label and some do not). `roc`: [false positive rates,
    true positive rates]; `precision_recall`: [recalls, precisions]; both are means over the labels for which they are
    defined or, if there are two classes, the curves of the second. `confusion`: the confusion matrix, if each sample
    has one class and there are at most MAX_CLASSES. For regression, the result has only `residuals`.

    mean, scale: the mean and the standard deviation with which the target was standardized.
    """
    if metrics.is_value(labels):
        predicted = network.activate(logits)[:, 0] * scale + mean
        return {"residuals": residuals(np.asarray(labels, np.float64).reshape(-1) * scale + mean, predicted)}
    if labels.ndim == 2:
        probabilities, truths = network.activate(logits), np.asarray(labels, np.int64) > 0
        return _label_errors(truths, probabilities > 0.5, probabilities, range(truths.shape[1]))
    probabilities, classes = network.to_probabilities(logits), np.asarray(labels, np.int64)
    predictions, class_numbers = probabilities.argmax(axis=1), np.arange(probabilities.shape[1])
    plotted_classes = range(len(class_numbers)) if len(class_numbers) > 2 else range(1, 2)
    truths = classes[:, None] == class_numbers
    errors = _label_errors(truths, predictions[:, None] == class_numbers, probabilities, plotted_classes)
    if len(class_numbers) <= MAX_CLASSES:
        errors["confusion"] = confusion_matrix(classes, predictions, len(class_numbers)).tolist()
    return errors


def confusion_matrix(truths: npt.NDArray[np.integer], predictions: npt.NDArray[np.integer], classes: int) -> Labels:
    """Number of samples by true class (rows) and predicted class (columns), shape (classes, classes).

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    return np.bincount(truths * classes + predictions, minlength=classes**2).reshape(classes, classes)


def _label_errors(
    truths: Truths, predictions: Truths, probabilities: Numbers, plotted_classes: range
) -> dict[str, Any]:
    rows = [_scores(truths[:, k], predictions[:, k], probabilities[:, k]) for k in range(truths.shape[1])]
    curves = [(truths[:, k], probabilities[:, k]) for k in plotted_classes if 0 < truths[:, k].sum() < len(truths)]
    errors: dict[str, Any] = {"labels": rows}
    if curves:
        for name, rates, curve in (("roc", FALSE_POSITIVE_RATES, roc), ("precision_recall", RECALLS, precision_recall)):
            errors[name] = [_round(rates), _round(np.mean([curve(*pair) for pair in curves], axis=0))]
    return errors


def _scores(truths: Truths, predictions: Truths, probabilities: Numbers) -> dict[str, float | None]:
    correct, predicted, support = (int(values.sum()) for values in (truths & predictions, predictions, truths))
    is_defined = 0 < support < len(truths)
    return {
        "precision": correct / predicted if predicted else 0.0,
        "recall": correct / support if support else 0.0,
        "f1": metrics.f1(truths, predictions),
        "support": support,
        "auc": metrics.auc(truths, probabilities),
        "average_precision": average_precision(truths, probabilities) if is_defined else None,
    }


def _counts(truths: Truths, probabilities: Numbers) -> tuple[Numbers, Numbers]:
    """(true positives, false positives) at each distinct threshold, highest first, preceded by zeros."""
    order = np.argsort(-probabilities, kind="stable")
    # samples with equal scores share a threshold
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    positive = np.cumsum(truths[order])[ends]
    return np.append(0, positive).astype(float), np.append(0, ends + 1 - positive).astype(float)


def roc(truths: Truths, probabilities: Numbers) -> Numbers:
    """True positive rates at FALSE_POSITIVE_RATES, interpolated between thresholds."""
    positive, negative = _counts(truths, probabilities)
    x, y = negative / negative[-1], positive / positive[-1]
    is_highest = np.append(np.diff(x) > 0, True)  # among the true positive rates at one false positive rate
    return np.asarray(np.interp(FALSE_POSITIVE_RATES, x[is_highest], y[is_highest]))


def precision_recall(truths: Truths, probabilities: Numbers) -> Numbers:
    """Precisions at RECALLS, each at the highest threshold that reaches the recall, without interpolation.

    Points on a line between two points of a precision–recall curve cannot be achieved (Davis and Goadrich, ICML 2006).
    """
    positive, negative = (counts[1:] for counts in _counts(truths, probabilities))
    positions = np.searchsorted(positive / positive[-1], RECALLS - 1e-12)  # recalls may differ by rounding errors
    return np.asarray(positive[positions] / (positive + negative)[positions])


def average_precision(truths: Truths, probabilities: Numbers) -> float:
    """Mean precision over the positive samples, each at its threshold: the area below the precision–recall steps.

    >>> round(average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.7])), 4)
    0.8333
    """
    positive, negative = _counts(truths, probabilities)
    precision = positive[1:] / (positive + negative)[1:]
    return float((np.diff(positive) * precision).sum() / positive[-1])


def residuals(truths: Numbers, predicted: Numbers) -> dict[str, Any]:
    """Residuals (true − predicted, in the unit of the target) against the prediction.

    `bins`: at most BINS rows [samples, mean prediction, mean residual, QUANTILES of the residual], sorted by prediction
    and with equal numbers of samples. `points`: at most POINTS pairs [prediction, residual], evenly spaced by rank.
    """
    order = np.argsort(predicted, kind="stable")
    x, y = predicted[order], (truths - predicted)[order]
    parts = [part for part in np.array_split(np.arange(len(x)), BINS) if len(part)]
    bins = [[len(part), x[part].mean(), y[part].mean(), *np.quantile(y[part], QUANTILES)] for part in parts]
    ranks = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    return {"bins": [_round(row) for row in bins], "points": [_round((x[k], y[k])) for k in ranks]}


def _round(values: Any) -> list[float]:
    """The values with six significant digits: enough for figures, in a quarter of the bytes."""
    return [float(f"{value:.6g}") for value in values]
