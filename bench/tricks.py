"""Functions that each switch off one optimization of training, so that its gain can be measured (bench.jobs.epoch).

`tensorflow_gradient` and `keras_rmsprop` also switch off the compiled tail; compare them with `tensorflow_tail`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from feedforward.config.schema import Optimizer
from feedforward.training import graphs, optimizers, sparse_layer, trainer
from feedforward.training.batches import Batch, Batches, Plan
from feedforward.training.packed_model import PackedModel
from feedforward.training.replica_stack import Gradients


def all_tail() -> None:
    """Shrink the dense head to one column, the minimum: sum the kernel's rows for all other ones of a sample."""
    sparse_layer.HEAD = 1


def all_dense() -> None:
    """Use no tail: multiply all columns densely, expanding the rows section by section."""
    sparse_layer.HEAD = 2**16


def tensorflow_tail() -> None:
    """Replace the compiled tail by a variable of TensorFlow: its gradient is written to memory and read by RMSprop."""
    sparse_layer.CompiledTail = lambda kernels, _optimizer, l2: sparse_layer.VariableTail(kernels, l2)


def tensorflow_gradient() -> None:
    """Use TensorFlow's built-in gradient for a sum of rows, which scatters the rows one by one."""
    tensorflow_tail()
    original_batch = Batches.batch

    def batch(self: Batches, plan: Plan, number: tf.Tensor) -> Batch:
        laid_out = original_batch(self, plan, number)
        # SparseSegmentSumGrad needs the ones by row, but `backward` is given those by column
        return dataclasses.replace(laid_out, ones={**laid_out.ones, "column": laid_out.ones["row"]})

    def gradient(self: sparse_layer.VariableTail, upstream: tf.Tensor, ones: sparse_layer.Indices) -> tf.Tensor:
        rows, columns = ones
        gradient = tf.raw_ops.SparseSegmentSumGrad(
            grad=upstream, indices=columns, segment_ids=rows, output_dim0=self.variable.shape[0]
        )
        return gradient + 2.0 * self.l2_by_unit * self.variable if any(self.l2) else gradient

    Batches.batch = batch
    sparse_layer.VariableTail.backward = gradient


def keras_rmsprop() -> None:
    """Use Keras's RMSprop: eight operations per variable, each with a temporary array."""
    tensorflow_tail()

    class Rule(optimizers.Rule):
        def __init__(self, params: Optimizer, variables: Sequence[tf.Variable]) -> None:
            self.params = params
            self.keras_optimizer = keras.optimizers.RMSprop(
                params.learning_rate, rho=params.rho, epsilon=params.epsilon
            )
            self.keras_optimizer.build(variables)

        def apply(self, gradients: Gradients) -> None:
            self.keras_optimizer.apply([gradient for _, gradient in gradients], [variable for variable, _ in gradients])

    trainer.Rule = Rule


def step_by_step() -> None:
    """Run one graph per step, called from Python, instead of one per epoch."""

    def training_graph(pack: PackedModel, batches: Batches, rule: Any) -> Callable[[Plan, tf.Tensor], graphs.Sums]:
        @graphs.graph
        def step(plan: Plan, first_step: tf.Tensor, number: tf.Tensor) -> graphs.Sums:
            batch = batches.batch(plan, number)
            penalty = pack.penalty() * tf.cast(tf.shape(batch.labels)[0], tf.float32)
            with tf.control_dependencies([penalty]):
                entropy, logits, gradients = pack.gradients(batch, first_step + number)
            rule.apply(gradients)
            return tf.reduce_sum(entropy, -1), pack.score(batch.labels, logits), penalty

        def run(plan: Plan, first_step: tf.Tensor, sums: graphs.Sums) -> graphs.Sums:
            steps = [step(plan, first_step, tf.constant(number)) for number in range(int(batches.steps(plan)))]
            return tuple(np.sum([sums[k].numpy(), *(values[k].numpy() for values in steps)], 0) for k in range(3))

        return run

    trainer._training_graph = training_graph


SWITCHES = {
    function.__name__: function
    for function in (all_tail, all_dense, tensorflow_tail, tensorflow_gradient, keras_rmsprop, step_by_step)
}
