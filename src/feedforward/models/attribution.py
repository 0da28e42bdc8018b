"""The samples that a network predicts worst, and the features that contribute most to its predictions."""

from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.data.splits import MultiHot, Split
from feedforward.models.numpy_network import Network

SAMPLES = 12  # default of `hardest`
COLUMNS = 8  # per sample


def hardest(network: Network, split: Split, count: int = SAMPLES) -> list[dict[str, Any]]:
    """The samples in `split` whose true labels get the lowest probabilities, lowest first, as JSON-serializable values.

    row: row number in the split. truth, answer: class numbers of the label and of the prediction. probability:
    probability of the prediction. columns: [column, effect] for at most COLUMNS columns, the largest absolute effect
    first; empty for dense features. The effect is by how much the prediction's log odds (in nats) fall if the column is
    set to zero.
    """
    log_probabilities = network.log_probabilities(network.logits(split.features))
    labels = np.asarray(split.labels, np.int64)
    label_log_probabilities = log_probabilities[np.arange(len(labels)), labels]
    samples = []
    for row in np.argsort(label_log_probabilities, kind="stable")[:count]:
        prediction = int(log_probabilities[row].argmax())
        sample = split.features.rows(row, row + 1) if isinstance(split.features, MultiHot) else None
        columns = [] if sample is None else _effects(network, sample, prediction)
        samples.append(
            {
                "row": int(row),
                "truth": int(labels[row]),
                "answer": prediction,
                "probability": float(np.exp(log_probabilities[row, prediction])),
                "columns": columns,
            }
        )
    return samples


def _effects(network: Network, sample: MultiHot, prediction: int) -> list[list[Any]]:
    """[column, effect] for the columns with the largest effects. They are exact: each column is left out in turn."""
    sums = network.first_sums(sample)
    contributions = network.layers[0].kernel[np.asarray(sample.indices)] * np.float32(network.scale)
    with_all = log_odds(network.log_probabilities(network.logits_from_sums(sums)), prediction)
    without_each = log_odds(network.log_probabilities(network.logits_from_sums(sums - contributions)), prediction)
    effects = with_all - without_each
    largest = np.argsort(-np.abs(effects), kind="stable")[:COLUMNS]
    return [[int(sample.indices[k]), round(float(effects[k]), 4)] for k in largest]


def log_odds(log_probabilities: npt.NDArray[np.float64], label: int) -> npt.NDArray[np.float64]:
    """Log odds of class `label` in nats, shape (samples,), from log probabilities of shape (samples, classes)."""
    other_classes = np.delete(log_probabilities, label, axis=1)
    highest = other_classes.max(axis=1)
    log_sum = highest + np.log(np.exp(other_classes - highest[:, None]).sum(axis=1))
    return np.asarray(log_probabilities[:, label] - log_sum, np.float64)
