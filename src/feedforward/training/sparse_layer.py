"""The first layer for multi-hot rows, and its input.

A review has about 130 ones in 10,000 columns, so a dense product spends 99 % of its work on zeros. However, the ones
are concentrated in the columns of frequent words: the first `HEAD` columns contain 60 % of them and are dense enough
for a dense product to be faster. So the kernel, shape (columns, units), is split in two: the head, which is multiplied
densely, and the tail, whose rows are summed over the ones of a sample. docs/performance.md has the measurements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Optimizer
from feedforward.data.splits import MultiHot
from feedforward.training import kernels
from feedforward.training.keras_backend import tf

Indices = tuple[tf.Tensor, tf.Tensor]  # rows and columns of ones, int32

HEAD = 512  # columns; in later columns, fewer than 4 % of the entries are ones, so summing rows is cheaper


def split_head(features: MultiHot, order: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.uint8], MultiHot]:
    """Select the rows `order`: the first HEAD columns as dense uint8, (rows, HEAD), and the others as MultiHot."""
    width = min(HEAD, features.columns)
    indptr, indices, order = np.asarray(features.indptr), np.asarray(features.indices), order.astype(np.int64)
    head, tail_indptr = np.zeros((len(order), width), np.uint8), np.zeros(len(order) + 1, np.int64)
    tail_indices = np.empty(int((indptr[order + 1] - indptr[order]).sum()), np.uint16)
    kernels.take(indptr, indices.astype(np.uint16, copy=False), order, head, tail_indptr, tail_indices)
    return head, MultiHot(tail_indptr, tail_indices[: tail_indptr[-1]], features.columns - width)


@dataclass(frozen=True)
class Coordinates:
    """The ones of the tail in all batches, in two orders: by row and by column.

    The order by row is for the product of a VariableTail; the one by column, for gradients and the other products.

    The uint16 arrays have equal lengths; in each, `offsets[b]:offsets[b + 1]` is the slice for batch b. Rows are
    numbered within the batch, columns within the tail. offsets: int64, shape (batches + 1,).
    """

    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint16]
    columns: npt.NDArray[np.uint16]
    rows_by_column: npt.NDArray[np.uint16]
    columns_by_column: npt.NDArray[np.uint16]


def coordinates(tail: MultiHot, batch_size: int) -> Coordinates:
    """The coordinates of the tail's ones, in batches of `batch_size` (at most 65,536) rows, computed in linear time."""
    offsets = np.zeros(-(-len(tail) // batch_size) + 1, np.int64)
    arrays = [np.empty(len(tail.indices), np.uint16) for _ in range(4)]
    counts = np.empty(tail.columns, np.int64)
    kernels.lay_out(tail.indptr, tail.indices, batch_size, counts, offsets, *arrays)
    return Coordinates(offsets, *arrays)


class Tail(Protocol):
    """The tails of several replicas' first kernels, concatenated: shape (columns, units of all replicas)."""

    widths: list[int]  # units of each replica
    l2: list[float]  # factor of the squared weights in the loss of each replica
    order: Literal["row", "column"]  # order of the ones that `product` expects
    variable: tf.Variable | None  # trained by an optimizer; None if `backward` updates the weights

    def product(self, ones: Indices, samples: tf.Tensor) -> tf.Tensor:
        """For each sample, the sum of the kernel rows of its ones, shape (samples, units).

        ones: coordinates, sorted as `order` says.
        """

    def backward(self, upstream: tf.Tensor, by_column: Indices) -> tf.Tensor | None:
        """The gradient of product and penalty, shape (columns, units), or None if `backward` updated the weights."""

    def squares(self) -> tf.Tensor:
        """The sum of each unit's squared weights, shape (units,)."""

    def numpy(self) -> npt.NDArray[np.float32]:
        """The weights, shape (columns, units)."""

    def assign(self, kernel: npt.NDArray[np.float32]) -> None:
        """Set the weights."""

    def free(self) -> None:
        """Release the weights: TensorFlow keeps graphs, and the objects they call, for the lifetime of the process."""


def tail(
    parts: Sequence[npt.NDArray[np.float32]], optimizer: Optimizer | None = None, l2: Sequence[float] | None = None
) -> Tail:
    """On a CPU, a CompiledTail for evaluation or for RMSprop without momentum and decay; otherwise, a VariableTail.

    parts: each replica's weights, shape (columns, units). l2: factor of the squared weights in the loss of each
    replica; either all factors are zero or none of them is.
    """
    can_compile = optimizer is None or (optimizer.name == "rmsprop" and not optimizer.momentum and not optimizer.decay)
    factors = list(l2) if l2 is not None else [0.0] * len(parts)
    if can_compile and not tf.config.list_physical_devices("GPU"):
        return CompiledTail(parts, optimizer or Optimizer(), factors)
    return VariableTail(parts, factors)


class _TailBase:
    """The properties of the replicas that both kinds of tail need."""

    def __init__(self, parts: Sequence[npt.NDArray[np.float32]], l2: Sequence[float]) -> None:
        self.widths, self.l2 = [part.shape[1] for part in parts], list(l2)
        self.l2_by_unit = np.repeat(np.asarray(l2, np.float32), self.widths)  # (units,)


class VariableTail(_TailBase):
    """A tail in a TensorFlow variable; works with any optimizer on any device."""

    order: Literal["row", "column"] = "row"

    def __init__(self, parts: Sequence[npt.NDArray[np.float32]], l2: Sequence[float]) -> None:
        super().__init__(parts, l2)
        self.variable = tf.Variable(np.concatenate(parts, axis=1))

    def product(self, ones: Indices, samples: tf.Tensor) -> tf.Tensor:
        """See Tail."""
        rows, columns = ones
        return tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=self.variable, indices=columns, segment_ids=rows, num_segments=samples
        )

    def backward(self, upstream: tf.Tensor, by_column: Indices) -> tf.Tensor:
        """See Tail. TensorFlow's built-in gradient of `product` adds row by row, which is slower."""
        rows, columns = by_column
        gradient = tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=upstream, indices=rows, segment_ids=columns, num_segments=self.variable.shape[0]
        )
        return gradient + 2.0 * self.l2_by_unit * self.variable if any(self.l2) else gradient

    def squares(self) -> tf.Tensor:
        """See Tail."""
        return tf.reduce_sum(tf.square(self.variable), 0)

    def numpy(self) -> npt.NDArray[np.float32]:
        """See Tail."""
        return np.asarray(self.variable)

    def assign(self, kernel: npt.NDArray[np.float32]) -> None:
        """See Tail."""
        self.variable.assign(kernel)

    def free(self) -> None:
        """Do nothing: the weights belong to TensorFlow."""


class CompiledTail(_TailBase):
    """A tail in a NumPy array; TensorFlow graphs call compiled loops for product and RMSprop step (see `kernels`)."""

    order: Literal["row", "column"] = "column"
    variable = None

    def __init__(self, parts: Sequence[npt.NDArray[np.float32]], optimizer: Optimizer, l2: Sequence[float]) -> None:
        super().__init__(parts, l2)
        self.kernel = np.ascontiguousarray(np.concatenate(parts, axis=1))
        self.velocity, self.pending = np.zeros_like(self.kernel), np.zeros(len(self.kernel), np.int32)
        self.constants = tuple(map(np.float32, (optimizer.learning_rate, optimizer.rho, optimizer.epsilon)))

    def product(self, ones: Indices, samples: tf.Tensor) -> tf.Tensor:
        """See Tail."""

        def product(rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32], samples: int) -> object:
            sums = np.zeros((samples, self.kernel.shape[1]), np.float32)
            kernels.add_rows(self.kernel, rows, columns, sums)
            return sums

        sums = tf.numpy_function(product, [*ones, samples], tf.float32)
        return tf.ensure_shape(sums, (None, self.kernel.shape[1]))

    def backward(self, upstream: tf.Tensor, by_column: Indices) -> None:
        """See Tail. Performs an RMSprop step."""

        def step(*arrays: npt.NDArray[np.generic]) -> np.float32:
            kernels.rmsprop_step(self.kernel, self.velocity, self.pending, *arrays, self.l2_by_unit, *self.constants)
            return np.float32(0)

        tf.numpy_function(step, [upstream, *by_column], tf.float32)

    def squares(self) -> tf.Tensor:
        """See Tail."""
        squares = tf.numpy_function(lambda: kernels.squares(self.kernel), [], tf.float64)
        return tf.cast(tf.ensure_shape(squares, (self.kernel.shape[1],)), tf.float32)

    def numpy(self) -> npt.NDArray[np.float32]:
        """See Tail."""
        return self.kernel

    def assign(self, kernel: npt.NDArray[np.float32]) -> None:
        """See Tail."""
        self.kernel[:] = kernel

    def free(self) -> None:
        """See Tail."""
        self.kernel = self.velocity = np.zeros((0, 0), np.float32)
