"""Evaluate the replicas of a pack: loss, score, and the calibration of the predicted probabilities."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from feedforward.data.splits import MultiHot, Subset
from feedforward.models import calibration
from feedforward.models.calibration import Calibration
from feedforward.training.batches import SECTION, Batches, Plan
from feedforward.training.graphs import Sums, add_and_collect_steps, graph, zeros
from feedforward.training.keras_backend import keras, tf
from feedforward.training.packed_model import PackedModel

BATCH_SIZE = 2000  # large enough to keep a core busy, small enough for the core's cache

Figures = dict[str, npt.NDArray[np.float64]]


class Evaluation:
    """Evaluates a pack repeatedly, by default on the same samples."""

    def __init__(self, pack: PackedModel, samples: Subset) -> None:
        self.pack, self.samples, self.batches = pack, samples, Batches(samples)
        self.plans = list(_plans(self.batches)) if len(samples) <= SECTION else None
        self.labels = samples.split.labels[samples.row_numbers(np.arange(len(samples)))]
        self.logits: list[npt.NDArray[np.float32]] = []
        batches = self.batches

        @graph
        def run(plan: Plan, sums: Sums) -> Sums:
            def step(number: tf.Tensor) -> tuple[Sums, tf.Tensor]:
                batch = batches.batch(plan, number)
                logits = pack.logits(batch, pack.tail_sums(batch))
                cross_entropy = pack.cross_entropy(batch.labels, logits)
                values = tf.reduce_sum(cross_entropy, -1), pack.score(batch.labels, logits)
                return values, tf.transpose(logits, (1, 0, 2))

            sums, logits = add_and_collect_steps(batches.steps(plan), step, sums)
            return *sums, pack.penalty(), logits

        self.run = run

    def figures(self, prefix: str, other_samples: Subset | None = None) -> Figures:
        """Compute `loss`, `accuracy` (regression: `mae`) and `cross_entropy` with the current weights.

        Each array has the shape (replicas,). prefix: prepended to each name. other_samples: evaluated instead of the
        samples passed to the constructor.
        """
        plans = self.plans or _plans(self.batches)
        if other_samples is not None:
            plans = _plans(Batches(other_samples))
        samples, sums = other_samples or self.samples, zeros(len(self.pack.models), 3)
        self.logits = []
        for plan in plans:
            *totals, logits = self.run(plan, sums[:2])
            sums = tuple(totals)
            self.logits += [] if other_samples else [logits.numpy()]
        return figures_of((*sums[:2], sums[2] * float(len(samples))), samples, prefix)

    def calibrations(self) -> list[Calibration]:
        """The calibration of each replica after a call of `figures` without `other_samples`; empty for regression."""
        if self.labels.dtype.kind == "f":
            return []
        logits = np.concatenate(self.logits)
        return [calibration.measure(logits[:, k], self.labels) for k in range(logits.shape[1])]


def evaluate(models: Sequence[keras.Model], samples: Subset) -> list[dict[str, float]]:
    """Compute `loss`, `accuracy` (regression: `mae`) and `cross_entropy` of each model on these samples."""
    pack = PackedModel(models, 0, isinstance(samples.split.features, MultiHot))
    figures = Evaluation(pack, samples).figures("")
    return [{name: float(values[k]) for name, values in figures.items()} for k in range(len(models))]


def figures_of(sums: Sums, samples: Subset, prefix: str) -> Figures:
    """Mean loss, score and cross-entropy by name, given the sums of cross-entropy, score and penalty over `samples`."""
    cross_entropy, score, penalty = (np.asarray(total, np.float64) / len(samples) for total in sums)
    return {
        f"{prefix}loss": cross_entropy + penalty,
        f"{prefix}{'mae' if samples.split.labels.dtype.kind == 'f' else 'accuracy'}": score,
        f"{prefix}cross_entropy": cross_entropy,
    }


def _plans(batches: Batches) -> Iterator[Plan]:
    return batches.plans(np.arange(len(batches.samples)), BATCH_SIZE)
