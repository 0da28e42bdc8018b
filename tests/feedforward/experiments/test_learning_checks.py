"""The losses of constant predictions, compared with formulas, and the detection of dead units."""

import math

import numpy as np
import pytest

from feedforward.data.splits import Split, Subset
from feedforward.experiments.learning_checks import constant_loss, dead_units
from feedforward.models.numpy_network import Layer, Network


def test_constant_loss_of_ten_equal_classes_is_ln_10() -> None:
    labels = np.arange(10, dtype=np.uint8)
    assert constant_loss(labels, labels, regression=False) == pytest.approx(math.log(10))


def test_constant_loss_of_unequal_classes_is_their_entropy() -> None:
    labels = np.repeat([0, 1], [90, 10]).astype(np.uint8)
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert constant_loss(labels, labels, regression=False) == pytest.approx(entropy)


def test_constant_loss_of_several_labels_is_the_mean_over_labels() -> None:
    labels = np.array([[0, 1], [1, 1], [0, 1], [1, 1]], np.uint8)
    constant_label = -math.log(4 / 4.5)  # a class without samples counts as half a sample
    assert constant_loss(labels, labels, regression=False) == pytest.approx((math.log(2) + constant_label) / 2)


def test_constant_loss_of_a_regression_is_the_variance() -> None:
    values = np.array([-1.0, 1.0, -1.0, 1.0], np.float32)
    assert constant_loss(values, values, regression=True) == pytest.approx(1.0)


def test_constant_loss_of_values_from_0_to_1_is_the_cross_entropy_of_their_mean() -> None:
    train, validation = np.array([0.2, 0.4], np.float32), np.array([0.9, 0.1, 0.5], np.float32)
    expected = -(0.5 * math.log(0.3) + 0.5 * math.log(0.7))
    assert constant_loss(train, validation, regression=False) == pytest.approx(expected)
    ones = np.ones(4, np.float32)
    assert constant_loss(ones, ones, regression=False) == pytest.approx(-math.log(1 - 0.5 / 4))


def test_units_that_no_sample_activates_are_dead() -> None:
    rng = np.random.default_rng(0)
    kernel = np.abs(rng.normal(size=(5, 4))).astype(np.float32)
    bias = np.array([0, -1e6, 0, -1e6], np.float32)  # two units never fire
    second = Layer(np.ones((4, 3), np.float32), np.array([0, 0, -1e9], np.float32), "relu")  # one unit never fires
    network = Network(
        1.0,
        (Layer(kernel, bias, "relu"), second, Layer(np.ones((3, 1), np.float32), np.zeros(1, np.float32), "sigmoid")),
    )
    samples = Split(rng.integers(1, 9, (20, 5)).astype(np.uint8), np.zeros(20, np.uint8))
    assert dead_units(network, Subset(samples)) == 3
    assert dead_units(network, Subset(samples, np.array([3, 5]))) == 3
