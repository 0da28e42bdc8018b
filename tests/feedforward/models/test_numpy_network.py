"""The forward pass in NumPy, compared with formulas and with Keras."""

import math
from pathlib import Path

import networks
import numpy as np
import pytest

from feedforward.core.errors import DataError
from feedforward.data.splits import MultiHot
from feedforward.models.numpy_network import Layer, Network

ACTIVATIONS = ["relu", "tanh", "sigmoid", "elu", "gelu", "silu"]


def multi_hot(rows: int, columns: int) -> MultiHot:
    rng = np.random.default_rng(1)
    lengths = rng.integers(0, 7, rows)
    indices = [np.sort(rng.choice(columns, length, replace=False)) for length in lengths]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return MultiHot(indptr, np.concatenate([np.empty(0), *indices]).astype(np.uint16), columns)


def test_equal_logits_give_equal_probabilities() -> None:
    network = Network(1.0, (Layer(np.zeros((4, 10), np.float32), np.full(10, 3, np.float32), "softmax"),))
    features = np.ones((2, 4), np.uint8)
    np.testing.assert_allclose(network.probabilities(features), 0.1, atol=1e-12)
    np.testing.assert_allclose(network.log_probabilities(network.logits(features)), -math.log(10))


def test_log_probabilities_are_finite_where_probabilities_underflow() -> None:
    for activation, width in (("sigmoid", 1), ("softmax", 2)):
        network = Network(1.0, (Layer(np.full((1, width), 1e4, np.float32), np.zeros(width, np.float32), activation),))
        network.layers[0].kernel[0, 0] *= -1
        log_probabilities = network.log_probabilities(network.logits(np.ones((1, 1), np.uint8)))
        assert np.isfinite(log_probabilities).all()
        assert log_probabilities.min() <= -1e4


@pytest.mark.parametrize("rows", [0, 1, 8, 9, 4100])
def test_multi_hot_and_dense_rows_give_the_same_output(rows: int) -> None:
    network = networks.network([50, 6, 1], ["relu", "sigmoid"], scale=0.5)
    features = multi_hot(rows, 50)
    np.testing.assert_allclose(network.logits(features), network.logits(features.dense()), atol=1e-5)
    assert network.probabilities(features).shape == (rows, 2)


@pytest.mark.slow
def test_forward_pass_and_digest_match_keras(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    features = np.random.default_rng(0).integers(0, 256, (300, 20)).astype(np.uint8)
    for index, activation in enumerate(ACTIVATIONS):
        last_activation, width = ("sigmoid", 1) if index % 2 else ("softmax", 7)
        model = keras.Sequential(
            [
                keras.Input((20,)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Dense(16, activation=activation, bias_initializer="normal"),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(9, activation=activation),
                keras.layers.Dense(width, activation=last_activation),
            ]
        )
        from feedforward.training import trainer

        network = trainer.as_arrays(model)
        expected = np.asarray(model(features))
        predicted = network.probabilities(features)
        np.testing.assert_allclose(predicted[:, -width:], expected, atol=1e-6)
        assert network.weights_digest() == trainer.weights_digest(model)


def test_features_of_the_wrong_width_are_rejected() -> None:
    network = networks.network([5, 1], ["sigmoid"])
    with pytest.raises(DataError, match=r"must have 5 columns, got shape \(2, 6\)"):
        network.logits(np.ones((2, 6), np.float32))


def test_one_flipped_bit_changes_the_digest() -> None:
    network = networks.network([5, 1], ["sigmoid"])
    before = network.weights_digest()
    network.layers[0].kernel.view(np.uint32)[0, 0] ^= 1
    assert network.weights_digest() != before
