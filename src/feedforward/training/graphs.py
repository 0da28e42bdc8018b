"""TensorFlow graphs that process all batches of a plan; a Python call per step would cost more than the step itself."""

from collections.abc import Callable
from typing import Any

from feedforward.training.batches import Plan
from feedforward.training.keras_backend import tf

Sums = tuple[tf.Tensor, ...]
Graph = Callable[..., Sums]


def graph(function: Graph) -> Graph:
    """Wrap a function of a plan and other tensors in one graph for any number of samples, built on the first call.

    By default, TensorFlow would build a separate graph for each number of samples, and keep all of them (6 MB each) for
    the lifetime of the process. Autograph is off because parsing the source would take a second in every process.
    """
    graphs: list[Graph] = []

    def call(plan: Plan, *others: Any) -> Sums:
        if not graphs:
            shapes = {name: [None, *array.shape[1:]] if array.shape.rank else [] for name, array in plan.items()}
            signature = {name: tf.TensorSpec(shapes[name], array.dtype) for name, array in plan.items()}
            other_types = tf.nest.map_structure(tf.type_spec_from_value, others)
            graphs.append(tf.function(function, autograph=False, input_signature=[signature, *other_types]))
        return graphs[0](plan, *others)

    return call


def zeros(replicas: int, count: int) -> Sums:
    """Sums before the first step: `count` tensors of shape (replicas,)."""
    return (tf.zeros(replicas),) * count


def add_steps(steps: tf.Tensor, step: Callable[[tf.Tensor], Sums], sums: Sums) -> Sums:
    """Run `step(number)` for each step in turn and add the results to the sums."""

    def body(number: tf.Tensor, sums: Sums) -> tuple[tf.Tensor, Sums]:
        return number + 1, tuple(total + value for total, value in zip(sums, step(number), strict=True))

    return tf.while_loop(lambda number, _: number < steps, body, (0, sums))[1]  # type: ignore[no-any-return]


def add_and_collect_steps(
    steps: tf.Tensor, step: Callable[[tf.Tensor], tuple[Sums, tf.Tensor]], sums: Sums
) -> tuple[Sums, tf.Tensor]:
    """Like `add_steps`, but each step also returns rows, which are concatenated: a tensor of shape (samples, …)."""
    rows = tf.TensorArray(tf.float32, steps, infer_shape=False)

    def body(number: tf.Tensor, sums: Sums, rows: tf.TensorArray) -> tuple[tf.Tensor, Sums, tf.TensorArray]:
        values, part = step(number)
        totals = tuple(total + value for total, value in zip(sums, values, strict=True))
        return number + 1, totals, rows.write(number, part)

    _, sums, rows = tf.while_loop(lambda number, *_: number < steps, body, (0, sums, rows))
    return sums, rows.concat()
