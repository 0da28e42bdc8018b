"""The tail of the first layer as compiled loops over NumPy arrays: its rows, their layout in batches, its product, and
a step of RMSprop. Numba's room.

TensorFlow has no operation that makes the gradient of a kernel's row and uses it at once. It writes a gradient as large
as the kernel and reads it again, and its RMSprop passes three times over four such arrays: 260 MB a step for a kernel
of 20 MB. Here a row stays in the first cache from the sum to the update, so that 80 MB remain, 60 of them for the rows
that a batch names; and memory is what wide networks are bound by (docs/performance.md). A row's gradient is summed in
the order of the samples, and each number of it alone, without fused or reordered operations: neither the width of the
kernel nor the kind of CPU changes a bit.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]

_number = numba.float32
_count = numba.int64
_shorts = numba.uint16[::1]
_ints = numba.int32[::1]
_longs = numba.int64[::1]
_matrix = numba.float32[:, ::1]
_bytes = numba.uint8[:, ::1]
_given = numba.types.Array(numba.float32, 2, "C", readonly=True)
_given_numbers = numba.types.Array(numba.float32, 1, "C", readonly=True)
_places = numba.types.Array(numba.int32, 1, "C", readonly=True)
_given_shorts = numba.types.Array(numba.uint16, 1, "C", readonly=True)
_given_longs = numba.types.Array(numba.int64, 1, "C", readonly=True)


def _loops(signature: object) -> Any:
    """Compiled when this room is opened, once a checkout and kind of CPU; other threads go on while a loop runs."""
    return numba.njit(signature, nogil=True, cache=True, error_model="numpy")


@_loops(numba.void(_given_longs, _given_shorts, _given_longs, _bytes, _longs, _shorts))  # type: ignore[untyped-decorator]
def take(indptr: Longs, indices: Shorts, order: Longs, head: Bytes, tail_indptr: Longs, tail_indices: Shorts) -> None:
    """The rows of a multi-hot matrix that `order` names, its first columns apart.

    indptr, indices: of the matrix. head: (rows, first columns), zeros, where ones are set. tail_indptr: (rows + 1,),
    the first 0; tail_indices: room for all ones. They become those of the other columns, counted from the first of
    them.
    """
    place, width = 0, head.shape[1]
    for row in range(len(order)):
        for at in range(indptr[order[row]], indptr[order[row] + 1]):
            column = indices[at]
            if column < width:
                head[row, column] = 1
            else:
                tail_indices[place] = column - width
                place += 1
        tail_indptr[row + 1] = place


@_loops(numba.void(_given_longs, _given_shorts, _count, _longs, _longs, *(_shorts,) * 4))  # type: ignore[untyped-decorator]
def lay_out(
    indptr: Longs,
    indices: Shorts,
    batch_size: int,
    next_of: Longs,
    offsets: Longs,
    rows: Shorts,
    columns: Shorts,
    rows_by_column: Shorts,
    columns_by_column: Shorts,
) -> None:
    """The ones of a multi-hot matrix in batches of `batch_size` rows; a counting sort of each batch by column.

    indptr, indices: of the matrix. next_of: (columns,), any numbers. offsets: (batches + 1,), the first 0. The rest:
    one entry for each one. All from `next_of` on are written.
    """
    place = 0
    for batch in range(len(offsets) - 1):
        begin, first = place, batch * batch_size
        next_of[:] = 0
        for number in range(first, min(first + batch_size, len(indptr) - 1)):
            for at in range(indptr[number], indptr[number + 1]):
                rows[place], columns[place] = number - first, indices[at]
                next_of[indices[at]] += 1
                place += 1
        total = begin
        for column in range(len(next_of)):
            count = next_of[column]
            next_of[column] = total
            total += count
        for at in range(begin, place):
            where = next_of[columns[at]]
            next_of[columns[at]] += 1
            rows_by_column[where], columns_by_column[where] = rows[at], columns[at]
        offsets[batch + 1] = place


@_loops(numba.void(_given, _places, _places, _matrix))  # type: ignore[untyped-decorator]
def add_rows(kernel: Floats, rows: Ints, columns: Ints, sums: Floats) -> None:
    """For each one of a multi-hot matrix, add a row of the kernel to the row of its sample.

    kernel: (columns, units). rows, columns: the places of the ones, best sorted by column, for the second cache holds
    the sums of a batch, but no wide kernel. sums: (samples, units), changed.
    """
    for place in range(len(rows)):
        total, row = sums[rows[place]], kernel[columns[place]]
        for unit in range(len(total)):
            total[unit] += row[unit]


@_loops(numba.void(_matrix, _matrix, _ints, _given, _places, _places, _given_numbers, _number, _number, _number))  # type: ignore[untyped-decorator]
def learn(
    kernel: Floats,
    velocity: Floats,
    late: Ints,
    upstream: Floats,
    rows: Ints,
    columns: Ints,
    l2: Numbers,
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """One step of keras.optimizers.RMSprop (no momentum) on the kernel, from the gradient of the products.

    A row without ones has no gradient but that of the penalty. Where there is none its weights stay and its velocity
    decays, which is put off until the row is needed and then done by the same multiplications.

    kernel, velocity: (columns, units), changed. late: (columns,), steps by which a row's velocity is to decay yet,
    changed; zeros at first. upstream: (samples, units). rows, columns: the places of the ones, sorted by column.
    l2: (units,), the factor of the squares of each unit's weights in the loss.
    """
    place, decay, fresh = 0, np.float32(2) * l2, np.float32(1) - rho
    penalized = False
    for unit in range(len(decay)):
        penalized = penalized or decay[unit] != 0
    gradient = np.empty(kernel.shape[1], np.float32)  # of one row
    for column in range(len(kernel)):
        if not penalized and (place == len(columns) or columns[place] != column):
            late[column] += 1
            continue
        row, speed = kernel[column], velocity[column]
        for _ in range(late[column]):
            for unit in range(len(speed)):
                speed[unit] *= rho
        late[column] = 0
        for unit in range(len(gradient)):
            gradient[unit] = decay[unit] * row[unit]
        while place < len(columns) and columns[place] == column:
            sample = upstream[rows[place]]
            for unit in range(len(gradient)):
                gradient[unit] += sample[unit]
            place += 1
        for unit in range(len(gradient)):
            slope = gradient[unit]
            speed[unit] = rho * speed[unit] + fresh * (slope * slope)
            row[unit] -= learning_rate * slope / np.sqrt(speed[unit] + epsilon)


@_loops(numba.float64[::1](_given))  # type: ignore[untyped-decorator]
def squares(kernel: Floats) -> npt.NDArray[np.float64]:
    """(units,): the sum of the squares of each unit's weights."""
    sums = np.zeros(kernel.shape[1])
    for column in range(len(kernel)):
        row = kernel[column]
        for unit in range(len(sums)):
            sums[unit] += row[unit] * row[unit]
    return sums
