"""Trains the runs of a pack: from vectorized data to models and curves.

The fingerprint of a run covers this module and its imports, so code that only affects reports does not belong here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feedforward.config.schema import Dataset, Params, Variant
from feedforward.core.errors import TrainingError
from feedforward.data import manifest as manifest_file
from feedforward.data import validation_split
from feedforward.data.splits import Subset
from feedforward.experiments.learning_checks import constant_loss, dead_units
from feedforward.experiments.plan import Pack
from feedforward.training import trainer

OnEpoch = Callable[[int, float], None]
Samples = tuple[Subset, Subset | None]


@dataclass(frozen=True)
class TrainedRun:
    """A trained model and the values recorded during its training.

    model: a keras.Model. curves, measured, weights_digest, reliability: see RunResult. Absolute errors from `train` are
    in the unit of the target; those from `train_final` are in standard deviations of the target, as during training.
    """

    model: Any
    curves: dict[str, list[float]]
    measured: dict[str, float]
    weights_digest: str
    reliability: dict[str, list[list[float]]] = field(default_factory=dict)


def train(
    pack: Pack, params: Params, samples: Samples, on_epoch: OnEpoch = lambda *_: None
) -> list[TrainedRun | TrainingError]:
    """Train the members of a pack side by side; a TrainingError takes the place of a member whose loss is not finite.

    samples: the result of `load` for this pack.
    """
    dataset = params.datasets[pack.dataset]
    training, validation = samples
    replicas = trainer.fit(
        dataset,
        {member.variant: params.variants[member.variant] for member in pack.members},
        training,
        validation,
        pack.seed_of("weights"),
        validation_split.generator(pack.seed_of("order"), validation_split.ORDER),
        pack.epochs,
        on_epoch,
    )
    unit = manifest_file.load(pack.dataset).get("target", {}).get("scale", 1.0)
    checks = {}
    if validation is not None:
        regression = dataset.task == "regression"
        checks = {"constant_val_cross_entropy": constant_loss(training.labels, validation.labels, regression)}
    return [
        replica if isinstance(replica, TrainingError) else _in_units(_with_checks(replica, checks, training), unit)
        for replica in replicas
    ]


def _with_checks(replica: trainer.Replica, checks: Mapping[str, float], training: Subset) -> trainer.Replica:
    """The replica with `checks` and its number of dead units in `measured`; unchanged without validation."""
    if not checks:
        return replica
    dead = float(dead_units(trainer.as_arrays(replica.model), training))
    return dataclasses.replace(replica, measured={**replica.measured, **checks, "dead_units": dead})


def load(pack: Pack, dataset: Dataset) -> Samples:
    """The training and validation samples of a pack, as subsets of the memory-mapped splits.

    Raises:
        DataError: the data are not vectorized, are damaged, or have changed since the pack was planned, or no training
            samples would remain.
    """
    manifest = manifest_file.load_unchanged(pack.dataset, pack.data_digest)
    split = manifest_file.load_split(pack.dataset, "train", manifest)
    seed = pack.seed_of("split")
    if pack.train == "all":
        validation = (
            Subset(manifest_file.load_split(pack.dataset, "test", manifest)) if pack.validate == "test" else None
        )
        return validation_split.draw_share(Subset(split), dataset, seed), validation
    if pack.train == "fixed":
        return validation_split.hold_out(split, dataset, seed)
    return validation_split.draw(split, dataset, seed)


def train_final(dataset: Dataset, variant: Mapping[str, Variant], training: Subset, seed: int) -> TrainedRun:
    """Train the only variant in {name: variant} on these samples, like a final model with this seed.

    Raises:
        TrainingError: a loss is not finite.
    """
    order = validation_split.generator(seed, validation_split.ORDER)
    [replica] = trainer.fit(dataset, variant, training, None, seed, order, dataset.training.final.epochs)
    if isinstance(replica, TrainingError):
        raise replica
    return _in_units(replica, 1.0)


def _in_units(replica: trainer.Replica, unit: float) -> TrainedRun:
    """The replica as a TrainedRun, with its absolute errors multiplied by `unit`."""

    def scaled(values_by_name: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: (np.asarray(values) * unit).tolist() if name.endswith("mae") else values
            for name, values in values_by_name.items()
        }

    digest = trainer.weights_digest(replica.model)
    return TrainedRun(replica.model, scaled(replica.curves), scaled(replica.measured), digest, replica.reliability)
