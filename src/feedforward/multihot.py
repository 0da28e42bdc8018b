"""The first layer over multi-hot rows, and the batches that feed it: the one TensorFlow-only seam of training.

A review has some 130 ones in 10,000 columns, so a dense product spends 98 % of its work on zeros. But ones
crowd into the columns of frequent words: the first `HEAD` columns hold 60 % of them, dense enough for a dense
product to be the faster way. So the kernel (columns, units) is kept in parts: the head, multiplied densely, and
the tail, whose rows are summed over the ones of a sample. docs/performance.md has the measurements.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feedforward.splits import MultiHot

HEAD = 512  # columns; further right fewer than 4 % are ones and a sum of rows is the cheaper way


def split_head(features: MultiHot) -> tuple[npt.NDArray[np.uint8], MultiHot]:
    """The first HEAD columns as dense uint8 (rows, HEAD), and the other columns as MultiHot."""
    width = min(HEAD, features.columns)
    rows = np.repeat(np.arange(len(features)), np.diff(features.indptr))
    indices = np.asarray(features.indices)
    in_head = indices < width
    head = np.zeros((len(features), width), np.uint8)
    head[rows[in_head], indices[in_head]] = 1
    counts = np.bincount(rows[~in_head], minlength=len(features))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return head, MultiHot(indptr, (indices[~in_head] - width).astype(np.uint16), features.columns - width)


@dataclass(frozen=True)
class Coordinates:
    """The ones of the tail in all batches of an epoch, twice: by row for the product, by column for its gradient.

    Arrays of uint16, all of one length; batch b has the entries `offsets[b]:offsets[b + 1]` of each. Rows count
    within the batch, columns within the tail. offsets: int64, (batches + 1,).
    """

    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint16]
    columns: npt.NDArray[np.uint16]
    rows_by_column: npt.NDArray[np.uint16]
    columns_by_column: npt.NDArray[np.uint16]


def coordinates(tail: MultiHot, order: npt.NDArray[np.integer], batch_size: int) -> Coordinates:
    """The tail's ones in the batches that `order` makes, of 65,536 rows at most.

    In linear time, for both sorts are radix sorts while there are no more than 65,536 batches.
    """
    taken = tail.take(order)
    position = np.repeat(np.arange(len(taken)), np.diff(taken.indptr))
    rows = (position % batch_size).astype(np.uint16)
    by_column = np.argsort(taken.indices, kind="stable")
    batch = (position // batch_size).astype(np.min_scalar_type(len(taken) // batch_size))
    by_column = by_column[np.argsort(batch[by_column], kind="stable")]
    starts = np.minimum(np.arange(0, len(taken) + batch_size, batch_size), len(taken))
    return Coordinates(taken.indptr[starts], rows, taken.indices, rows[by_column], taken.indices[by_column])


def tail_product(kernel: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
    """(samples, units): for each row the sum of the kernel's rows that `columns` names; rows sorted."""
    return tf.raw_ops.SparseSegmentSumWithNumSegments(
        data=kernel, indices=columns, segment_ids=rows, num_segments=samples
    )


def tail_gradient(upstream: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, kernel_rows: int) -> tf.Tensor:
    """(kernel_rows, units): the gradient of `tail_product` for a kernel, from coordinates sorted by column.

    TensorFlow's own gradient scatters row by row; this is the same sum at the speed of the product.
    """
    return tf.raw_ops.SparseSegmentSumWithNumSegments(
        data=upstream, indices=rows, segment_ids=columns, num_segments=kernel_rows
    )
