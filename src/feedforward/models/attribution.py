"""Which test samples a model gets most wrong, and which columns spoke for its answers."""

from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.data.splits import MultiHot, Split
from feedforward.models.numpy_network import Network

SAMPLES = 12
WORDS = 8


def hardest(network: Network, split: Split, number: int = SAMPLES) -> list[dict[str, Any]]:
    """The samples of `split` whose label gets the lowest probability, the lowest first, as JSON values.

    row: in the split. truth, answer: class numbers. probability: that of the answer. columns: for multi-hot features
    the columns that move the answer most, each with the change of the answer's log odds that leaving it out undoes.
    """
    logits = network.logits(split.features)
    chances = network.log_probabilities(logits)
    labels = np.asarray(split.labels, np.int64)
    of_label = chances[np.arange(len(labels)), labels]
    found = []
    for row in np.argsort(of_label, kind="stable")[:number]:
        answer = int(chances[row].argmax())
        columns = (
            _columns(network, split.features.rows(row, row + 1), answer) if isinstance(split.features, MultiHot) else []
        )
        found.append(
            {
                "row": int(row),
                "truth": int(labels[row]),
                "answer": answer,
                "probability": float(np.exp(chances[row, answer])),
                "columns": columns,
            }
        )
    return found


def _columns(network: Network, sample: MultiHot, answer: int) -> list[list[Any]]:
    """Attribution by leaving out: exact for one column at a time, and one forward pass for all of them."""
    sums = network.first_sums(sample)
    first = network.layers[0].kernel[np.asarray(sample.indices)] * np.float32(network.scale)
    with_all = log_odds(network.log_probabilities(network.continued(sums)), answer)
    without = log_odds(network.log_probabilities(network.continued(sums - first)), answer)
    change = with_all - without
    strongest = np.argsort(-np.abs(change), kind="stable")[:WORDS]
    return [[int(sample.indices[k]), round(float(change[k]), 4)] for k in strongest]


def log_odds(logarithms: npt.NDArray[np.float64], label: int) -> npt.NDArray[np.float64]:
    """(samples,): nats for class `label` against all others, from logarithms of probabilities (samples, classes)."""
    others = np.delete(logarithms, label, axis=1)
    highest = others.max(axis=1)
    rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
    return np.asarray(logarithms[:, label] - rest, np.float64)
