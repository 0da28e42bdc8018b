"""Batches of a split inside a TensorFlow graph: dense rows, or multi-hot rows as a dense head and a sparse tail.

The split may be larger than memory, because its arrays are memory-mapped and each epoch is loaded in sections.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feedforward.data.splits import MultiHot, Subset
from feedforward.training import sparse_layer
from feedforward.training.keras_backend import tf

Plan = dict[str, tf.Tensor]  # the samples of several consecutive batches; made by Batches.plans

SECTION = 2**14  # samples loaded at a time; for reviews, 15 MB


@dataclass(frozen=True)
class Batch:
    """Tensors of one batch.

    features: float32, shape (samples, columns): all columns, or only the head of multi-hot rows. labels: shape
    (samples,) or (samples, outputs). ones: for multi-hot rows, the int32 coordinates (rows, columns) of the ones in the
    tail, sorted by row under the key `row` and by column under the key `column`.
    """

    features: tf.Tensor
    labels: tf.Tensor
    ones: dict[str, sparse_layer.Indices] = field(default_factory=dict)


class Batches:
    """Divides samples into batches: `plans` runs once per epoch, outside the graph; `batch` runs inside it."""

    def __init__(self, samples: Subset) -> None:
        self.samples, self.split = samples, samples.split
        self.sparse = isinstance(self.split.features, MultiHot)

    def plans(self, order: npt.NDArray[np.integer], batch_size: int) -> Iterator[Plan]:
        """Yield consecutive plans of about SECTION samples each: one epoch over the samples in the given order."""
        section = max(1, SECTION // batch_size) * batch_size
        for start in range(0, len(order), section):
            yield self._plan(self.samples.row_numbers(order[start : start + section]), batch_size)

    def _plan(self, rows: npt.NDArray[np.integer], batch_size: int) -> Plan:
        # All tensors are arguments of the graph: TensorFlow keeps captured tensors for the lifetime of the process.
        arrays: dict[str, npt.NDArray[np.generic]] = {"labels": self.split.labels[rows]}
        if isinstance(self.split.features, MultiHot):
            arrays["features"], tail = sparse_layer.split_head(self.split.features, rows)
            arrays |= vars(sparse_layer.coordinates(tail, batch_size))
        else:
            arrays["features"] = self.split.features[rows]
        return {name: tf.constant(array) for name, array in arrays.items()} | {"batch_size": tf.constant(batch_size)}

    def steps(self, plan: Plan) -> tf.Tensor:
        """The number of batches in the plan; the last may be smaller."""
        return -(-tf.shape(plan["labels"])[0] // plan["batch_size"])

    def batch(self, plan: Plan, number: tf.Tensor) -> Batch:
        """Batch `number` of the plan, counted from 0."""
        start, stop = number * plan["batch_size"], (number + 1) * plan["batch_size"]
        features, labels = tf.cast(plan["features"][start:stop], tf.float32), plan["labels"][start:stop]
        if not self.sparse:
            return Batch(features, labels)
        begin, end = plan["offsets"][number], plan["offsets"][number + 1]
        rows, columns, rows_by_column, columns_by_column = (
            tf.cast(plan[name][begin:end], tf.int32)
            for name in ("rows", "columns", "rows_by_column", "columns_by_column")
        )
        return Batch(features, labels, {"row": (rows, columns), "column": (rows_by_column, columns_by_column)})
