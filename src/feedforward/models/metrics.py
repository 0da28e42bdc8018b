"""Losses, correctness, AUC, F1 and R² of predictions, given logits and labels.

What is measured depends on the labels: class numbers of shape (samples,), multiple labels of shape (samples, outputs),
or floats for regression. For more than two classes, and for multiple labels, AUC and F1 are means over the classes or
labels (scikit-learn's `macro`).
"""

import numpy as np
import numpy.typing as npt

from feedforward.models.numpy_network import Array, Network

Labels = npt.NDArray[np.generic]
Numbers = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]


def is_value(labels: Labels) -> bool:
    """Whether the labels are regression targets rather than classes."""
    return labels.dtype.kind == "f"


def losses(network: Network, logits: Array, labels: Labels) -> Numbers:
    """The loss of each sample, shape (samples,): that of training, but with the temperature and without penalties."""
    scaled_logits = network.scale_logits(logits)
    is_binary = network.last_activation == "sigmoid" and not is_value(labels) and labels.ndim == 1
    if network.last_activation == "softmax" or is_binary:
        log_probabilities = network.log_probabilities(logits)
        return np.asarray(-log_probabilities[np.arange(len(labels)), labels.astype(np.int64)])
    targets = np.asarray(labels, np.float64).reshape(scaled_logits.shape)
    if network.last_activation == "sigmoid":
        positive, negative = np.logaddexp(0, -scaled_logits), np.logaddexp(0, scaled_logits)
        return np.asarray((targets * positive + (1 - targets) * negative).mean(axis=1))
    return np.asarray(((scaled_logits - targets) ** 2).mean(axis=1))


def correct(network: Network, logits: Array, labels: Labels) -> npt.NDArray[np.bool_]:
    """Whether predictions are correct: shape (samples,) for classes, (samples, outputs) for multiple labels.

    For regression, the shape is (samples, 0).
    """
    if is_value(labels):
        return np.zeros((len(labels), 0), bool)
    if labels.ndim == 2:
        return np.asarray((logits > 0) == (np.asarray(labels, np.int64) > 0))
    return np.asarray(network.log_probabilities(logits).argmax(axis=1) == labels.astype(np.int64))


def scores(network: Network, logits: Array, labels: Labels) -> tuple[str, Numbers]:
    """(name, score of each sample): `accuracy`, the sample's share of correct labels, or `mae`, its absolute error."""
    if is_value(labels):
        return "mae", np.abs(network.activate(logits)[:, 0] - np.asarray(labels, np.float64).reshape(-1))
    return "accuracy", correct(network, logits, labels).reshape(len(labels), -1).mean(axis=1)


def measure(network: Network, logits: Array, labels: Labels) -> dict[str, float]:
    """Compute the metrics other than loss and accuracy, if they are defined: `auc` and `f1`, or `r2` for regression."""
    if is_value(labels):
        r_squared = r2(np.asarray(labels, np.float64).reshape(-1), network.activate(logits)[:, 0])
        return {} if r_squared is None else {"r2": r_squared}
    truths, probabilities, predictions = by_class(network, logits, labels)
    areas = [auc(truths[:, k], probabilities[:, k]) for k in range(truths.shape[1])]
    defined_areas = [area for area in areas if area is not None]
    mean_f1 = float(np.mean([f1(truths[:, k], predictions[:, k]) for k in f1_columns(truths, predictions)]))
    return {"f1": mean_f1, **({"auc": float(np.mean(defined_areas))} if len(defined_areas) == len(areas) else {})}


def by_class(network: Network, logits: Array, labels: Labels) -> tuple[Truths, Numbers, Truths]:
    """(truths, probabilities, predictions) of each class or label as a yes–no question, shape (samples, questions).

    Two classes are one question: whether a sample belongs to the second class.
    """
    if labels.ndim == 2:
        probabilities, truths = network.activate(logits), np.asarray(labels, np.int64) > 0
        predictions = probabilities > 0.5
    else:
        probabilities = network.to_probabilities(logits)
        classes = np.arange(probabilities.shape[1])
        truths = labels.astype(np.int64)[:, None] == classes
        predictions = probabilities.argmax(axis=1)[:, None] == classes
        if len(classes) == 2:
            probabilities, truths, predictions = probabilities[:, 1:], truths[:, 1:], predictions[:, 1:]
    return truths, probabilities, predictions


def f1_columns(truths: Truths, predictions: Truths) -> npt.NDArray[np.int64]:
    """The questions over which F1 is averaged: those with a true or predicted yes for any sample, or all if none."""
    columns = np.flatnonzero((truths | predictions).any(axis=0))
    return columns if len(columns) else np.arange(truths.shape[1])


def auc(truths: Truths, probabilities: Numbers) -> float | None:
    """Area under the ROC curve: the probability that a positive sample scores higher than a negative one.

    Ties count one half. None unless there are both positive and negative samples.

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    positive = int(truths.sum())
    negative = len(truths) - positive
    if not positive or not negative:
        return None
    _, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    ranks = float((np.cumsum(counts) - (counts - 1) / 2)[inverse][truths].sum())  # ties share their mean rank
    return (ranks - positive * (positive + 1) / 2) / (positive * negative)


def f1(truths: Truths, predictions: Truths) -> float:
    """Harmonic mean of precision and recall; 0 if no sample is positive and none is predicted to be positive.

    >>> f1(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(truths.sum()) + int(predictions.sum())
    return 2 * int((truths & predictions).sum()) / total if total else 0.0


def r2(truths: Numbers, predictions: Numbers) -> float | None:
    """Share of the variance that the predictions explain; None if all true values are equal.

    >>> r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    0.5
    """
    total = float(((truths - truths.mean()) ** 2).sum())
    return 1 - float(((truths - predictions) ** 2).sum()) / total if total else None
