"""Lower bounds on time: counted operations and bytes, divided by this machine's measured rates.

The work of a packed epoch is counted as training does it (sparse_layer, packed_model): a dense product for the first
HEAD columns, and sums of rows for the nonzero entries in the other columns. An operation is a float32 multiplication or
addition. Bytes are counted as if no cache held the weights, so a network that fits into the cache may be faster than
its bound.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from feedforward.config.schema import Dataset
from feedforward.core import processes
from feedforward.data.splits import MultiHot, Split

FLOAT = 4  # bytes
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")  # environment variables


@dataclass(frozen=True)
class Rates:
    """Operations and bytes per second, with one thread and (`…_all`) with one thread per core."""

    flops: float
    flops_all: float
    bandwidth: float
    bandwidth_all: float


@dataclass(frozen=True)
class Work:
    """The work of a part: its operations, and the minimum number of bytes that it moves to and from memory."""

    operations: float
    bytes: float

    def __add__(self, other: "Work") -> "Work":
        return Work(self.operations + other.operations, self.bytes + other.bytes)

    def __mul__(self, times: float) -> "Work":
        return Work(self.operations * times, self.bytes * times)

    def seconds(self, flops: float, bandwidth: float) -> float:
        """Lower bound on the time in seconds: the larger of compute and memory time, which overlap (roofline model)."""
        return max(self.operations / flops, self.bytes / bandwidth)


# --- this machine --------------------------------------------------------------------------------


def measure_rates() -> Rates:
    """Measure the rates of this machine in separate processes; each rate is the best of several tries."""
    one_core, all_cores = (_measure_in_process(threads) for threads in (1, processes.cores()))
    return Rates(one_core["flops"], all_cores["flops"], one_core["bandwidth"], all_cores["bandwidth"])


def _measure_in_process(threads: int) -> dict[str, float]:
    environment = {**os.environ, **dict.fromkeys(BLAS_THREADS, str(threads))}
    done = subprocess.run(
        [sys.executable, "-m", "bench.floors", str(threads)], env=environment, capture_output=True, check=True
    )
    return dict(json.loads(done.stdout))


def matrix_rate(threads: int, size: int = 2048, tries: int = 7) -> float:
    """Operations per second of a square float32 matrix product, by NumPy's BLAS or by TensorFlow if that is faster.

    Which of the two is faster depends on the CPU: NumPy's BLAS may not use AVX-512 where TensorFlow does. `threads`
    applies to TensorFlow; the environment variables BLAS_THREADS set the number of threads of NumPy's BLAS.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    a, b = (np.random.default_rng(seed).random((size, size), np.float32) for seed in (0, 1))
    out, x, y = np.empty_like(a), tf.constant(a), tf.constant(b)
    products = (lambda: np.matmul(a, b, out=out), lambda: tf.matmul(x, y).numpy())
    return 2 * size**3 / min(_time(product) for product in products for _ in range(tries))


def memory_rate(threads: int, size: int = 2**28, tries: int = 7) -> float:
    """Bytes read and written per second when copying arrays larger than any cache (`size` bytes per thread)."""
    pairs = [(np.ones(size // 8), np.empty(size // 8)) for _ in range(threads)]
    for source, target in pairs:
        np.copyto(target, source)  # allocates the pages before the measurement

    def copy_all() -> None:
        copiers = [threading.Thread(target=np.copyto, args=(target, source)) for source, target in pairs]
        for thread in copiers:
            thread.start()
        for thread in copiers:
            thread.join()

    return 2 * size * threads / min(_time(copy_all) for _ in range(tries))


def _time(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


# --- the work of training --------------------------------------------------------------------------


def epoch_work(split: Split, units: Sequence[int], batch_size: int, replicas: int) -> Work:
    """The work of an epoch of training: forward pass, backward pass (no gradient for the features), RMSprop.

    units: the width of each layer, output last. The bytes are: the features and labels, once; in each step, the weights
    and RMSprop's mean squares (the forward pass reads the weights, RMSprop reads and writes both); the summed rows of
    the tail, forward and backward; and the activations.
    """
    samples, steps = len(split), -(-len(split) // batch_size)
    dense = _products(split, units, replicas)
    first_layer, other_layers = dense[0], sum(dense[1:])
    summed = 2 * _tail_ones(split) * units[0] * replicas  # forward, and as many backward
    operations = 2 * 2 * first_layer + 3 * 2 * other_layers + summed
    parameters = replicas * sum(a * b + b for a, b in _layers(split, units))
    activations = samples * replicas * sum(units)
    moved_bytes = _input_bytes(split) + FLOAT * (5 * parameters * steps + summed + 4 * activations)
    return Work(operations + 8 * parameters * steps, moved_bytes)


def evaluation_work(split: Split, units: Sequence[int], replicas: int) -> Work:
    """The work of evaluating a split: the forward pass only."""
    summed = _tail_ones(split) * units[0] * replicas
    parameters = replicas * sum(a * b + b for a, b in _layers(split, units))
    moved_bytes = _input_bytes(split) + FLOAT * (parameters + summed + 2 * len(split) * replicas * sum(units))
    return Work(2 * sum(_products(split, units, replicas)) + summed, moved_bytes)


def output_units(dataset: Dataset) -> int:
    """Number of units in the output layer."""
    return 1 if dataset.task == "binary" else len(dataset.labels)


def _layers(split: Split, units: Sequence[int]) -> list[tuple[int, int]]:
    widths = [split.features.shape[1], *units]
    return list(itertools.pairwise(widths))


def _products(split: Split, units: Sequence[int], replicas: int) -> list[int]:
    """Multiplications in each layer's forward product; for multi-hot rows, the first has only those of the head."""
    layers = _layers(split, units)
    inputs, outputs = layers[0]
    if isinstance(split.features, MultiHot):
        layers[0] = (min(inputs, _head()), outputs)
    return [len(split) * replicas * a * b for a, b in layers]


def _tail_ones(split: Split) -> int:
    if not isinstance(split.features, MultiHot):
        return 0
    return int(np.count_nonzero(np.asarray(split.features.indices) >= _head()))


def _head() -> int:
    from feedforward.training import sparse_layer  # imports TensorFlow, which measuring rates does not need

    return sparse_layer.HEAD


def _input_bytes(split: Split) -> int:
    return sum(array.nbytes for _, array in split.arrays())


if __name__ == "__main__":
    THREADS = int(sys.argv[1])
    print(json.dumps({"flops": matrix_rate(THREADS), "bandwidth": memory_rate(THREADS)}))
