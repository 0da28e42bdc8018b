"""The update rules of the optimizers, compared with Keras's on the same gradients."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from feedforward.config.schema import Optimizer
from feedforward.training.optimizers import Rule

pytestmark = pytest.mark.usefixtures("tensorflow")

SHAPES = [(7, 4), (4,), (4, 3)]


def random_arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]


@pytest.mark.parametrize(
    ("settings", "keras_optimizer"),
    [
        ({}, keras.optimizers.RMSprop()),
        ({"learning_rate": 0.01, "rho": 0.5, "epsilon": 0.01}, keras.optimizers.RMSprop(0.01, rho=0.5, epsilon=0.01)),
        ({"momentum": 0.9}, keras.optimizers.RMSprop(momentum=0.9)),
        ({"name": "sgd", "learning_rate": 0.1}, keras.optimizers.SGD(0.1)),
        ({"name": "sgd", "momentum": 0.5}, keras.optimizers.SGD(0.001, momentum=0.5)),
        ({"name": "adagrad"}, keras.optimizers.Adagrad(0.001)),
        ({"name": "adam", "learning_rate": 0.002}, keras.optimizers.Adam(0.002)),
    ],
)
def test_optimizer_steps_match_keras(settings: dict[str, Any], keras_optimizer: keras.Optimizer) -> None:
    variables, keras_variables = ([tf.Variable(array) for array in random_arrays(0)] for _ in range(2))
    rule = Rule(Optimizer(**settings), variables)
    keras_rule = keras_optimizer.from_config(keras_optimizer.get_config())
    for step in range(5):
        gradients = [tf.constant(array * 10.0 ** (step - 3)) for array in random_arrays(step + 1)]
        rule.apply(list(zip(variables, gradients, strict=True)))
        keras_rule.apply(gradients, keras_variables)
        for variable, keras_variable in zip(variables, keras_variables, strict=True):
            np.testing.assert_allclose(variable, keras_variable, rtol=1e-6, atol=1e-6)


def test_update_does_not_depend_on_the_order_of_the_gradients() -> None:
    for name in ("rmsprop", "adam"):
        first, second = ([tf.Variable(array) for array in random_arrays(0)] for _ in range(2))
        for variables, step in ((first, 1), (second, -1)):
            gradients = [tf.constant(array) for array in random_arrays(1)]
            Rule(Optimizer(name=name), variables).apply(list(zip(variables, gradients, strict=True))[::step])
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


def test_update_rule_works_inside_a_graph() -> None:
    for name in ("rmsprop", "sgd", "adagrad", "adam"):
        variable = tf.Variable([1.0, 2.0])
        rule = Rule(Optimizer(name=name, learning_rate=0.1), [variable])

        @tf.function
        def steps(rule: Rule = rule, variable: tf.Variable = variable) -> None:
            for _ in tf.range(3):
                rule.apply([(variable, tf.ones(2))])

        steps()
        assert (variable.numpy() < [1.0, 2.0]).all()
