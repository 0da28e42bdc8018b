"""Divide the training samples into training and validation samples; the split depends on a run's seed, or is fixed.

Runs that are compared draw the split with their seed, like the batch order, the initial weights and the dropout masks,
so that an interval over seeds also covers the choice of the split (Bouthillier et al. 2021, "Accounting for variance in
machine learning benchmarks"). The fixed split is for the `lecture` protocol and for promotion, where a champion and its
challenger must be evaluated on the same samples.

With `training.train_share` below 1, only that share of the training samples is used; the validation samples stay the
same.
"""

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core.errors import DataError
from feedforward.data.splits import Split, Subset

# One stream of random numbers for each use of a seed; `numpy.random.SeedSequence` keeps the streams independent.
SPLIT, ORDER, SHARE = 0, 1, 2


def generator(seed: int, stream: int) -> np.random.Generator:
    """The generator that a run with this seed uses for one purpose (SPLIT, ORDER or SHARE)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def draw(split: Split, dataset: Dataset, seed: int) -> tuple[Subset, Subset]:
    """Draw `training.validation.samples` validation samples with `seed`; return (training, validation).

    The draw is stratified: up to rounding, each class has the same share of the validation samples as of all samples.
    For multilabel data and regression, it is a plain random draw. Row numbers increase in both results, so that
    memory-mapped features are read from front to back.

    Raises:
        DataError: no samples would be left for training.
    """
    count = _validation_count(split, dataset)
    rng = generator(seed, SPLIT)
    labels = _strata(split.labels)
    is_validation = np.zeros(len(split), bool)
    classes, sizes = np.unique(labels, return_counts=True)
    for label, samples in zip(classes, _apportion(sizes, count), strict=True):
        is_validation[rng.permutation(np.flatnonzero(labels == label))[:samples]] = True
    training = Subset(split, np.flatnonzero(~is_validation))
    return draw_share(training, dataset, seed), Subset(split, np.flatnonzero(is_validation))


def hold_out(split: Split, dataset: Dataset, seed: int = 0) -> tuple[Subset, Subset]:
    """Hold out the first or last samples, according to `training.validation`; return (training, validation).

    seed: determines which samples are drawn for training if `training.train_share` is below 1.

    Raises:
        DataError: no samples would be left for training.
    """
    count = _validation_count(split, dataset)
    rows = np.arange(len(split))
    if dataset.training.validation.take == "first":
        return draw_share(Subset(split, rows[count:]), dataset, seed), Subset(split, rows[:count])
    return draw_share(Subset(split, rows[:-count]), dataset, seed), Subset(split, rows[-count:])


def draw_share(training: Subset, dataset: Dataset, seed: int) -> Subset:
    """Draw the share `training.train_share` of these samples with `seed`, stratified as in `draw`.

    Each class is shuffled once and spread evenly over one sequence, and a share is the start of that sequence. So a
    smaller share is a subset of a larger one, and each class keeps its proportion up to rounding (Sainte-Laguë's
    method; unlike the method of largest remainders, it never drops a sample when the share grows).
    """
    fraction = dataset.training.train_share
    if fraction == 1:
        return training
    rng, labels = generator(seed, SHARE), _strata(training.labels)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    selected = np.sort(np.argsort(position, kind="stable")[: share_size(len(labels), fraction)])
    return Subset(training.split, selected if training.rows is None else training.rows[selected])


def share_size(samples: int, fraction: float) -> int:
    """The number of samples in this fraction of `samples`, rounded, at least 1.

    >>> share_size(50_000, 0.1), share_size(3, 0.1)
    (5000, 1)
    """
    return max(1, round(samples * fraction))


def _strata(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The class of each sample; the same class for all samples of multilabel data or regression."""
    labels = np.asarray(labels)
    return np.zeros(len(labels), np.uint8) if labels.ndim > 1 or labels.dtype.kind == "f" else labels


def _validation_count(split: Split, dataset: Dataset) -> int:
    count, total = dataset.training.validation.samples, len(split)
    if count >= total:
        raise DataError(
            f"{dataset.title}: training.validation.samples must be below the {total} training samples, got {count}"
        )
    return count


def _apportion(sizes: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Split `count` in proportion to `sizes` by largest remainders (Hamilton's method): int64, shape (classes,)."""
    exact = sizes * (count / sizes.sum())
    shares: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    for index in np.argsort(shares - exact, kind="stable")[: count - shares.sum()]:
        shares[index] += 1
    return shares
