"""Several networks trained side by side on the same batches: the variants of one seed or the trials of a sweep.

The replicas of a pack share only their batches and the random numbers of dropout. Layers of equal shape are stacked, so
that one operation multiplies all of them. The loss is the sum of the replicas' mean losses, and optimizers work element
by element, so a replica trains in a pack exactly as it would alone.

The results do not depend on the size of the pack, not even in the last bit, whatever the CPU or GPU: a stack is
multiplied in one batched matrix product, whose result for each item does not depend on the number of items. (If all
replicas were combined in one wide product, the order of additions would depend on its width, except on CPUs with
AVX-512.) Therefore, a variant that has changed can be trained alone, and a job that was interrupted within a pack
continues with the pack's remaining replicas.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Optimizer
from feedforward.training import losses, sparse_layer
from feedforward.training.batches import Batch
from feedforward.training.keras_backend import keras, tf
from feedforward.training.replica_stack import Gradients, Stack, Weights, dense_layers, l2_factors


class PackedModel:
    """The weights of several models that train on the same batches.

    models: built by `network.build` with the same seed and the same outputs, but any hidden sizes; training starts
    from their weights. sparse: whether the features are multi-hot; if so, the first kernel is split into head and tail
    (see sparse_layer). optimizer: the optimizer that will train the pack; None if the pack is only evaluated.
    """

    def __init__(
        self, models: Sequence[keras.Model], seed: int, sparse: bool, optimizer: Optimizer | None = None
    ) -> None:
        self.models, self.seed, self.sparse = list(models), seed, sparse
        layers = models[0].layers
        self.scale = float(next(layer.scale for layer in layers if isinstance(layer, keras.layers.Rescaling)))
        self.output = dense_layers(models[0])[-1]
        weights = [model.get_weights() for model in models]
        rows = sparse_layer.HEAD if sparse else len(weights[0][0])
        self.stacks = [
            Stack(members, [models[k] for k in members], [weights[k] for k in members], rows)
            for members in _group_equal([tuple(array.shape for array in arrays) for arrays in weights])
        ]
        self.order = [k for stack in self.stacks for k in stack.members]  # positions of the models, stack by stack
        # A penalty changes every row of a kernel in every step, so replicas with and without one have separate tails.
        l2 = [l2_factors(model)[0] for model in models]
        self.tails = [
            (members, sparse_layer.tail([weights[k][0][rows:] for k in members], optimizer, [l2[k] for k in members]))
            for members in (_group_equal([factor > 0 for factor in l2]) if sparse else [])
        ]

    @property
    def variables(self) -> list[tf.Variable]:
        """All variables that an optimizer trains."""
        tails = [tail.variable for _, tail in self.tails if tail.variable is not None]
        return [*tails, *(variable for stack in self.stacks for variable in stack.variables)]

    def tail_sums(self, batch: Batch) -> list[tf.Tensor]:
        """For each replica, the tail's contribution to the first layer, shape (samples, units); empty if not sparse."""
        sums: dict[int, tf.Tensor] = {}
        for members, tail in self.tails:
            product = tail.product(batch.ones[tail.order], tf.shape(batch.labels)[0])
            sums |= zip(members, tf.split(product, tail.widths, axis=1), strict=True)
        return [sums[k] for k in sorted(sums)]

    def logits(self, batch: Batch, sums: Sequence[tf.Tensor], step: tf.Tensor | None = None) -> tf.Tensor:
        """The inputs of the last activation function, shape (replicas, samples, outputs).

        sums: the result of `tail_sums(batch)`. step: number of the training step, int32; None disables dropout.
        The dropout masks depend on the seed, the layer and the step.
        """
        features = batch.features * self.scale
        parts = [
            stack.logits(features, [sums[k] for k in stack.members] if self.sparse else [], self.seed, step)
            for stack in self.stacks
        ]
        return self._in_order(tf.concat(parts, 0) if len(parts) > 1 else parts[0])

    def _in_order(self, values: tf.Tensor) -> tf.Tensor:
        """Sort values of shape (replicas, …) from the order of the stacks into the order of the models."""
        if self.order == sorted(self.order):
            return values
        return tf.stack([values[self.order.index(k)] for k in range(len(self.order))])

    @property
    def activation(self) -> str:
        """The name of the last layer's activation."""
        return str(self.output.activation.__name__)

    def cross_entropy(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The loss of each sample, shape (replicas, samples); see `losses.cross_entropy`."""
        return losses.cross_entropy(self.activation, labels, logits)

    def score(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The sum of the scores of all samples, shape (replicas,); see `losses.score`."""
        return losses.score(self.activation, labels, logits)

    def penalty(self) -> tf.Tensor:
        """The L2 penalty that Keras would add to each replica's loss: float32, shape (replicas,)."""
        totals = dict(zip(self.order, [part for stack in self.stacks for part in stack.penalty()], strict=True))
        for members, tail in self.tails:
            if any(tail.l2):
                squares = tf.split(tail.squares(), tail.widths)
                for k, l2, part in zip(members, tail.l2, squares, strict=True):
                    totals[k] += l2 * tf.reduce_sum(part)
        return tf.stack([totals[k] for k in sorted(totals)])

    def gradients(self, batch: Batch, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """Return cross-entropies of shape (replicas, samples), logits, and pairs of variable and gradient.

        The weights of a tail without a variable are updated at once, because no optimizer does it.
        """
        sums = self.tail_sums(batch)
        variables = [variable for stack in self.stacks for variable in stack.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*sums, *variables])
            logits = self.logits(batch, sums, step)
            cross_entropy = self.cross_entropy(batch.labels, logits)
            loss = tf.reduce_sum(tf.reduce_mean(cross_entropy, -1))
        gradients = tape.gradient(loss, [*sums, *variables])
        upstream, stack_gradients = gradients[: len(sums)], gradients[len(sums) :]
        pairs: Gradients = []
        for members, tail in self.tails:
            gradient = tail.backward(tf.concat([upstream[k] for k in members], 1), batch.ones["column"])
            pairs += [(tail.variable, gradient)] if gradient is not None else []
        for stack in self.stacks:
            pairs += stack.with_penalty(stack_gradients[: len(stack.variables)])
            stack_gradients = stack_gradients[len(stack.variables) :]
        return cross_entropy, logits, pairs

    def weights(self) -> list[Weights]:
        """A copy of the current weights of each model."""
        tails: dict[int, npt.NDArray[np.float32]] = {}
        for members, tail in self.tails:
            tails |= zip(members, np.split(tail.numpy(), np.cumsum(tail.widths)[:-1], axis=1), strict=True)
        weights: dict[int, Weights] = {}
        for stack in self.stacks:
            arrays = [variable.numpy() for variable in stack.variables]
            head, biases, kernels = arrays[0], arrays[1 : 1 + len(stack.biases)], arrays[1 + len(stack.biases) :]
            other_arrays = [array for pair in zip(biases, kernels, strict=False) for array in pair] + biases[-1:]
            for position, k in enumerate(stack.members):
                kernel = np.concatenate([head[position], tails[k]]) if k in tails else np.array(head[position])
                weights[k] = [kernel, *(np.array(array[position]) for array in other_arrays)]
        return [weights[k] for k in sorted(weights)]

    def assign(self, weights: Sequence[Weights]) -> None:
        """Set the weights of each model; the optimizer's state is left unchanged."""
        for members, tail in self.tails:
            tail.assign(np.concatenate([weights[k][0][sparse_layer.HEAD :] for k in members], axis=1))
        for stack in self.stacks:
            stack.assign([weights[k] for k in stack.members])

    def free(self) -> None:
        """Free the tails' memory: TensorFlow keeps graphs, and all objects they call, until the process ends."""
        for _, tail in self.tails:
            tail.free()


def _group_equal(keys: Sequence[object]) -> list[list[int]]:
    """Group the positions of equal keys; groups are in the order in which their keys first appear."""
    return [[k for k, other in enumerate(keys) if other == key] for key in dict.fromkeys(keys)]


def weights_digest(model: keras.Model) -> str:
    """SHA-256 (hex) of the weights' dtypes, shapes and bytes, which, unlike a .keras file, contain no dates."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
