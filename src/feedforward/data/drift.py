"""Compare the distribution of incoming samples with the training data: distances from 0 to 1, each with a p-value.

Class shares are compared by the Jensen–Shannon distance, everything else by the Kolmogorov–Smirnov distance; for a
binary feature, the latter is the difference between its shares of ones. A distance counts as drift if it exceeds its
bound and is statistically significant, because a few samples always differ somewhat from thousands. Requests have no
labels, so the outputs of a model are compared instead of class shares; that model must not have been trained on the
requests or on the validation samples.

A vocabulary has a column for more words of the texts from which it was made than of any others. To be comparable with
new texts, each training text is therefore also counted as if the vocabulary had been made from the other training
texts: words that occur in no other count as dropped (leave-one-out, as in Good and Turing's estimate of unseen words).
The distance is that from the nearer of both, so neither new texts nor the training texts themselves are reported.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import spatial, stats

from feedforward.config.schema import Drift
from feedforward.data.readers import tokenizer, word_pairs
from feedforward.data.splits import Features, MultiHot, Split

CLASSES, NONZERO, LENGTH = "classes", "non-zero features", "raw length"
FEATURES, PREDICTED, OUTPUTS = "features", "predicted classes", "outputs"  # additional measurements for requests


@dataclass(frozen=True)
class Distance:
    """The distance between training and incoming samples in one measurement.

    column: the column of the feature that was measured; None for other measurements. p: probability, without drift, of
    a distance at least this large. means: the feature's means in training and incoming samples, divided by the largest
    value of any feature (by 1 if that is smaller).
    """

    name: str
    value: float
    bound: float
    p: float
    column: int | None = None
    means: tuple[float, float] | None = None


@dataclass(frozen=True)
class Distances:
    """The distances between training and incoming samples. drifted: those that count as drift, largest first."""

    classes: Distance
    others: tuple[Distance, ...]  # NONZERO, LENGTH, then one per feature that is not 0 in all samples
    drifted: tuple[Distance, ...]

    def farthest(self, count: int) -> list[Distance]:
        """The `count` largest distances of features, largest first."""
        features = [distance for distance in self.others if distance.column is not None]
        return sorted(features, key=lambda distance: (-distance.value, distance.column or 0))[:count]


def measure(
    train: Split,
    incoming: Split,
    lengths: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    classes: int,
    bounds: Drift,
    name_of: Callable[[int], str],
) -> Distances:
    """Measure the distances between training data and incoming samples.

    lengths: number of bytes of each raw sample, for training and for incoming samples. classes: number of classes.
    name_of: returns the name of a feature column.
    """
    class_distance = _class_distance(train.labels, incoming.labels, classes, bounds)
    length_distance = _distance(LENGTH, _ks(*lengths), 1 / len(train) + 1 / len(incoming), bounds)
    nonzero_distance, *feature_distances = _feature_distances(train.features, incoming.features, bounds, name_of)
    others = [nonzero_distance, length_distance, *feature_distances]
    return Distances(class_distance, tuple(others), find_drifted([class_distance, *others], bounds))


def find_drifted(distances: Sequence[Distance], bounds: Drift) -> tuple[Distance, ...]:
    """The distances that exceed their bounds and are significant, largest first.

    The significance level is Bonferroni-corrected: without drift, the probability that any distance is returned is at
    most `false_alarm_rate`, however the distances depend on one another.
    """
    level = bounds.false_alarm_rate / len(distances)
    significant = [distance for distance in distances if distance.value > distance.bound and distance.p < level]
    return tuple(sorted(significant, key=lambda distance: -distance.value))


def measure_requests(
    train: Features,
    requests: Features,
    outputs: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None,
    names: Sequence[str],
    bounds: Drift,
    name_of: Callable[[int], str],
) -> dict[str, list[Distance]]:
    """Measure the distances between training data and requests, by measurement: NONZERO, FEATURES, PREDICTED, OUTPUTS.

    outputs: arrays of shape (samples, outputs) from one model, for validation samples and for requests; None if every
    model was trained on some of these samples. names: names of the outputs. Several outputs that sum to 1 for every
    validation sample are taken to be class probabilities. name_of: see `measure`.
    """
    nonzero_distance, *feature_distances = _feature_distances(train, requests, bounds, name_of)
    distances = {NONZERO: [nonzero_distance], FEATURES: feature_distances}
    if outputs is None:
        return distances
    validation, requested = outputs
    inverse_sizes = 1 / len(validation) + 1 / len(requested)
    output_count = validation.shape[1]
    if output_count > 1 and np.allclose(validation.sum(axis=1), 1):
        predicted = validation.argmax(axis=1), requested.argmax(axis=1)
        distances[PREDICTED] = [replace(_class_distance(*predicted, output_count, bounds), name=PREDICTED)]
    # of two probabilities, only the second is measured: the first adds no information
    first = 1 if output_count == 2 and PREDICTED in distances else 0
    distances[OUTPUTS] = [
        _distance(f"output for {names[k]}", _ks(validation[:, k], requested[:, k]), inverse_sizes, bounds)
        for k in range(first, output_count)
    ]
    return distances


def shares_of(labels: npt.NDArray[np.generic], classes: int) -> npt.NDArray[np.float64]:
    """The share of each class: float64, shape (classes,)."""
    counts = np.bincount(np.asarray(labels).astype(np.int64), minlength=classes)
    return np.asarray(counts / counts.sum(), np.float64)


def nonzero(features: Features) -> npt.NDArray[np.int64]:
    """The number of non-zero features in each sample, shape (samples,)."""
    return np.diff(features.indptr) if isinstance(features, MultiHot) else np.count_nonzero(features, axis=1)


@dataclass(frozen=True)
class _LeftOut:
    """Training samples as if each had been left out when the vocabulary was made; only texts change.

    nonzero: the number of non-zero features in each sample. means: the mean of each feature.
    """

    nonzero: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]


def train_nonzero(train: Features, name_of: Callable[[int], str]) -> npt.NDArray[np.int64]:
    """The number of non-zero features in each training sample, shape (samples,), comparable with new samples."""
    return _leave_out(train, name_of).nonzero


def _leave_out(train: Features, name_of: Callable[[int], str]) -> _LeftOut:
    counts, means = nonzero(train), _feature_means(train)
    if not isinstance(train, MultiHot):
        return _LeftOut(counts, means)
    is_own = _column_counts(train) == 1  # words and pairs that occur in no other training text
    is_own[: tokenizer.RANK_OFFSET + 1] = False
    entries = np.flatnonzero(is_own[train.indices])
    columns = np.asarray(train.indices)[entries].astype(np.int64)
    rows = np.searchsorted(train.indptr, entries, side="right") - 1
    is_word = np.array([word_pairs.SPACE not in name_of(column) for column in columns.tolist()], bool)
    has_dropped = np.searchsorted(train.indptr, np.flatnonzero(train.indices == tokenizer.DROPPED), side="right") - 1
    would_drop = np.setdiff1d(rows[is_word], has_dropped)
    counts = counts - np.bincount(rows, minlength=len(train))
    counts[would_drop] += 1
    means[columns] = 0
    means[tokenizer.DROPPED] += len(would_drop) / len(train)
    return _LeftOut(counts, means)


def _nonzero_distance(train: Features, left_out: _LeftOut, incoming: Features) -> float:
    """The distance of the numbers of features from those of training samples, or of any mixture of them and new ones:
    the largest difference of the distribution function from the range between those of both counts of training samples.
    """
    samples = [np.sort(counts) for counts in (nonzero(incoming), nonzero(train), left_out.nonzero)]
    steps = np.unique(np.concatenate(samples))
    shares, *limits = (np.searchsorted(counts, steps, side="right") / len(counts) for counts in samples)
    return float(np.abs(shares - np.clip(shares, np.minimum(*limits), np.maximum(*limits))).max())


def _class_distance(
    train: npt.NDArray[np.generic], incoming: npt.NDArray[np.generic], classes: int, bounds: Drift
) -> Distance:
    """The distance between class shares.

    Its p-value is that of Fisher's exact test for each class against all others, with Bonferroni's correction. The χ²
    approximation would be wrong for rare classes: one sample of a class of which 0.01 are expected would have a p-value
    of 1e-20.
    """
    counts = np.stack([np.bincount(labels.astype(np.int64), minlength=classes) for labels in (train, incoming)])
    train_shares, incoming_shares = counts / counts.sum(axis=1, keepdims=True)
    value = float(spatial.distance.jensenshannon(train_shares, incoming_shares, base=2))
    counts = counts[:, counts.any(axis=0)]
    tests = counts.shape[1] if counts.shape[1] > 2 else 1  # the second of two classes has the p-value of the first
    null = stats.hypergeom(len(train) + len(incoming), counts.sum(axis=0), len(incoming))
    tails = np.minimum(null.cdf(counts[1]), null.sf(counts[1] - 1))
    return Distance(CLASSES, value, bounds.label, min(1.0, float(2 * tails.min() * tests)))


def _distance(
    name: str,
    value: float,
    inverse_sizes: float,
    bounds: Drift,
    column: int | None = None,
    means: tuple[float, float] | None = None,
) -> Distance:
    """A distance and its p-value, which Kolmogorov's limiting distribution overestimates if values are tied.

    inverse_sizes: 1/n + 1/m for n training and m incoming samples.
    """
    return Distance(name, value, bounds.feature, float(stats.kstwobign.sf(value / inverse_sizes**0.5)), column, means)


def _feature_distances(
    train: Features, incoming: Features, bounds: Drift, name_of: Callable[[int], str]
) -> Iterator[Distance]:
    """Yield the distance of the number of non-zero features, then that of each feature."""
    inverse_sizes, left_out = 1 / len(train) + 1 / len(incoming), _leave_out(train, name_of)
    yield _distance(NONZERO, _nonzero_distance(train, left_out, incoming), inverse_sizes, bounds)
    train_means, incoming_means = _feature_means(train), _feature_means(incoming)
    if isinstance(train, MultiHot):
        limits = np.minimum(train_means, left_out.means), np.maximum(train_means, left_out.means)
        train_means = np.clip(incoming_means, *limits)  # of any mixture of training texts and new ones
    means = np.stack([train_means, incoming_means], axis=1)
    # A column of zeros, such as one beyond the end of the vocabulary or at the edge of pictures, measures nothing; if
    # it counted, all others would have to be more significant.
    used = means.any(axis=1)
    values = np.abs(means[:, 0] - means[:, 1])
    if not isinstance(train, MultiHot) and not isinstance(incoming, MultiHot):
        means /= max(float(np.max(train)), float(np.max(incoming)), 1.0)
        used = np.any(train, axis=0) | np.any(incoming, axis=0)
        values = np.array([_ks(train[:, column], incoming[:, column]) for column in range(train.shape[1])])
    for column in np.flatnonzero(used).tolist():
        train_mean, incoming_mean = means[column].tolist()
        value = float(values[column])
        yield _distance(name_of(column), value, inverse_sizes, bounds, column, (train_mean, incoming_mean))


def _feature_means(features: Features) -> npt.NDArray[np.float64]:
    """The mean of each feature, float64; for a binary feature, its share of ones."""
    if isinstance(features, MultiHot):
        return _column_counts(features) / len(features)
    return np.asarray(np.asarray(features, np.float64).mean(axis=0), np.float64)


def _column_counts(features: MultiHot) -> npt.NDArray[np.int64]:
    """The number of rows that have each feature, shape (columns,)."""
    return np.bincount(np.asarray(features.indices).astype(np.int64), minlength=features.columns)


def _ks(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic]) -> float:
    """The largest difference between the two empirical distribution functions."""
    return float(stats.ks_2samp(np.asarray(first), np.asarray(second), method="asymp").statistic)
