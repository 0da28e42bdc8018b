"""Train replicas of several variants side by side, and evaluate them after each epoch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset, Variant
from feedforward.core.errors import TrainingError
from feedforward.data.splits import MultiHot, Subset
from feedforward.models import numpy_network
from feedforward.models.calibration import FIGURES, Calibration
from feedforward.training import network
from feedforward.training.batches import Batches, Plan
from feedforward.training.best_epochs import BestEpochs
from feedforward.training.evaluation import Evaluation, evaluate, figures_of
from feedforward.training.graphs import Graph, Sums, add_steps, graph, zeros
from feedforward.training.keras_backend import keras, tf
from feedforward.training.optimizers import Rule
from feedforward.training.packed_model import PackedModel, weights_digest

__all__ = ["Evaluation", "Replica", "as_arrays", "evaluate", "fit", "weights_digest"]

OnEpoch = Callable[[int, float], None]


@dataclass(frozen=True)
class Replica:
    """A trained model and what was recorded while it trained.

    model: has the weights after its last epoch or, with early stopping, after its best epoch. curves: one value per
    epoch, under the names in Keras's history, plus `cross_entropy` and `calibration/…` (models.calibration.FIGURES, on
    the validation samples). measured: `best_cross_entropy` and `best_accuracy` (regression: `best_mae`) on the training
    samples, in inference mode, with the weights after the best epoch (the epoch with the lowest validation loss); empty
    without validation. reliability: the bins of calibration.reliability on the validation samples. `best` and `last`
    are the bins after the best and the last epoch; `best_scaled` and `last_scaled` are those with temperature scaling.
    """

    model: keras.Model
    curves: dict[str, list[float]]
    measured: dict[str, float]
    reliability: dict[str, list[list[float]]] = field(default_factory=dict)


def fit(
    dataset: Dataset,
    variants: Mapping[str, Variant],
    train: Subset,
    validation: Subset | None,
    seed: int,
    order_rng: np.random.Generator,
    epochs: int,
    on_epoch: OnEpoch = lambda *_: None,
) -> list[Replica | TrainingError]:
    """Train one replica of each variant, all on the same batches; return them in the order of the variants.

    seed: determines the initial weights and dropout masks. order_rng: shuffles the training samples once per epoch.
    on_epoch(epoch, mean training loss of the replicas) is called after each epoch.

    Curves are defined as in Keras's `fit`: on the training samples, running means while the weights change (with
    dropout); on the validation samples, values after the epoch.

    With `training.early_stopping` a replica's curves end where it stops, and its weights are those after its best
    epoch; the pack continues until all replicas have stopped, which is harmless because replicas do not affect each
    other. Without validation, no replica stops early. If a loss or another metric of a replica is not finite before the
    replica stops, a TrainingError takes its place; the other replicas are unaffected.
    """
    columns = train.split.features.shape[1]
    models = [network.build(dataset, variant, columns, seed) for variant in variants.values()]
    optimizer = dataset.training.optimizer
    pack = PackedModel(models, seed, isinstance(train.split.features, MultiHot), optimizer)
    batches, batch_size = Batches(train), dataset.training.batch_size
    rule = Rule(optimizer, pack.variables)
    run_epoch = _training_graph(pack, batches, rule)
    evaluation = Evaluation(pack, validation) if validation is not None else None
    best_epochs = BestEpochs(pack, dataset.training.early_stopping) if evaluation else None
    curves: list[dict[str, list[float]]] = [{} for _ in models]
    failures: dict[int, TrainingError] = {}
    calibrations: list[list[Calibration]] = []
    for epoch in range(1, epochs + 1):
        rule.start(epoch, epochs)
        step, sums = tf.constant((epoch - 1) * -(-len(train) // batch_size)), zeros(len(models), 3)
        for plan in batches.plans(order_rng.permutation(len(train)), batch_size):
            sums = run_epoch(plan, step, sums)
            step += batches.steps(plan)
        figures = figures_of(sums, train, "")
        if evaluation is not None:
            figures |= evaluation.figures("val_")
            calibrations.append(evaluation.calibrations())
            figures |= _curve_points(calibrations[-1])
        running = best_epochs.running if best_epochs else range(len(models))
        for k, (variant, curve) in enumerate(zip(variants, curves, strict=True)):
            problem = _append(curve, {name: float(values[k]) for name, values in figures.items()})
            if problem and k in running and k not in failures:
                failures[k] = _not_finite_error(f"{dataset.title}, {variant}, seed {seed}", *problem, epoch)
        on_epoch(epoch, float(figures["loss"].mean()))
        all_stopped = best_epochs is not None and best_epochs.update(figures["val_cross_entropy"])
        if all_stopped or len(failures) == len(models):
            break
    replicas = _replicas(pack, curves, best_epochs, evaluation, train)
    replicas = [_with_reliability(replica, calibrations, k) for k, replica in enumerate(replicas)]
    return [failures.get(k, replica) for k, replica in enumerate(replicas)]


def _curve_points(calibrations: Sequence[Calibration]) -> dict[str, npt.NDArray[np.float64]]:
    """The calibration metrics, keyed by curve name; each array has shape (replicas,)."""
    names = FIGURES if calibrations else ()
    values = {name: [getattr(calibration, name) for calibration in calibrations] for name in names}
    return {f"calibration/{name}": np.array(figures) for name, figures in values.items()}


def _with_reliability(replica: Replica, calibrations: Sequence[Sequence[Calibration]], k: int) -> Replica:
    """Replica `k` with its reliability bins, if any. calibrations: indexed by epoch and replica."""
    losses = replica.curves.get("val_cross_entropy", [])
    if not losses or not calibrations[0]:
        return replica
    bins: dict[str, list[list[float]]] = {}
    for name, epoch in (("best", int(np.argmin(losses))), ("last", len(losses) - 1)):
        calibration = calibrations[epoch][k]
        bins |= {name: calibration.bins.tolist(), f"{name}_scaled": calibration.scaled_bins.tolist()}
    return replace(replica, reliability=bins)


def _append(curves: dict[str, list[float]], figures: Mapping[str, float]) -> tuple[str, float] | None:
    """Append the metrics of an epoch to the curves; return the first metric that is not finite, or None."""
    for name, value in figures.items():
        curves.setdefault(name, []).append(value)
    return next(((name, value) for name, value in figures.items() if not np.isfinite(value)), None)


def _replicas(
    pack: PackedModel,
    curves: Sequence[dict[str, list[float]]],
    best_epochs: BestEpochs | None,
    evaluation: "Evaluation | None",
    train: Subset,
) -> list[Replica]:
    """Return the trained replicas, and free the pack."""
    weights, measured = pack.weights(), [dict[str, float]() for _ in pack.models]
    if best_epochs and evaluation:
        best_weights = [best or last for best, last in zip(best_epochs.weights, weights, strict=True)]
        pack.assign(best_weights)
        for name, values in evaluation.figures("best_", train).items():
            for figures, value in zip(measured, values, strict=True):
                if name != "best_loss":  # best_loss includes the penalty
                    figures[name] = float(value)
        if best_epochs.rule:
            weights = best_weights
            curves = [
                {name: values[:last] for name, values in curve.items()}
                for curve, last in zip(curves, best_epochs.last_epochs, strict=True)
            ]
    pack.free()
    for model, arrays in zip(pack.models, weights, strict=True):
        model.set_weights(arrays)
    return [Replica(*parts) for parts in zip(pack.models, curves, measured, strict=True)]


def as_arrays(model: keras.Model) -> numpy_network.Network:
    """The trained network as NumPy arrays, for code that does not need TensorFlow."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    scale = next(float(layer.scale) for layer in model.layers if isinstance(layer, keras.layers.Rescaling))
    return numpy_network.Network(
        scale,
        tuple(
            numpy_network.Layer(np.asarray(layer.kernel), np.asarray(layer.bias), layer.activation.__name__)
            for layer in layers
        ),
    )


def _training_graph(pack: PackedModel, batches: Batches, rule: Rule) -> Graph:
    """A graph that trains on the batches of a plan, which is an epoch or a section of it."""

    @graph
    def run(plan: Plan, first_step: tf.Tensor, sums: Sums) -> Sums:
        def step(number: tf.Tensor) -> Sums:
            batch = batches.batch(plan, number)
            penalty = pack.penalty() * tf.cast(tf.shape(batch.labels)[0], tf.float32)
            with tf.control_dependencies([penalty]):  # before the weights change
                cross_entropy, logits, gradients = pack.gradients(batch, first_step + number)
            rule.apply(gradients)
            return tf.reduce_sum(cross_entropy, -1), pack.score(batch.labels, logits), penalty

        return add_steps(batches.steps(plan), step, sums)

    return run


def _not_finite_error(run: str, figure: str, value: float, epoch: int) -> TrainingError:
    return TrainingError(
        f"{run}: {figure} is {value} at epoch {epoch}, expected a finite number; lower training.optimizer.learning_rate"
        " in params.yaml"
    )
