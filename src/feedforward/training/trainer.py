"""fit: train replicas of one variant, packed, and evaluate them after each epoch."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset, EarlyStopping, Variant
from feedforward.core.errors import TrainingError
from feedforward.data.splits import MultiHot, Split
from feedforward.models import numpy_network
from feedforward.training import network
from feedforward.training.batches import SECTION, Batches, Plan
from feedforward.training.keras_backend import keras, tf
from feedforward.training.optimizers import Rule
from feedforward.training.packed_model import Pack, weights_digest

EVALUATION_ROWS = 2000  # of a batch where nothing depends on it: enough to fill a core, few enough for its cache

__all__ = ["Evaluation", "Replica", "as_arrays", "configure", "evaluate", "fit", "weights_digest"]

Sums = tuple[tf.Tensor, ...]
Figures = dict[str, npt.NDArray[np.float64]]
OnEpoch = Callable[[int, float], None]


@dataclass(frozen=True)
class Replica:
    """A trained model and its curves, one value an epoch, by Keras's history names (and `cross_entropy`)."""

    seed: int
    model: keras.Model
    curves: dict[str, list[float]]


@functools.cache
def configure(jobs: int, threads: int) -> None:
    """Set TensorFlow up, once a process, for `jobs` packs that train at the same time in `threads` threads each.

    A process in which TensorFlow has started already keeps the numbers that it has. The graph optimizer is off because
    it costs more than it saves here.
    """
    tf.get_logger().setLevel("ERROR")  # each pack has graphs of its own, which TensorFlow takes for needless retracing
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(jobs)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    tf.config.experimental.enable_op_determinism()
    tf.zeros(1)  # TensorFlow starts with its first operation


def fit(
    dataset: Dataset,
    variant: Variant,
    train: Split,
    validation: Split | None,
    seeds: Sequence[int],
    order_seed: int,
    epochs: int,
    on_epoch: OnEpoch = lambda *_: None,
) -> list[Replica]:
    """Train one replica a seed on batches whose order `order_seed` alone decides.

    Curves are what Keras's `fit` gives: over the training split running means while the weights move (dropout on),
    over the validation split the state after the epoch. `on_epoch(epoch, mean loss)` is called after each.

    With `training.early_stopping` a replica's curves end where it stops, and its weights are those of its best epoch;
    the pack trains on until all have stopped, since no replica touches another. Without validation none stops.

    Raises:
        TrainingError: a loss is not finite.
    """
    models = [network.build(dataset, variant, train.features.shape[1], seed) for seed in seeds]
    optimizer = dataset.training.optimizer
    pack = Pack(models, seeds, isinstance(train.features, MultiHot), optimizer)
    batches, size = Batches(train), dataset.training.batch_size
    rule = Rule(optimizer, pack.variables)
    run_epoch = _training_graph(pack, batches, rule)
    evaluation = Evaluation(pack, validation) if validation is not None else None
    order = np.random.default_rng(order_seed)
    curves: list[dict[str, list[float]]] = [{} for _ in seeds]
    stopping = dataset.training.early_stopping if evaluation else None
    stops = _Stops(stopping, pack) if stopping else None
    for epoch in range(1, epochs + 1):
        rule.start(epoch, epochs)
        step, sums = tf.constant((epoch - 1) * -(-len(train) // size)), _zeros(pack, 3)
        for plan in batches.plans(order.permutation(len(train)), size):
            sums = run_epoch(plan, step, sums)
            step += batches.steps(plan)
        figures = _figures(sums, train, "")
        if evaluation is not None:
            figures |= evaluation.figures("val_")
        _refuse_infinite(figures, seeds, epoch, dataset.title)
        for name, values in figures.items():
            for curve, value in zip(curves, values, strict=True):
                curve.setdefault(name, []).append(float(value))
        on_epoch(epoch, float(figures["loss"].mean()))
        if stops and stops.look(figures["val_cross_entropy"]):
            break
    if stops:
        return stops.replicas(curves)
    return [Replica(*parts) for parts in zip(seeds, pack.unpack(), curves, strict=True)]


def evaluate(models: Sequence[keras.Model], split: Split) -> list[dict[str, float]]:
    """`loss`, `accuracy` (of values: `mae`) and `cross_entropy` of each model (built alike) on `split`."""
    pack = Pack(models, [0] * len(models), isinstance(split.features, MultiHot))
    figures = Evaluation(pack, split).figures("")
    return [{name: float(values[k]) for name, values in figures.items()} for k in range(len(models))]


def as_arrays(model: keras.Model) -> numpy_network.Network:
    """The trained network as plain arrays, for what needs no TensorFlow."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    scale = next(float(layer.scale) for layer in model.layers if isinstance(layer, keras.layers.Rescaling))
    return numpy_network.Network(
        scale,
        tuple(
            numpy_network.Layer(np.asarray(layer.kernel), np.asarray(layer.bias), layer.activation.__name__)
            for layer in layers
        ),
    )


Graph = Callable[..., Sums]


def _graph(function: Graph) -> Graph:
    """The function as a graph. Without autograph, whose reading of the source costs a second in every process."""
    return tf.function(function, autograph=False, reduce_retracing=True)  # type: ignore[no-any-return]


def _zeros(pack: Pack, figures: int) -> Sums:
    return (tf.zeros(len(pack.models)),) * figures


def _add_steps(steps: tf.Tensor, step: Callable[[tf.Tensor], Sums], sums: Sums) -> Sums:
    """Add to the sums what `step(number)` gives, one step after the other."""

    def body(number: tf.Tensor, sums: Sums) -> tuple[tf.Tensor, Sums]:
        return number + 1, tuple(total + value for total, value in zip(sums, step(number), strict=True))

    return tf.while_loop(lambda number, _: number < steps, body, (0, sums))[1]  # type: ignore[no-any-return]


def _training_graph(pack: Pack, batches: Batches, rule: Rule) -> Graph:
    """A plan, mostly an epoch, as one graph: calls from Python for each step would cost more than their arithmetic."""

    @_graph
    def run(plan: Plan, first_step: tf.Tensor, sums: Sums) -> Sums:
        def step(number: tf.Tensor) -> Sums:
            batch = batches.batch(plan, number)
            penalty = pack.penalty() * tf.cast(tf.shape(batch.labels)[0], tf.float32)
            with tf.control_dependencies([penalty]):  # before the weights change
                entropy, logits, gradients = pack.gradients(batch, first_step + number)
            rule.apply(gradients)
            return tf.reduce_sum(entropy, -1), pack.score(batch.labels, logits), penalty

        return _add_steps(batches.steps(plan), step, sums)

    return run


class Evaluation:
    """The figures of a pack on a split, as often as wanted."""

    def __init__(self, pack: Pack, split: Split) -> None:
        self.pack, self.split, self.batches = pack, split, Batches(split)
        self.plans = list(self._plans()) if len(split) <= SECTION else None
        batches = self.batches

        @_graph
        def run(plan: Plan, sums: Sums) -> Sums:
            def step(number: tf.Tensor) -> Sums:
                batch = batches.batch(plan, number)
                logits = pack.logits(batch, pack.tail_sums(batch))
                entropy = pack.cross_entropy(batch.labels, logits)
                return tf.reduce_sum(entropy, -1), pack.score(batch.labels, logits)

            return *_add_steps(batches.steps(plan), step, sums), pack.penalty() * float(len(split))

        self.run = run

    def _plans(self) -> Iterator[Plan]:
        return self.batches.plans(np.arange(len(self.split)), EVALUATION_ROWS)

    def figures(self, prefix: str) -> Figures:
        """`loss`, `accuracy` (of values: `mae`) and `cross_entropy` as the pack is now, each (replicas,)."""
        sums = _zeros(self.pack, 3)
        for plan in self.plans or self._plans():
            sums = self.run(plan, sums[:2])
        return _figures(sums, self.split, prefix)


class _Stops:
    """Where each replica of a pack stops, and its weights at its best epoch."""

    def __init__(self, rule: EarlyStopping, pack: Pack) -> None:
        self.rule, self.pack, self.epoch = rule, pack, 0
        self.lowest = [np.inf] * len(pack.seeds)
        self.best = [0] * len(pack.seeds)
        self.last: list[int | None] = [None] * len(pack.seeds)
        self.weights: list[list[npt.NDArray[Any]]] = [[] for _ in pack.seeds]

    def look(self, losses: npt.NDArray[np.float64]) -> bool:
        """After each epoch, with the validation losses: have all replicas stopped?"""
        self.epoch += 1
        running = [k for k, last in enumerate(self.last) if last is None]
        better = [k for k in running if losses[k] < self.lowest[k] - self.rule.min_delta]
        weights = self.pack.weights() if better else []
        for k in better:
            self.lowest[k], self.best[k], self.weights[k] = float(losses[k]), self.epoch, weights[k]
        for k in running:
            if self.epoch - self.best[k] >= self.rule.patience:
                self.last[k] = self.epoch
        return all(last is not None for last in self.last)

    def replicas(self, curves: Sequence[dict[str, list[float]]]) -> list[Replica]:
        """Each replica as it was when it stopped."""
        found = []
        for k, (seed, model) in enumerate(zip(self.pack.seeds, self.pack.unpack(), strict=True)):
            model.set_weights(self.weights[k])
            found.append(Replica(seed, model, {name: values[: self.last[k]] for name, values in curves[k].items()}))
        return found


def _figures(sums: Sums, split: Split, prefix: str) -> Figures:
    entropy, score, penalty = (np.asarray(total, np.float64) / len(split) for total in sums)
    return {
        f"{prefix}loss": entropy + penalty,
        f"{prefix}{'mae' if split.labels.dtype.kind == 'f' else 'accuracy'}": score,
        f"{prefix}cross_entropy": entropy,
    }


def _refuse_infinite(figures: Figures, seeds: Sequence[int], epoch: int, title: str) -> None:
    for name, values in figures.items():
        for seed, value in zip(seeds, values, strict=True):
            if not np.isfinite(value):
                raise TrainingError(
                    f"{title}, seed {seed}: {name} is {value} at epoch {epoch}, expected a finite number;"
                    " lower training.optimizer.learning_rate in params.yaml"
                )
