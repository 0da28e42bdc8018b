"""Which training samples validate and which train: drawn by the seed of a run, or fixed.

A run that is compared draws them by its seed, as it draws the order of the batches, the initial weights and the dropout
masks, so that an interval over seeds covers the choice of the split too (Bouthillier et al. 2021, "Accounting for
variance in machine learning benchmarks"). The fixed split serves the protocol of the slides and promotion, where a
champion and its challenger must be judged on the same samples.

With `training.train_share` below 1, only a share of the training samples trains; the validation samples stay the same.
"""

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core.errors import DataError
from feedforward.data.splits import Split, Subset

# One stream of random numbers for each use of a seed. `numpy.random.SeedSequence` keeps the streams independent.
SPLIT, ORDER, SHARE = 0, 1, 2


def generator(seed: int, stream: int) -> np.random.Generator:
    """The random numbers that a run with this seed uses for one purpose (SPLIT, ORDER or SHARE)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def draw(whole: Split, dataset: Dataset, seed: int) -> tuple[Subset, Subset]:
    """(training, validation): `training.validation.samples` of the training samples validate, drawn by `seed`.

    The draw is stratified: each class has the share of the validation samples that it has of all, up to rounding. With
    several labels per sample, or a value to learn, it is a plain random draw. Row numbers rise in both parts, so that
    memory-mapped features are read from front to back.

    Raises:
        DataError: nothing would be left to train on.
    """
    count = _count(whole, dataset)
    random = generator(seed, SPLIT)
    labels = _strata(whole.labels)
    chosen = np.zeros(len(whole), bool)
    classes, sizes = np.unique(labels, return_counts=True)
    for label, samples in zip(classes, _shares(sizes, count), strict=True):
        chosen[random.permutation(np.flatnonzero(labels == label))[:samples]] = True
    return share(Subset(whole, np.flatnonzero(~chosen)), dataset, seed), Subset(whole, np.flatnonzero(chosen))


def fixed(whole: Split, dataset: Dataset, seed: int = 0) -> tuple[Subset, Subset]:
    """(training, validation): the first or the last samples validate, as `training.validation` says.

    seed: draws the share of the others that trains.

    Raises:
        DataError: nothing would be left to train on.
    """
    count = _count(whole, dataset)
    rows = np.arange(len(whole))
    if dataset.training.validation.take == "first":
        return share(Subset(whole, rows[count:]), dataset, seed), Subset(whole, rows[:count])
    return share(Subset(whole, rows[:-count]), dataset, seed), Subset(whole, rows[-count:])


def share(training: Subset, dataset: Dataset, seed: int) -> Subset:
    """The share `training.train_share` of these samples, drawn by `seed` and stratified like `draw`.

    Each class is shuffled once and spread evenly over one line, and a share is the beginning of that line. So the
    samples of a smaller share are part of those of a larger one, and each class keeps its share up to rounding
    (Sainte-Laguë's method, which unlike largest remainders takes nothing away when the number of samples grows).
    """
    fraction = dataset.training.train_share
    if fraction == 1:
        return training
    random, labels = generator(seed, SHARE), _strata(training.labels)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    kept = np.sort(np.argsort(position, kind="stable")[: share_size(len(labels), fraction)])
    return Subset(training.split, kept if training.rows is None else training.rows[kept])


def share_size(samples: int, fraction: float) -> int:
    """The number of samples in a share of `samples`: rounded, at least 1.

    >>> share_size(50_000, 0.1), share_size(3, 0.1)
    (5000, 1)
    """
    return max(1, round(samples * fraction))


def _strata(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The class of each sample; one class for all samples with several labels or a value to learn."""
    labels = np.asarray(labels)
    return np.zeros(len(labels), np.uint8) if labels.ndim > 1 or labels.dtype.kind == "f" else labels


def _count(whole: Split, dataset: Dataset) -> int:
    count, total = dataset.training.validation.samples, len(whole)
    if count >= total:
        raise DataError(
            f"{dataset.title}: training.validation.samples must be below the {total} training samples, got {count}"
        )
    return count


def _shares(sizes: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """`count` split in proportion to `sizes`, by largest remainders (Hamilton's method); (classes,) int64."""
    exact = sizes * (count / sizes.sum())
    shares: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    for index in np.argsort(shares - exact, kind="stable")[: count - shares.sum()]:
        shares[index] += 1
    return shares
