"""Replicas of one network side by side: one wide network that trains all of them at once.

The replicas share their batches and nothing else. The first kernels stand side by side in one kernel of shape
(features, replicas x units), so that a batch is read once for all; the later layers are products of stacks.
The loss is the sum over replicas of each one's mean, and optimizers work element by element, so that no replica
touches another: replica k in a pack learns what it learns alone. On a CPU with AVX-512 it does so bit by bit, so that a
job that was interrupted inside a pack goes on with the rest; two operations below are written with that in mind.
Elsewhere it trains the whole pack again, to the same bytes (provenance.pack_decides).
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Optimizer
from feedforward.training import sparse_layer
from feedforward.training.batches import Batch
from feedforward.training.keras_backend import keras, tf

Gradients = list[tuple[tf.Variable, tf.Tensor]]


def _targets(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Labels, (samples,) or (samples, outputs), for every output of every replica."""
    labels = tf.cast(labels, tf.float32)
    return tf.broadcast_to(labels[:, None] if labels.shape.rank == 1 else labels, tf.shape(logits))


def _binary(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(_targets(labels, logits), logits), -1)


def _squared(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.square(logits - _targets(labels, logits)), -1)


def _categorical(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    labels = tf.broadcast_to(tf.cast(labels, tf.int32), tf.shape(logits)[:-1])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


# Keras's losses of the same names, taken before the last activation, where no logarithm can overflow
_LOSSES = {"sigmoid": _binary, "softmax": _categorical, "linear": _squared}


VECTOR = 16  # numbers that a CPU takes at a time, or a multiple


def _whole_vectors(logits: tf.Tensor) -> tf.Tensor:
    """The samples filled up to whole vectors: what is left over is computed by other code, with other last bits, and
    where the leftover stands would depend on the number of replicas.
    """
    return tf.pad(logits, [(0, 0), (0, -tf.shape(logits)[1] % VECTOR), (0, 0)])


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _add(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """(replicas, samples, units) + (replicas, units).

    TensorFlow's own gradient sums over samples in an order that depends on the number of replicas; a product with ones
    does not.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.shape(upstream)
        return upstream, tf.matmul(tf.ones((shape[0], 1, shape[1])), upstream)[:, 0]

    return x + bias[:, None], gradient


class Pack:
    """The weights of several replicas of one model, packed.

    models: built alike (network.build), differing in their seeds; their weights are where training starts.
    sparse: features are multi-hot; the first kernel is kept as head and tail (multihot).
    optimizer: what the pack will learn by; None: it will not.
    """

    def __init__(
        self, models: Sequence[keras.Model], seeds: Sequence[int], sparse: bool, optimizer: Optimizer | None = None
    ) -> None:
        self.models, self.seeds, self.sparse = models, seeds, sparse
        layers = models[0].layers
        self.scale = float(next(layer.scale for layer in layers if isinstance(layer, keras.layers.Rescaling)))
        self.dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
        self.dropout_rates = [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)]
        self.l2 = [float(getattr(layer.kernel_regularizer, "l2", 0.0)) for layer in self.dense]
        weights = [model.get_weights() for model in models]
        first = np.concatenate([arrays[0] for arrays in weights], axis=1)
        self.head = tf.Variable(first[: sparse_layer.HEAD] if sparse else first)
        self.tail = sparse_layer.tail(first[sparse_layer.HEAD :], optimizer, self.l2[0]) if sparse else None
        stacks = [tf.Variable(np.stack(arrays)) for arrays in list(zip(*weights, strict=True))[1:]]
        self.biases, self.kernels = stacks[0::2], stacks[1::2]

    @property
    def variables(self) -> list[tf.Variable]:
        """All variables that an optimizer trains."""
        tail = [self.tail.variable] if self.tail and self.tail.variable is not None else []
        return [self.head, *tail, *self.biases, *self.kernels]

    def tail_sums(self, batch: Batch) -> tf.Tensor:
        """(samples, replicas x units): the tail's part of the first product; 0 for dense features."""
        if self.tail is None:
            return tf.zeros(())
        return self.tail.product(batch.ones[self.tail.order], tf.shape(batch.labels)[0])

    def logits(self, batch: Batch, sums: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """(replicas, samples, outputs) before the last activation.

        sums: `tail_sums(batch)`. With `step` (int32) dropout is on, with masks that the replica's seed, the layer and
        the step decide.
        """
        wide = tf.matmul(batch.features * self.scale, self.head) + sums
        x = tf.transpose(tf.reshape(wide, (-1, len(self.models), self.dense[0].units)), (1, 0, 2))
        for number, layer in enumerate(self.dense):
            if number:
                x = tf.matmul(x, self.kernels[number - 1])
            x = _add(x, tf.convert_to_tensor(self.biases[number]))
            if layer is not self.dense[-1]:
                x = layer.activation(x)
                if step is not None and self.dropout_rates[number] > 0:
                    x = self._drop(x, number, step)
        return x

    def _drop(self, x: tf.Tensor, layer: int, step: tf.Tensor) -> tf.Tensor:
        shape, keep = tf.shape(x)[1:], 1.0 - self.dropout_rates[layer]
        noise = [tf.random.stateless_uniform(shape, (seed * 1000 + layer, step)) for seed in self.seeds]
        return tf.where(tf.stack(noise) < keep, x / keep, 0.0)

    @property
    def last(self) -> str:
        """The activation of the last layer."""
        return str(self.dense[-1].activation.__name__)

    def cross_entropy(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """(replicas, samples): the loss of each sample, without penalties."""
        samples = tf.shape(labels)[0]
        labels = tf.pad(labels, [(0, -samples % VECTOR), *[(0, 0)] * (labels.shape.rank - 1)])
        return _LOSSES[self.last](labels, _whole_vectors(logits))[:, :samples]

    def score(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """(replicas,) float32, summed over samples: of class numbers, whether the most probable one is right; of many
        labels, the share that is right; of values, the absolute error.
        """
        if labels.dtype.is_floating:
            values = tf.sigmoid(_whole_vectors(logits))[:, : tf.shape(labels)[0]] if self.last == "sigmoid" else logits
            return tf.reduce_sum(tf.abs(values[..., 0] - labels), -1)
        if labels.shape.rank == 2:
            right = tf.reduce_sum(tf.cast((logits > 0) == (labels > 0), tf.float32), (1, 2))
            return right / float(self.dense[-1].units)
        binary = self.dense[-1].units == 1
        predicted = tf.cast(logits[..., 0] > 0, tf.int32) if binary else tf.argmax(logits, -1, tf.int32)
        return tf.reduce_sum(tf.cast(predicted == tf.cast(labels, tf.int32), tf.float32), -1)

    def penalty(self) -> tf.Tensor:
        """(replicas,) float32: the L2 penalty of each replica, as Keras adds it to the loss."""
        total = tf.zeros(len(self.models))
        if self.l2[0]:
            by_unit = tf.reduce_sum(tf.square(self.head), 0)
            by_unit += self.tail.squares() if self.tail else 0.0
            total += self.l2[0] * tf.reduce_sum(tf.reshape(by_unit, (len(self.models), -1)), 1)
        for l2, kernel in zip(self.l2[1:], self.kernels, strict=True):
            if l2:
                total += l2 * tf.reduce_sum(tf.square(kernel), (1, 2))
        return total

    def gradients(self, batch: Batch, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """Cross-entropies (replicas, samples), logits, and each variable with its gradient.

        A tail without a variable has learned when this is done.
        """
        sums = self.tail_sums(batch)
        watched = [sums, self.head, *self.biases, *self.kernels]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            logits = self.logits(batch, sums, step)
            entropy = self.cross_entropy(batch.labels, logits)
            loss = tf.reduce_sum(tf.reduce_mean(entropy, -1))
        upstream, *gradients = tape.gradient(loss, watched)
        pairs = list(zip(watched[1:], gradients, strict=True))
        if self.tail is not None:
            gradient = self.tail.backward(upstream, batch.ones["column"])
            pairs += [(self.tail.variable, gradient)] if gradient is not None else []
        return entropy, logits, [(variable, self._decayed(variable, gradient)) for variable, gradient in pairs]

    def _decayed(self, variable: tf.Variable, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient with that of the L2 penalty, made by hand: on the tape the tail would have a dense gradient."""
        tail = self.tail.variable if self.tail else None
        kernels = zip([self.head, tail, *self.kernels], [self.l2[0], *self.l2], strict=True)
        l2 = next((l2 for kernel, l2 in kernels if kernel is variable), 0.0)
        return gradient + 2.0 * l2 * variable if l2 else gradient

    def weights(self) -> list[list[npt.NDArray[np.generic]]]:
        """Of each model the weights as they are now, in the order of Keras."""
        parts = [self.head.numpy(), *([self.tail.numpy()] if self.tail else [])]
        first = np.split(np.concatenate(parts), len(self.models), axis=1)
        stacks = [array for pair in zip(self.biases, self.kernels, strict=False) for array in pair] + self.biases[-1:]
        stacks = [variable.numpy() for variable in stacks]
        return [[first[k], *(np.array(stack[k]) for stack in stacks)] for k in range(len(self.models))]

    def unpack(self) -> list[keras.Model]:
        """The models with their trained weights. The pack is of no use afterwards."""
        for model, weights in zip(self.models, self.weights(), strict=True):
            model.set_weights(weights)
        if self.tail:
            self.tail.free()
        return list(self.models)


def weights_digest(model: keras.Model) -> str:
    """SHA-256 (hex) over dtype, shape and bytes of the weights (a .keras file differs at each save: it holds dates)."""
    total = hashlib.sha256()
    for array in model.get_weights():
        total.update(f"{array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
