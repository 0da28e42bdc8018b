"""Losses, hits, AUC, F1 and R² of predictions, from logits and labels.

The kind of labels decides what is measured: class numbers (samples,), several labels (samples, outputs), or values
(floats). AUC and F1 of more than two classes are means over classes, as scikit-learn's `macro`.
"""

import numpy as np
import numpy.typing as npt

from feedforward.models.numpy_network import Array, Network

Labels = npt.NDArray[np.generic]
Numbers = npt.NDArray[np.float64]


def is_value(labels: Labels) -> bool:
    """Whether the labels are values (a regression) rather than classes."""
    return labels.dtype.kind == "f"


def losses(network: Network, logits: Array, labels: Labels) -> Numbers:
    """(samples,): the loss of each sample as in training, without regularization penalties."""
    wide = network.tempered(logits)
    if network.last == "softmax" or (network.last == "sigmoid" and not is_value(labels) and labels.ndim == 1):
        log_probabilities = network.log_probabilities(logits)
        return np.asarray(-log_probabilities[np.arange(len(labels)), labels.astype(np.int64)])
    targets = np.asarray(labels, np.float64).reshape(wide.shape)
    if network.last == "sigmoid":
        return np.asarray((targets * np.logaddexp(0, -wide) + (1 - targets) * np.logaddexp(0, wide)).mean(axis=1))
    return np.asarray(((wide - targets) ** 2).mean(axis=1))


def hits(network: Network, logits: Array, labels: Labels) -> npt.NDArray[np.bool_]:
    """Whether predictions are correct: (samples,) for a class, (samples, outputs) for labels, else (samples, 0)."""
    if is_value(labels):
        return np.zeros((len(labels), 0), bool)
    if labels.ndim == 2:
        return np.asarray((logits > 0) == (np.asarray(labels, np.int64) > 0))
    return np.asarray(network.log_probabilities(logits).argmax(axis=1) == labels.astype(np.int64))


def scores(network: Network, logits: Array, labels: Labels) -> tuple[str, Numbers]:
    """(name, (samples,)): `accuracy`, the share of each sample's labels that is right, or `mae`, the absolute error."""
    if is_value(labels):
        return "mae", np.abs(network.activated(logits)[:, 0] - np.asarray(labels, np.float64).reshape(-1))
    return "accuracy", hits(network, logits, labels).reshape(len(labels), -1).mean(axis=1)


def measure(network: Network, logits: Array, labels: Labels) -> dict[str, float]:
    """Metrics besides loss and accuracy that are defined: `auc` and `f1`, or `r2` for values."""
    if is_value(labels):
        explained = r2(np.asarray(labels, np.float64).reshape(-1), network.activated(logits)[:, 0])
        return {} if explained is None else {"r2": explained}
    if labels.ndim == 2:
        probabilities, truths = network.activated(logits), np.asarray(labels, np.int64) > 0
        answers = probabilities > 0.5
    else:
        probabilities = network.to_probabilities(logits)
        classes = np.arange(probabilities.shape[1])
        truths = labels.astype(np.int64)[:, None] == classes
        answers = probabilities.argmax(axis=1)[:, None] == classes
        if len(classes) == 2:  # the second class is the positive one
            probabilities, truths, answers = probabilities[:, 1:], truths[:, 1:], answers[:, 1:]
    columns = range(truths.shape[1])
    curves = [auc(truths[:, k], probabilities[:, k]) for k in columns]
    defined = [value for value in curves if value is not None]
    mean_f1 = float(np.mean([f1(truths[:, k], answers[:, k]) for k in columns]))
    return {"f1": mean_f1, **({"auc": float(np.mean(defined))} if len(defined) == len(curves) else {})}


def auc(truths: npt.NDArray[np.bool_], probabilities: Numbers) -> float | None:
    """Area under the ROC curve: the probability that a positive sample scores higher than a negative one.

    Ties count one half. None without samples of both kinds.

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


def f1(truths: npt.NDArray[np.bool_], answers: npt.NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall; 0 if nothing is true and nothing is predicted.

    >>> f1(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(truths.sum()) + int(answers.sum())
    return 2 * int((truths & answers).sum()) / total if total else 0.0


def r2(truths: Numbers, answers: Numbers) -> float | None:
    """Share of the variance that is explained; None if all values are equal.

    >>> r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    0.5
    """
    spread = float(((truths - truths.mean()) ** 2).sum())
    return 1 - float(((truths - answers) ** 2).sum()) / spread if spread else None
