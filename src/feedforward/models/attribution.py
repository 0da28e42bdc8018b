"""The samples that a network predicts worst, and the features that contribute most to its predictions."""

from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.data.splits import MultiHot, Split
from feedforward.models.numpy_network import Network

SAMPLES = 12
WORDS = 8


def hardest(network: Network, split: Split, number: int = SAMPLES) -> list[dict[str, Any]]:
    """The samples in `split` whose true labels get the lowest probabilities, lowest first, as JSON-serializable values.

    row: row number in the split. truth, answer: class numbers of the label and of the prediction. probability:
    probability of the prediction. columns: for multi-hot features, [column, effect] for the columns with the largest
    effect, that is, how much the log odds of the prediction (nats) fall if the column is set to zero.
    """
    log_probabilities = network.log_probabilities(network.logits(split.features))
    labels = np.asarray(split.labels, np.int64)
    label_log_probabilities = log_probabilities[np.arange(len(labels)), labels]
    samples = []
    for row in np.argsort(label_log_probabilities, kind="stable")[:number]:
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
    """[column, effect] for the columns with the largest effects, exact, from one forward pass for all columns."""
    sums = network.first_sums(sample)
    contributions = network.layers[0].kernel[np.asarray(sample.indices)] * np.float32(network.scale)
    with_all = log_odds(network.log_probabilities(network.continued(sums)), prediction)
    without_each = log_odds(network.log_probabilities(network.continued(sums - contributions)), prediction)
    effects = with_all - without_each
    largest = np.argsort(-np.abs(effects), kind="stable")[:WORDS]
    return [[int(sample.indices[k]), round(float(effects[k]), 4)] for k in largest]


def log_odds(log_probabilities: npt.NDArray[np.float64], label: int) -> npt.NDArray[np.float64]:
    """Log odds of class `label` in nats, shape (samples,), from log probabilities of shape (samples, classes)."""
    others = np.delete(log_probabilities, label, axis=1)
    highest = others.max(axis=1)
    rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
    return np.asarray(log_probabilities[:, label] - rest, np.float64)
