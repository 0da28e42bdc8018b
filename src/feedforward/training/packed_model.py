"""Several networks trained side by side on the same batches: the variants of one seed, or the trials of a sweep.

The replicas of a pack share their batches and nothing else. Layers of one shape are stacked, so that their products are
one operation; stacks of other shapes are computed beside them. The loss is the sum of each replica's mean loss, and
optimizers work element by element, so replica k of a pack learns what it learns alone.

It does so bit by bit, on any kind of CPU and on GPUs: products of replicas are items of a batch of matrix products of
one shape, and what an item gives does not depend on how many there are. (One wide product of all replicas would
add up in an order that depends on its width, unless the CPU has AVX-512.) So a changed variant trains alone, and a job
that was interrupted inside a pack continues with the rest.
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
Weights = list[npt.NDArray[np.float32]]  # of one model, in the order of Keras: kernel, bias, kernel, …


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


# Keras's losses of the same names, computed from logits, where no logarithm can overflow
_LOSSES = {"sigmoid": _binary, "softmax": _categorical, "linear": _squared}


VECTOR = 16  # numbers that a CPU processes at a time, or a multiple


def _whole_vectors(logits: tf.Tensor) -> tf.Tensor:
    """The samples padded to whole vectors: a remainder is computed by other code, with other last bits, and where the
    remainder stands would depend on the number of replicas.
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


class _Stack:
    """The replicas whose layers have the same shapes: each kernel is one variable (replicas, inputs, units).

    members: positions in the pack. head: of the first kernel all rows, or those of the head (see sparse_layer).
    """

    def __init__(self, members: Sequence[int], models: Sequence[keras.Model], weights: Sequence[Weights], rows: int):
        self.members = list(members)
        self.layers = _dense(models[0])
        self.rates = [
            [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] for model in models
        ]
        self.l2 = np.array([_l2(model) for model in models], np.float32)  # (replicas, layers)
        self.head = tf.Variable(np.stack([arrays[0][:rows] for arrays in weights]))
        stacks = [tf.Variable(np.stack(arrays)) for arrays in list(zip(*weights, strict=True))[1:]]
        self.biases, self.kernels = stacks[0::2], stacks[1::2]

    @property
    def variables(self) -> list[tf.Variable]:
        return [self.head, *self.biases, *self.kernels]

    def logits(self, features: tf.Tensor, sums: Sequence[tf.Tensor], seed: int, step: tf.Tensor | None) -> tf.Tensor:
        """(replicas, samples, outputs) before the last activation; sums: of each replica, what is added to the first
        product, or none.
        """
        x = tf.matmul(features[None], self.head)
        if sums:
            x += tf.stack(list(sums))
        for number, layer in enumerate(self.layers):
            if number:
                x = tf.matmul(x, self.kernels[number - 1])
            x = _add(x, tf.convert_to_tensor(self.biases[number]))
            if layer is not self.layers[-1]:
                x = layer.activation(x)
                if step is not None:
                    x = self._drop(x, number, seed, step)
        return x

    def _drop(self, x: tf.Tensor, layer: int, seed: int, step: tf.Tensor) -> tf.Tensor:
        """Inverted dropout, as Keras's; the mask is decided by seed, layer and step, so equal layers share it."""
        rates = [rates[layer] for rates in self.rates]
        if not any(rates):
            return x
        noise = tf.random.stateless_uniform(tf.shape(x)[1:], (seed * 1000 + layer, step))
        dropped = [
            tf.where(noise < 1.0 - rate, part / (1.0 - rate), 0.0) if rate else part
            for part, rate in zip(tf.unstack(x), rates, strict=True)
        ]
        return tf.stack(dropped)

    def penalty(self) -> list[tf.Tensor]:
        """Of each replica the L2 penalty, as Keras adds it to the loss, without that of the first kernel's tail."""
        total = tf.zeros(len(self.members))
        for kernel, l2 in zip([self.head, *self.kernels], self.l2.T, strict=True):
            if l2.any():
                total += l2 * tf.reduce_sum(tf.square(kernel), (1, 2))
        return list(tf.unstack(total))

    def decayed(self, gradients: Sequence[tf.Tensor]) -> Gradients:
        """Each variable and its gradient with that of the L2 penalty."""
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


class Pack:
    """The weights of several models that train on the same batches.

    models: built by network.build from one seed, of any shapes, with the same outputs; training starts from their
    weights. sparse: features are multi-hot; the first kernel is kept as head and tail (sparse_layer).
    optimizer: what the pack will learn by; None: it will not.
    """

    def __init__(
        self, models: Sequence[keras.Model], seed: int, sparse: bool, optimizer: Optimizer | None = None
    ) -> None:
        self.models, self.seed, self.sparse = list(models), seed, sparse
        layers = models[0].layers
        self.scale = float(next(layer.scale for layer in layers if isinstance(layer, keras.layers.Rescaling)))
        self.output = _dense(models[0])[-1]
        weights = [model.get_weights() for model in models]
        rows = sparse_layer.HEAD if sparse else len(weights[0][0])
        self.stacks = [
            _Stack(members, [models[k] for k in members], [weights[k] for k in members], rows)
            for members in _alike([tuple(array.shape for array in arrays) for arrays in weights])
        ]
        self.order = [k for stack in self.stacks for k in stack.members]
        # A penalty makes every row of a kernel learn in every step, so replicas with and without one have tails apart.
        l2 = [_l2(model)[0] for model in models]
        self.tails = [
            (members, sparse_layer.tail([weights[k][0][rows:] for k in members], optimizer, [l2[k] for k in members]))
            for members in (_alike([factor > 0 for factor in l2]) if sparse else [])
        ]

    @property
    def variables(self) -> list[tf.Variable]:
        """All variables that an optimizer trains."""
        tails = [tail.variable for _, tail in self.tails if tail.variable is not None]
        return [*tails, *(variable for stack in self.stacks for variable in stack.variables)]

    def tail_sums(self, batch: Batch) -> list[tf.Tensor]:
        """Of each replica (samples, units): the tail's part of the first product; nothing for dense features."""
        sums: dict[int, tf.Tensor] = {}
        for members, tail in self.tails:
            product = tail.product(batch.ones[tail.order], tf.shape(batch.labels)[0])
            sums |= zip(members, tf.split(product, tail.widths, axis=1), strict=True)
        return [sums[k] for k in sorted(sums)]

    def logits(self, batch: Batch, sums: Sequence[tf.Tensor], step: tf.Tensor | None = None) -> tf.Tensor:
        """(replicas, samples, outputs) before the last activation.

        sums: `tail_sums(batch)`. With `step` (int32) dropout is on, with masks that the seed, the layer and the step
        decide.
        """
        features = batch.features * self.scale
        parts = [
            stack.logits(features, [sums[k] for k in stack.members] if self.sparse else [], self.seed, step)
            for stack in self.stacks
        ]
        return self._in_order(tf.concat(parts, 0) if len(parts) > 1 else parts[0])

    def _in_order(self, values: tf.Tensor) -> tf.Tensor:
        """Values of all stacks, (replicas, …), in the order of the pack."""
        if self.order == sorted(self.order):
            return values
        return tf.stack([values[self.order.index(k)] for k in range(len(self.order))])

    @property
    def last(self) -> str:
        """The activation of the last layer."""
        return str(self.output.activation.__name__)

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
            return right / float(self.output.units)
        binary = self.output.units == 1
        predicted = tf.cast(logits[..., 0] > 0, tf.int32) if binary else tf.argmax(logits, -1, tf.int32)
        return tf.reduce_sum(tf.cast(predicted == tf.cast(labels, tf.int32), tf.float32), -1)

    def penalty(self) -> tf.Tensor:
        """(replicas,) float32: the L2 penalty of each replica, as Keras adds it to the loss."""
        total = dict(zip(self.order, [part for stack in self.stacks for part in stack.penalty()], strict=True))
        for members, tail in self.tails:
            if any(tail.l2):
                squares = tf.split(tail.squares(), tail.widths)
                for k, l2, part in zip(members, tail.l2, squares, strict=True):
                    total[k] += l2 * tf.reduce_sum(part)
        return tf.stack([total[k] for k in sorted(total)])

    def gradients(self, batch: Batch, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """Cross-entropies (replicas, samples), logits, and each variable with its gradient.

        A tail without a variable has learned when this is done.
        """
        sums = self.tail_sums(batch)
        variables = [variable for stack in self.stacks for variable in stack.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*sums, *variables])
            logits = self.logits(batch, sums, step)
            entropy = self.cross_entropy(batch.labels, logits)
            loss = tf.reduce_sum(tf.reduce_mean(entropy, -1))
        gradients = tape.gradient(loss, [*sums, *variables])
        upstream, left = gradients[: len(sums)], gradients[len(sums) :]
        pairs: Gradients = []
        for members, tail in self.tails:
            gradient = tail.backward(tf.concat([upstream[k] for k in members], 1), batch.ones["column"])
            pairs += [(tail.variable, gradient)] if gradient is not None else []
        for stack in self.stacks:
            pairs += stack.decayed(left[: len(stack.variables)])
            left = left[len(stack.variables) :]
        return entropy, logits, pairs

    def weights(self) -> list[Weights]:
        """Of each model a copy of the weights as they are now."""
        tails: dict[int, npt.NDArray[np.float32]] = {}
        for members, tail in self.tails:
            tails |= zip(members, np.split(tail.numpy(), np.cumsum(tail.widths)[:-1], axis=1), strict=True)
        weights: dict[int, Weights] = {}
        for stack in self.stacks:
            arrays = [variable.numpy() for variable in stack.variables]
            head, biases, kernels = arrays[0], arrays[1 : 1 + len(stack.biases)], arrays[1 + len(stack.biases) :]
            others = [array for pair in zip(biases, kernels, strict=False) for array in pair] + biases[-1:]
            for place, k in enumerate(stack.members):
                first = np.concatenate([head[place], tails[k]]) if k in tails else np.array(head[place])
                weights[k] = [first, *(np.array(array[place]) for array in others)]
        return [weights[k] for k in sorted(weights)]

    def assign(self, weights: Sequence[Weights]) -> None:
        """Set the weights of each model; what the optimizer remembers stays."""
        for members, tail in self.tails:
            tail.assign(np.concatenate([weights[k][0][sparse_layer.HEAD :] for k in members], axis=1))
        for stack in self.stacks:
            stack.assign([weights[k] for k in stack.members])

    def free(self) -> None:
        """Release the tails: TensorFlow keeps graphs, and what they call, as long as the process lives."""
        for _, tail in self.tails:
            tail.free()


def _dense(model: keras.Model) -> list[keras.layers.Dense]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def _l2(model: keras.Model) -> list[float]:
    return [float(getattr(layer.kernel_regularizer, "l2", 0.0)) for layer in _dense(model)]


def _alike(keys: Sequence[object]) -> list[list[int]]:
    """Positions of equal keys, in the order in which the keys appear first."""
    return [[k for k, other in enumerate(keys) if other == key] for key in dict.fromkeys(keys)]


def weights_digest(model: keras.Model) -> str:
    """SHA-256 (hex) over dtype, shape and bytes of the weights (a .keras file differs at each save: it holds dates)."""
    total = hashlib.sha256()
    for array in model.get_weights():
        total.update(f"{array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
