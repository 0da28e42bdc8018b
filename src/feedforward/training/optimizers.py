"""The optimizers in params.yaml: TensorFlow's fused operation for RMSprop, Keras's implementation for the others."""

import math
from collections.abc import Sequence
from typing import Any

from feedforward.config.schema import Optimizer
from feedforward.training.keras_backend import keras, tf
from feedforward.training.replica_stack import Gradients


def rate(params: Optimizer, epoch: int, epochs: int) -> float:
    """The learning rate in `epoch` (counted from 1) of `epochs`; it is the same for all replicas of a pack."""
    if params.decay is None:
        return params.learning_rate
    if params.decay.kind == "cosine":
        return params.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2
    return float(params.learning_rate * params.decay.factor ** (epoch - 1))


class Rule:
    """The update rule of `params` for `variables`, as graph operations.

    RMSprop uses TensorFlow's fused operation, which evaluates the formula of keras.optimizers.RMSprop in one call
    instead of eight, each with a temporary array (tests compare the two). Other rules use Keras's implementation.
    """

    def __init__(self, params: Optimizer, variables: Sequence[tf.Variable]) -> None:
        self.params = params
        # A constant unless the rate decays, to save reading a variable in every step
        self.rate: Any = tf.Variable(params.learning_rate, dtype=tf.float32) if params.decay else params.learning_rate
        if params.name == "rmsprop":
            self.states = {v.ref(): [tf.Variable(tf.zeros_like(v)) for _ in range(2)] for v in variables}
        else:
            self.keras_optimizer = _keras_optimizer(params)
            self.keras_optimizer.build(variables)

    def start(self, epoch: int, epochs: int) -> None:
        """Set the learning rate before `epoch` (counted from 1)."""
        if self.params.decay is None:
            return
        self.rate.assign(rate(self.params, epoch, epochs))
        if self.params.name != "rmsprop":
            self.keras_optimizer.learning_rate.assign(self.rate)

    def apply(self, gradients: Gradients) -> None:
        """Update each variable by its gradient."""
        if self.params.name != "rmsprop":
            self.keras_optimizer.apply([gradient for _, gradient in gradients], [variable for variable, _ in gradients])
            return
        for variable, gradient in gradients:
            velocity, momentum = self.states[variable.ref()]
            tf.raw_ops.ResourceApplyRMSProp(
                var=variable.handle,
                ms=velocity.handle,
                mom=momentum.handle,
                lr=self.rate,
                rho=self.params.rho,
                momentum=self.params.momentum,
                epsilon=self.params.epsilon,
                grad=gradient,
            )


def _keras_optimizer(params: Optimizer) -> keras.Optimizer:
    optimizers = {
        "sgd": lambda: keras.optimizers.SGD(params.learning_rate, params.momentum, params.nesterov),
        "adagrad": lambda: keras.optimizers.Adagrad(
            params.learning_rate, params.initial_accumulator, epsilon=params.epsilon
        ),
        "adam": lambda: keras.optimizers.Adam(params.learning_rate, params.beta_1, params.beta_2, params.epsilon),
    }
    return optimizers[params.name]()
