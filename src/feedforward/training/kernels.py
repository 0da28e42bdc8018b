"""Numba-compiled loops for the tail of the first layer: row selection, batch layout, product and RMSprop step.

TensorFlow has no operation that computes the gradient of a kernel row and applies it immediately. It writes a gradient
as large as the kernel and reads it back, and its RMSprop passes over four arrays of that size three times. For a
kernel of 20 MB, this moves 260 MB per step. Here, a row stays in the L1 cache from the sum of its gradient
to its update, so only 80 MB are moved, 60 MB of them for the rows that occur in the batch. Wide networks are limited by
this memory bandwidth (docs/performance.md). The gradient of a row is summed in the order of the samples, element by
element, without fused or reordered operations, so the results are bit-identical for any kernel width and kind of CPU.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]

# Numba's types of arguments
_float = numba.float32
_long = numba.int64
_shorts = numba.uint16[::1]
_ints = numba.int32[::1]
_longs = numba.int64[::1]
_matrix = numba.float32[:, ::1]
_bytes = numba.uint8[:, ::1]
_readonly_matrix = numba.types.Array(numba.float32, 2, "C", readonly=True)
_readonly_floats = numba.types.Array(numba.float32, 1, "C", readonly=True)
_readonly_ints = numba.types.Array(numba.int32, 1, "C", readonly=True)
_readonly_shorts = numba.types.Array(numba.uint16, 1, "C", readonly=True)
_readonly_longs = numba.types.Array(numba.int64, 1, "C", readonly=True)


def _compile(signature: object) -> Any:
    """Compile at import, cached per checkout and kind of CPU; the function releases the GIL while it runs."""
    return numba.njit(signature, nogil=True, cache=True, error_model="numpy")


@_compile(numba.void(_readonly_longs, _readonly_shorts, _readonly_longs, _bytes, _longs, _shorts))  # type: ignore[untyped-decorator]
def take(indptr: Longs, indices: Shorts, order: Longs, head: Bytes, tail_indptr: Longs, tail_indices: Shorts) -> None:
    """Select the rows `order` of a multi-hot CSR matrix (indptr, indices); split their columns into head and tail.

    Output arrays: head, shape (rows, head columns), all zero on entry; tail_indptr, shape (rows + 1,), whose first
    element is 0 on entry; tail_indices, long enough for all ones. Tail columns are numbered from 0.
    """
    position, width = 0, head.shape[1]
    for row in range(len(order)):
        for one in range(indptr[order[row]], indptr[order[row] + 1]):
            column = indices[one]
            if column < width:
                head[row, column] = 1
            else:
                tail_indices[position] = column - width
                position += 1
        tail_indptr[row + 1] = position


@_compile(numba.void(_readonly_longs, _readonly_shorts, _long, _longs, _longs, *(_shorts,) * 4))  # type: ignore[untyped-decorator]
def lay_out(
    indptr: Longs,
    indices: Shorts,
    batch_size: int,
    next_positions: Longs,
    offsets: Longs,
    rows: Shorts,
    columns: Shorts,
    rows_by_column: Shorts,
    columns_by_column: Shorts,
) -> None:
    """Write the coordinates of the ones in a multi-hot CSR matrix (indptr, indices), in batches of `batch_size` rows.

    Output arrays: offsets, shape (batches + 1,), whose first element is 0 on entry; rows and columns, the coordinates
    sorted by row; rows_by_column and columns_by_column, the same coordinates sorted by column within each batch
    (counting sort). next_positions, shape (columns,), is scratch space: per column, the count, then the next position.
    """
    position = 0
    for batch in range(len(offsets) - 1):
        begin, first = position, batch * batch_size
        next_positions[:] = 0
        for row in range(first, min(first + batch_size, len(indptr) - 1)):
            for one in range(indptr[row], indptr[row + 1]):
                rows[position], columns[position] = row - first, indices[one]
                next_positions[indices[one]] += 1
                position += 1
        total = begin
        for column in range(len(next_positions)):
            count = next_positions[column]
            next_positions[column] = total
            total += count
        for one in range(begin, position):
            target = next_positions[columns[one]]
            next_positions[columns[one]] += 1
            rows_by_column[target], columns_by_column[target] = rows[one], columns[one]
        offsets[batch + 1] = position


@_compile(numba.void(_readonly_matrix, _readonly_ints, _readonly_ints, _matrix))  # type: ignore[untyped-decorator]
def add_rows(kernel: Floats, rows: Ints, columns: Ints, sums: Floats) -> None:
    """For every 1 in a multi-hot matrix, add the kernel row for its column to the sum for its sample.

    kernel: shape (columns, units). rows, columns: coordinates of the ones, preferably sorted by column, because the L2
    cache can hold the sums of a batch but not a wide kernel. sums: shape (samples, units), modified in place.
    """
    for one in range(len(rows)):
        total, row = sums[rows[one]], kernel[columns[one]]
        for unit in range(len(total)):
            total[unit] += row[unit]


_rmsprop_step = numba.void(
    *(_matrix, _matrix, _ints, _readonly_matrix, _readonly_ints, _readonly_ints, _readonly_floats),
    *(_float, _float, _float),
)


@_compile(_rmsprop_step)  # type: ignore[untyped-decorator]
def rmsprop_step(
    kernel: Floats,
    velocity: Floats,
    pending: Ints,
    upstream: Floats,
    rows: Ints,
    columns: Ints,
    l2: Floats,
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """Apply one step of keras.optimizers.RMSprop (without momentum) to the kernel.

    A row without ones has only the gradient of the penalty. Without a penalty, the row's weights do not change and its
    velocity decays; the decay is postponed until the row is needed, and then applied by the same multiplications.

    kernel, velocity: shape (columns, units), modified in place. pending: the number of postponed decays of each row,
    shape (columns,), initially 0, modified in place. upstream: the gradient of the loss with respect to the sums of
    `add_rows`, shape (samples, units). rows, columns: coordinates of the ones, sorted by column. l2: factor of each
    unit's squared weights in the loss, shape (units,).
    """
    one, penalty_factor, one_minus_rho = 0, np.float32(2) * l2, np.float32(1) - rho
    penalized = False
    for unit in range(len(penalty_factor)):
        penalized = penalized or penalty_factor[unit] != 0
    gradient = np.empty(kernel.shape[1], np.float32)  # gradient of one row
    for column in range(len(kernel)):
        if not penalized and (one == len(columns) or columns[one] != column):
            pending[column] += 1
            continue
        row, mean_square = kernel[column], velocity[column]
        for _ in range(pending[column]):
            for unit in range(len(mean_square)):
                mean_square[unit] *= rho
        pending[column] = 0
        for unit in range(len(gradient)):
            gradient[unit] = penalty_factor[unit] * row[unit]
        while one < len(columns) and columns[one] == column:
            sample_gradient = upstream[rows[one]]
            for unit in range(len(gradient)):
                gradient[unit] += sample_gradient[unit]
            one += 1
        for unit in range(len(gradient)):
            slope = gradient[unit]
            mean_square[unit] = rho * mean_square[unit] + one_minus_rho * (slope * slope)
            row[unit] -= learning_rate * slope / np.sqrt(mean_square[unit] + epsilon)


@_compile(numba.float64[::1](_readonly_matrix))  # type: ignore[untyped-decorator]
def squares(kernel: Floats) -> npt.NDArray[np.float64]:
    """The sum of each unit's squared weights, shape (units,)."""
    sums = np.zeros(kernel.shape[1])
    for column in range(len(kernel)):
        row = kernel[column]
        for unit in range(len(sums)):
            sums[unit] += row[unit] * row[unit]
    return sums
