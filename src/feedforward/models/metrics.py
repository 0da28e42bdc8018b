"""How good answers are, sample by sample and over a split, from logits and labels.

What is measured follows from the labels: class numbers (samples,), many labels (samples, outputs), or values (floats).
AUC and F1 of more than two classes are means over classes, as scikit-learn's `macro`.
"""

import numpy as np
import numpy.typing as npt

from feedforward.models.numpy_network import Array, Network

Labels = npt.NDArray[np.generic]
Numbers = npt.NDArray[np.float64]


def is_value(labels: Labels) -> bool:
    """Are the labels values to come near to, rather than classes?"""
    return labels.dtype.kind == "f"


def losses(network: Network, logits: Array, labels: Labels) -> Numbers:
    """(samples,): the loss of each sample as in training, without penalties."""
    wide = logits.astype(np.float64)
    if network.last == "softmax" or (network.last == "sigmoid" and not is_value(labels) and labels.ndim == 1):
        chances = network.log_probabilities(logits)
        return np.asarray(-chances[np.arange(len(labels)), labels.astype(np.int64)])
    targets = np.asarray(labels, np.float64).reshape(wide.shape)
    if network.last == "sigmoid":
        return np.asarray((targets * np.logaddexp(0, -wide) + (1 - targets) * np.logaddexp(0, wide)).mean(axis=1))
    return np.asarray(((wide - targets) ** 2).mean(axis=1))


def hits(network: Network, logits: Array, labels: Labels) -> npt.NDArray[np.bool_]:
    """Is the answer right? (samples,) of a class; (samples, outputs) of many labels; (samples, 0) of a value."""
    if is_value(labels):
        return np.zeros((len(labels), 0), bool)
    if labels.ndim == 2:
        return np.asarray((logits > 0) == (np.asarray(labels, np.int64) > 0))
    return np.asarray(network.log_probabilities(logits).argmax(axis=1) == labels.astype(np.int64))


def measure(network: Network, logits: Array, labels: Labels) -> dict[str, float]:
    """Figures beside loss and accuracy: `auc` and `f1`, or of values `r2`; those that are defined."""
    if is_value(labels):
        found = r2(np.asarray(labels, np.float64).reshape(-1), network.activated(logits)[:, 0])
        return {} if found is None else {"r2": found}
    if labels.ndim == 2:
        chances, truths = network.activated(logits), np.asarray(labels, np.int64) > 0
        answers = chances > 0.5
    else:
        chances = network.to_probabilities(logits)
        classes = np.arange(chances.shape[1])
        truths = labels.astype(np.int64)[:, None] == classes
        answers = chances.argmax(axis=1)[:, None] == classes
        if len(classes) == 2:  # the second class is what is looked for
            chances, truths, answers = chances[:, 1:], truths[:, 1:], answers[:, 1:]
    columns = range(truths.shape[1])
    curves = [auc(truths[:, k], chances[:, k]) for k in columns]
    defined = [value for value in curves if value is not None]
    found_f1 = float(np.mean([f1(truths[:, k], answers[:, k]) for k in columns]))
    return {"f1": found_f1, **({"auc": float(np.mean(defined))} if len(defined) == len(curves) else {})}


def auc(truths: npt.NDArray[np.bool_], chances: Numbers) -> float | None:
    """Area under the ROC curve: the chance that a positive sample gets more than a negative one; None without both.

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    positive = int(truths.sum())
    negative = len(truths) - positive
    if not positive or not negative:
        return None
    _, place, counts = np.unique(chances, return_inverse=True, return_counts=True)
    ranks = float((np.cumsum(counts) - (counts - 1) / 2)[place][truths].sum())  # equal ones share their mean rank
    return (ranks - positive * (positive + 1) / 2) / (positive * negative)


def f1(truths: npt.NDArray[np.bool_], answers: npt.NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall; 0 where nothing is true and nothing is answered.

    >>> f1(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(truths.sum()) + int(answers.sum())
    return 2 * int((truths & answers).sum()) / total if total else 0.0


def r2(truths: Numbers, answers: Numbers) -> float | None:
    """Share of the variance that is explained; None where the values do not differ.

    >>> r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    0.5
    """
    spread = float(((truths - truths.mean()) ** 2).sum())
    return 1 - float(((truths - answers) ** 2).sum()) / spread if spread else None
