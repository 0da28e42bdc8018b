"""The temperature that a served network's logits are divided by, from the curves of replicas.

Training fits it after each epoch on validation samples, which the replica did not learn from (models.calibration); the
final model, which learned from all samples, has none of its own. The test split is not used.
"""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feedforward.tracking import LoggedRun

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

CURVE = "calibration/temperature"


def after(replicas: Sequence[LoggedRun], epoch: int, registry: "Registry") -> float:
    """The median temperature of the replicas after that epoch; 1 if none of them recorded it (a regression).

    A median, because the temperature of a replica that never learned is arbitrary.
    """
    curves = [registry.curve(replica, CURVE) for replica in replicas]
    recorded = [curve[epoch - 1] for curve in curves if len(curve) >= epoch]
    return statistics.median(recorded) if recorded else 1.0


def of_replica(replica: LoggedRun, registry: "Registry") -> float:
    """The temperature for the weights that the replica kept: after its last epoch, or its best with early stopping."""
    losses = registry.curve(replica, "val_cross_entropy")
    kept = losses.index(min(losses)) + 1 if "early_stopping_patience" in replica.params and losses else len(losses)
    return after([replica], kept, registry) if kept else 1.0
