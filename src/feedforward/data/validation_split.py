"""Which training samples validate: drawn by the seed of a run, or fixed.

A run that is compared draws them by its seed, as it draws the order of the batches, the initial weights and the dropout
masks, so that an interval over seeds covers the choice of the split too (Bouthillier et al. 2021, "Accounting for
variance in machine learning benchmarks"). The fixed split serves the protocol of the slides and promotion, where a
champion and its challenger must be judged on the same samples.
"""

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core.errors import DataError
from feedforward.data.splits import Split, Subset

# One stream of random numbers for each use of a seed. `numpy.random.SeedSequence` keeps the streams independent.
SPLIT, ORDER = 0, 1


def generator(seed: int, stream: int) -> np.random.Generator:
    """The random numbers that a run with this seed uses for one purpose (SPLIT or ORDER)."""
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
    labels = np.asarray(whole.labels)
    if labels.ndim > 1 or labels.dtype.kind == "f":
        labels = np.zeros(len(whole), np.uint8)
    chosen = np.zeros(len(whole), bool)
    classes, sizes = np.unique(labels, return_counts=True)
    for label, samples in zip(classes, _shares(sizes, count), strict=True):
        chosen[random.permutation(np.flatnonzero(labels == label))[:samples]] = True
    return Subset(whole, np.flatnonzero(~chosen)), Subset(whole, np.flatnonzero(chosen))


def fixed(whole: Split, dataset: Dataset) -> tuple[Subset, Subset]:
    """(training, validation): the first or the last samples validate, as `training.validation` says.

    Raises:
        DataError: nothing would be left to train on.
    """
    count = _count(whole, dataset)
    rows = np.arange(len(whole))
    if dataset.training.validation.take == "first":
        return Subset(whole, rows[count:]), Subset(whole, rows[:count])
    return Subset(whole, rows[:-count]), Subset(whole, rows[-count:])


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
