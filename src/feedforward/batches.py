"""Batches of a split inside a TensorFlow graph: dense rows, or multi-hot rows as head and coordinates of the tail."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feedforward import multihot
from feedforward.splits import MultiHot, Split

Plan = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Batch:
    """Tensors of one batch.

    features: (samples, columns) float32: all columns, or the head of multi-hot rows.
    labels: (samples,). by_row, by_column: (rows, columns) of the tail's ones, int32, sorted so; None when dense.
    """

    features: tf.Tensor
    labels: tf.Tensor
    by_row: tuple[tf.Tensor, tf.Tensor] | None = None
    by_column: tuple[tf.Tensor, tf.Tensor] | None = None


class Batches:
    """A split laid out for training; `plan` is made once an epoch outside the graph, `batch` runs inside it."""

    def __init__(self, split: Split) -> None:
        self.samples = len(split)
        self.labels = tf.constant(split.labels)
        self.tail: MultiHot | None = None
        features = split.features
        if isinstance(features, MultiHot):
            features, self.tail = multihot.split_head(features)
        self.features = tf.constant(features)

    def plan(self, order: npt.NDArray[np.integer], batch_size: int) -> Plan:
        """The batches of an epoch that visits the samples in `order`."""
        # Tensors that a graph is not given but finds stay in memory as long as the process: TensorFlow keeps its graphs
        plan = {"features": self.features, "labels": self.labels}
        plan |= {"order": tf.constant(order.astype(np.int32)), "batch_size": tf.constant(batch_size)}
        if self.tail is not None:
            laid = multihot.coordinates(self.tail, order, batch_size)
            plan |= {name: tf.constant(array) for name, array in vars(laid).items()}
        return plan

    def steps(self, plan: Plan) -> tf.Tensor:
        """Batches of the plan; the last may be smaller."""
        return -(-tf.shape(plan["order"])[0] // plan["batch_size"])

    def batch(self, plan: Plan, number: tf.Tensor) -> Batch:
        """Batch `number` of the plan, from 0."""
        chosen = plan["order"][number * plan["batch_size"] : (number + 1) * plan["batch_size"]]
        features = tf.cast(tf.gather(plan["features"], chosen), tf.float32)
        labels = tf.gather(plan["labels"], chosen)
        if self.tail is None:
            return Batch(features, labels)
        first, last = plan["offsets"][number], plan["offsets"][number + 1]
        rows, columns, rows_by_column, columns_by_column = (
            tf.cast(plan[name][first:last], tf.int32)
            for name in ("rows", "columns", "rows_by_column", "columns_by_column")
        )
        return Batch(features, labels, (rows, columns), (rows_by_column, columns_by_column))
