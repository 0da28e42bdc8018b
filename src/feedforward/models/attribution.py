"""The samples that a network predicts worst, and the features that contribute most to its predictions."""

from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.data.splits import MultiHot, Split
from feedforward.models.numpy_network import Network

SAMPLES = 12
WORDS = 8


def hardest(network: Network, split: Split, number: int = SAMPLES) -> list[dict[str, Any]]:
    """The samples of `split` whose label gets the lowest probability, lowest first, as JSON values.

    row: in the split. truth, answer: class numbers of label and prediction. probability: of the prediction. columns:
    for multi-hot features, the columns with the largest effect on the prediction: [column, effect], where the effect is
    how much the log odds of the prediction (nats) fall if the column is set to zero.
    """
    log_probabilities = network.log_probabilities(network.logits(split.features))
    labels = np.asarray(split.labels, np.int64)
    of_label = log_probabilities[np.arange(len(labels)), labels]
    samples = []
    for row in np.argsort(of_label, kind="stable")[:number]:
        answer = int(log_probabilities[row].argmax())
        columns = (
            _columns(network, split.features.rows(row, row + 1), answer) if isinstance(split.features, MultiHot) else []
        )
        samples.append(
            {
                "row": int(row),
                "truth": int(labels[row]),
                "answer": answer,
                "probability": float(np.exp(log_probabilities[row, answer])),
                "columns": columns,
            }
        )
    return samples


def _columns(network: Network, sample: MultiHot, answer: int) -> list[list[Any]]:
    """Effects by leaving one column out at a time: exact, in one forward pass for all columns."""
    sums = network.first_sums(sample)
    first = network.layers[0].kernel[np.asarray(sample.indices)] * np.float32(network.scale)
    with_all = log_odds(network.log_probabilities(network.continued(sums)), answer)
    without = log_odds(network.log_probabilities(network.continued(sums - first)), answer)
    change = with_all - without
    strongest = np.argsort(-np.abs(change), kind="stable")[:WORDS]
    return [[int(sample.indices[k]), round(float(change[k]), 4)] for k in strongest]


def log_odds(log_probabilities: npt.NDArray[np.float64], label: int) -> npt.NDArray[np.float64]:
    """(samples,): log odds of class `label` in nats, from log probabilities (samples, classes)."""
    others = np.delete(log_probabilities, label, axis=1)
    highest = others.max(axis=1)
    rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
    return np.asarray(log_probabilities[:, label] - rest, np.float64)
