"""Track the best epoch of each replica in a pack, the weights after that epoch, and early stopping."""

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import EarlyStopping
from feedforward.training.packed_model import Pack
from feedforward.training.replica_stack import Weights


class BestEpochs:
    """The best epoch of each replica, the weights after that epoch, and the epoch at which the replica stops early.

    The best epoch is the one with the lowest validation loss. The setting `min_delta` of early stopping does not affect
    the best epoch; it only determines what counts as progress.
    """

    def __init__(self, pack: Pack, rule: EarlyStopping | None) -> None:
        self.pack, self.rule, self.epoch = pack, rule, 0
        self.lowest = [np.inf] * len(pack.models)
        self.goal = [np.inf] * len(pack.models)  # a loss below this counts as progress
        self.progress = [0] * len(pack.models)  # epoch of the last progress
        self.last: list[int | None] = [None] * len(pack.models)
        self.weights: list[Weights] = [[] for _ in pack.models]

    def update(self, losses: npt.NDArray[np.float64]) -> bool:
        """Record an epoch's validation losses, shape (replicas,); returns True if all replicas have stopped."""
        self.epoch += 1
        running = [k for k, last in enumerate(self.last) if last is None]
        better = [k for k in running if losses[k] < self.lowest[k]]
        weights = self.pack.weights() if better else []
        for k in better:
            self.lowest[k], self.weights[k] = float(losses[k]), weights[k]
        if self.rule is None:
            return False
        for k in running:
            if losses[k] < self.goal[k]:
                self.goal[k], self.progress[k] = float(losses[k]) - self.rule.min_delta, self.epoch
            if self.epoch - self.progress[k] >= self.rule.patience:
                self.last[k] = self.epoch
        return all(last is not None for last in self.last)
