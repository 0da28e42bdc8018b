"""Signs that a run has not learned: the loss of the best constant prediction, and dead hidden units."""

import itertools

import numpy as np
import numpy.typing as npt

from feedforward.data.splits import Subset
from feedforward.models.numpy_network import ACTIVATIONS, Network

ROWS = 2000  # training samples on which a unit must be 0 to count as dead


def constant_loss(train: npt.NDArray[np.generic], validation: npt.NDArray[np.generic], regression: bool) -> float:
    """Validation loss of the constant prediction that fits the training labels best.

    train, validation: the labels (see Split) of the training and the validation samples. Classification: the
    cross-entropy of predicting the class shares; with several labels per sample, its mean over the labels. Regression:
    the mean squared error of predicting the mean. Values from 0 to 1 (`unit_regression`, floats): the cross-entropy of
    predicting the mean. A class without training samples counts as if it had half a sample.

    >>> import numpy as np
    >>> round(constant_loss(np.array([0, 1]), np.array([1, 0, 1]), regression=False), 4)  # ln 2
    0.6931
    """
    if regression:
        return float(np.mean((validation.astype(np.float64) - train.astype(np.float64).mean(axis=0)) ** 2))
    if train.ndim == 2:
        columns = zip(train.T, validation.T, strict=True)
        return float(np.mean([constant_loss(labels, held_out, regression) for labels, held_out in columns]))
    if train.dtype.kind == "f":
        values, limit = validation.astype(np.float64), 0.5 / len(train)
        mean = np.clip(train.mean(dtype=np.float64), limit, 1 - limit)
        return float(-np.mean(values * np.log(mean) + (1 - values) * np.log(1 - mean)))
    classes = int(max(train.max(), validation.max())) + 1
    counts = np.maximum(np.bincount(train.astype(np.int64), minlength=classes), 0.5)
    return float(-np.log(counts / counts.sum())[validation.astype(np.int64)].mean())


def dead_units(network: Network, samples: Subset) -> int:
    """The number of hidden units whose output is 0 on all of the first ROWS samples, so that they get no gradient.

    Only activations that are constant below 0 (relu) have such units.
    """
    rows = samples.row_numbers(np.arange(min(ROWS, len(samples))))
    sums = network.first_sums(samples.split.take(rows).features)
    dead = 0
    for layer, following in itertools.pairwise(network.layers):
        outputs = ACTIVATIONS[layer.activation](sums)
        dead += int((outputs == 0).all(axis=0).sum())
        sums = outputs @ following.kernel + following.bias
    return dead
