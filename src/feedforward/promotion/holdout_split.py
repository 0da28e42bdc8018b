"""The split of holdout models: which of today's validation samples a model has not been trained on.

Holdout models are trained when a version is evaluated. If data or `training.validation` change later, samples that they
were trained on can become validation samples. Therefore, each bundle of a holdout model contains the short digests of
its training samples.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.config.tasks import TASKS
from feedforward.core.errors import DataError
from feedforward.data import manifest as manifest_file
from feedforward.data import sample_digests, validation_split
from feedforward.data.sample_digests import ShortDigests
from feedforward.data.splits import Split, Subset
from feedforward.promotion.bundle import Servable

MANY = 10  # samples of a class; a random draw that is expected to contain so many lacks the class once in 20,000 times


@dataclass(frozen=True)
class HoldoutSplit:
    """Today's split of a dataset, the same for all seeds, into training samples and held-out validation samples."""

    dataset: str
    training: Subset
    held_out: Subset

    @functools.cached_property
    def validation(self) -> Split:
        """The validation samples as a split of their own."""
        return self.held_out.to_split()

    @functools.cached_property
    def training_samples(self) -> ShortDigests:
        """The short digests of the training samples, sorted, without duplicates.

        Raises:
            DataError: the profile of the vectorized data cannot be read.
        """
        return np.unique(self._digests(self.training))

    def was_trained_on(self, model: Servable) -> bool:
        """Whether the model was trained on the training samples of this split, and records it."""
        return model.training_samples is not None and np.array_equal(model.training_samples, self.training_samples)

    def unseen(self, models: Sequence[Servable]) -> npt.NDArray[np.bool_]:
        """Whether each validation sample is new to all these models: bool, shape (validation samples,).

        If a validation sample also occurs among today's training samples, it counts as new even for a model that was
        trained on it: a model of this split has seen it as well. If a model does not record its training samples, no
        sample counts as new.

        Raises:
            DataError: the profile of the vectorized data cannot be read.
        """
        unseen = np.ones(len(self.held_out), np.bool_)
        for model in models:
            if model.training_samples is None:
                return np.zeros(len(self.held_out), np.bool_)
            if not self.was_trained_on(model):
                digests = self._digests(self.held_out)
                unseen &= ~np.isin(digests, model.training_samples) | np.isin(digests, self.training_samples)
        return unseen

    def _digests(self, samples: Subset) -> ShortDigests:
        digests = sample_digests.of_split(self.dataset, "train", len(samples.split))
        return digests if samples.rows is None else digests[samples.rows]


def of_today(name: str, dataset: Dataset) -> HoldoutSplit:
    """The split according to the vectorized data and `training.validation`.

    Raises:
        DataError: the data are missing or damaged, or no samples would be left for training.
    """
    return HoldoutSplit(name, *validation_split.hold_out(manifest_file.load_split(name, "train"), dataset))


def check_classes(split: HoldoutSplit, dataset: Dataset) -> None:
    """Check that the split is good enough to promote by.

    Raises:
        DataError: the held-out samples lack a class because the training samples are sorted.
    """
    if TASKS[dataset.task].answers == "class" and (missing := _missing_classes(split.held_out)):
        validation = dataset.training.validation
        raise DataError(
            f"{split.dataset}: the {validation.take} {validation.samples} training samples, which are held out, lack"
            f" {', '.join(dataset.labels[label] for label in missing[:5])}; samples that are sorted by class must be"
            " shuffled: set `reader.shuffle_seed: 0` in params.yaml, then run `feedforward run`"
        )


def _missing_classes(held_out: Subset) -> list[int]:
    """The classes without a held-out sample, although a random draw would hold out MANY of their samples."""
    labels, counts = np.unique(held_out.split.labels, return_counts=True)
    expected = counts * (len(held_out) / len(held_out.split))
    missing: list[int] = labels[(expected >= MANY) & ~np.isin(labels, held_out.labels)].tolist()
    return missing
