"""Keras's optimizers as TensorFlow's fused operations where there is one."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from feedforward.packing import Gradients
from feedforward.params import Optimizer


class Rule:
    """The update rule of `params` for `variables`, as operations of a graph.

    RMSprop is TensorFlow's fused operation: the formula of keras.optimizers.RMSprop in one call instead of eight
    operations that each make a temporary array (tests hold the two together). Other rules are Keras's own code.
    """

    def __init__(self, params: Optimizer, variables: Sequence[tf.Variable]) -> None:
        self.params = params
        if params.name == "rmsprop":
            self.states = {v.ref(): [tf.Variable(tf.zeros_like(v)) for _ in range(2)] for v in variables}
        else:
            self.keras = _keras_optimizer(params)
            self.keras.build(variables)

    def apply(self, gradients: Gradients) -> None:
        """Update each variable with its gradient."""
        if self.params.name != "rmsprop":
            self.keras.apply([gradient for _, gradient in gradients], [variable for variable, _ in gradients])
            return
        for variable, gradient in gradients:
            velocity, momentum = self.states[variable.ref()]
            tf.raw_ops.ResourceApplyRMSProp(
                var=variable.handle,
                ms=velocity.handle,
                mom=momentum.handle,
                lr=self.params.learning_rate,
                rho=self.params.rho,
                momentum=self.params.momentum,
                epsilon=self.params.epsilon,
                grad=gradient,
            )


def _keras_optimizer(params: Optimizer) -> keras.Optimizer:
    kinds = {
        "sgd": lambda: keras.optimizers.SGD(params.learning_rate, momentum=params.momentum),
        "adagrad": lambda: keras.optimizers.Adagrad(params.learning_rate, epsilon=params.epsilon),
        "adam": lambda: keras.optimizers.Adam(params.learning_rate, epsilon=params.epsilon),
    }
    return kinds[params.name]()
