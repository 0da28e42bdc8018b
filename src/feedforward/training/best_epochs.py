"""Track the best epoch of each replica in a pack, the weights after that epoch, and early stopping."""

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import EarlyStopping
from feedforward.training.packed_model import PackedModel
from feedforward.training.replica_stack import Weights


class BestEpochs:
    """The best epoch of each replica, the weights after that epoch, and the epoch at which the replica stops early.

    The best epoch is the one with the lowest validation loss. The `min_delta` setting of early stopping does not affect
    the best epoch; it only determines what counts as progress.
    """

    def __init__(self, pack: PackedModel, rule: EarlyStopping | None) -> None:
        self.pack, self.rule, self.epoch = pack, rule, 0
        self.lowest_losses = [np.inf] * len(pack.models)
        self.goals = [np.inf] * len(pack.models)  # a loss below this counts as progress
        self.progress_epochs = [0] * len(pack.models)  # epoch of the last progress
        self.last_epochs: list[int | None] = [None] * len(pack.models)  # None: the replica has not stopped
        self.weights: list[Weights] = [[] for _ in pack.models]

    @property
    def running(self) -> list[int]:
        """The replicas that have not stopped."""
        return [k for k, last in enumerate(self.last_epochs) if last is None]

    def update(self, losses: npt.NDArray[np.float64]) -> bool:
        """Record an epoch's validation losses, shape (replicas,); return whether all replicas have stopped early."""
        self.epoch += 1
        running_replicas = self.running
        improved_replicas = [k for k in running_replicas if losses[k] < self.lowest_losses[k]]
        weights = self.pack.weights() if improved_replicas else []
        for k in improved_replicas:
            self.lowest_losses[k], self.weights[k] = float(losses[k]), weights[k]
        if self.rule is None:
            return False
        for k in running_replicas:
            if losses[k] < self.goals[k]:
                self.goals[k], self.progress_epochs[k] = float(losses[k]) - self.rule.min_delta, self.epoch
            if self.epoch - self.progress_epochs[k] >= self.rule.patience:
                self.last_epochs[k] = self.epoch
        return not self.running
