"""Replicas of equal shape as one network: stacked weights, batched matrix products, dropout and L2 penalties."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from feedforward.training.keras_backend import keras, tf

Gradients = list[tuple[tf.Variable, tf.Tensor]]
Weights = list[npt.NDArray[np.float32]]  # the weights of one model, in Keras's order: kernel, bias, kernel, …


def dense_layers(model: keras.Model) -> list[keras.layers.Dense]:
    """The layers that have weights, in order."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def l2_factors(model: keras.Model) -> list[float]:
    """The L2 penalty factor of each dense layer."""
    return [float(getattr(layer.kernel_regularizer, "l2", 0.0)) for layer in dense_layers(model)]


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _add_bias(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Add a bias of shape (replicas, units) to `x` of shape (replicas, samples, units).

    TensorFlow's built-in gradient sums over samples in an order that depends on the number of replicas. Here, the sum
    is a product with a vector of ones, whose order of additions does not depend on it.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.shape(upstream)
        return upstream, tf.matmul(tf.ones((shape[0], 1, shape[1])), upstream)[:, 0]

    return x + bias[:, None], gradient


class Stack:
    """Replicas whose layers have the same shapes: each kernel is one variable, shape (replicas, inputs, units).

    members: the replicas' positions in the pack. rows: how many rows of the first kernel are in the stack: all of them
    or, for multi-hot features, those of the most frequent columns, called the head; the others are the tail (see
    sparse_layer).
    """

    def __init__(self, members: Sequence[int], models: Sequence[keras.Model], weights: Sequence[Weights], rows: int):
        self.members = list(members)
        self.layers = dense_layers(models[0])
        self.rates = [
            [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] for model in models
        ]
        self.l2 = np.array([l2_factors(model) for model in models], np.float32)  # (replicas, layers)
        self.head = tf.Variable(np.stack([arrays[0][:rows] for arrays in weights]))
        stacks = [tf.Variable(np.stack(arrays)) for arrays in list(zip(*weights, strict=True))[1:]]
        self.biases, self.kernels = stacks[0::2], stacks[1::2]

    @property
    def variables(self) -> list[tf.Variable]:
        """Head, biases and kernels, in the order of their gradients."""
        return [self.head, *self.biases, *self.kernels]

    def logits(self, features: tf.Tensor, sums: Sequence[tf.Tensor], seed: int, step: tf.Tensor | None) -> tf.Tensor:
        """The outputs before the last activation, shape (replicas, samples, outputs).

        sums: for each replica, what the tail's rows contribute to the first layer's product, shape (samples, units);
            empty for dense features.
        """
        x = tf.matmul(features[None], self.head)
        if sums:
            x += tf.stack(list(sums))
        for number, layer in enumerate(self.layers):
            if number:
                x = tf.matmul(x, self.kernels[number - 1])
            x = _add_bias(x, tf.convert_to_tensor(self.biases[number]))
            if layer is not self.layers[-1]:
                x = layer.activation(x)
                if step is not None:
                    x = self._drop(x, number, seed, step)
        return x

    def _drop(self, x: tf.Tensor, layer: int, seed: int, step: tf.Tensor) -> tf.Tensor:
        """Inverted dropout, as in Keras. All replicas share the random numbers, which depend on seed, layer, step."""
        rates = [rates[layer] for rates in self.rates]
        if not any(rates):
            return x
        noise = tf.random.stateless_uniform(tf.shape(x)[1:], (seed * 1000 + layer, step))
        replicas = [
            tf.where(noise < 1.0 - rate, part / (1.0 - rate), 0.0) if rate else part
            for part, rate in zip(tf.unstack(x), rates, strict=True)
        ]
        return tf.stack(replicas)

    def penalty(self) -> list[tf.Tensor]:
        """The L2 penalty of each replica, computed as in Keras, but without the tail of the first kernel."""
        total = tf.zeros(len(self.members))
        for kernel, l2 in zip([self.head, *self.kernels], self.l2.T, strict=True):
            if l2.any():
                total += l2 * tf.reduce_sum(tf.square(kernel), (1, 2))
        return list(tf.unstack(total))

    def with_penalty(self, gradients: Sequence[tf.Tensor]) -> Gradients:
        """Each variable with its gradient, including the gradient of the L2 penalty."""
        l2 = {id(kernel): l2 for kernel, l2 in zip([self.head, *self.kernels], self.l2.T, strict=True) if l2.any()}
        return [
            (variable, gradient + 2.0 * l2[id(variable)][:, None, None] * variable if id(variable) in l2 else gradient)
            for variable, gradient in zip(self.variables, gradients, strict=True)
        ]

    def assign(self, weights: Sequence[Weights]) -> None:
        """Set the weights of each replica."""
        self.head.assign(np.stack([arrays[0][: self.head.shape[1]] for arrays in weights]))
        stacks = [variable for pair in zip(self.biases, [*self.kernels, None], strict=True) for variable in pair]
        for variable, arrays in zip(stacks, list(zip(*weights, strict=True))[1:], strict=False):
            variable.assign(np.stack(arrays))
