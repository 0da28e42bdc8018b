"""Do incoming samples have the distribution of the training data? Distances from 0 to 1, each with its p-value.

Classes are compared by the Jensen–Shannon distance of their shares, everything else by the Kolmogorov–Smirnov distance;
for a binary feature that is the difference of its shares. A distance is drift if it exceeds its bound and is
significant: a few samples always differ from thousands. Requests have no labels; instead of classes, the answers of a
model are compared that has seen neither them nor the validation samples.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import spatial, stats

from feedforward.config.schema import Drift
from feedforward.data.splits import Features, MultiHot, Split

CLASSES, NONZERO, LENGTH = "classes", "non-zero features", "raw length"
FEATURES, PREDICTED, OUTPUTS = "features", "predicted classes", "outputs"  # further measurements of requests


@dataclass(frozen=True)
class Distance:
    """The distance of one measurement between training and incoming samples. column: of the features, else None.

    p: probability of such a distance without drift. means: of the feature in training and incoming samples, relative to
    its largest value.
    """

    name: str
    value: float
    bound: float
    p: float
    column: int | None = None
    means: tuple[float, float] | None = None


@dataclass(frozen=True)
class Distances:
    """All distances; `drifted`: those that are drift, the largest first."""

    classes: Distance
    others: tuple[Distance, ...]  # NONZERO, LENGTH, then one per feature
    drifted: tuple[Distance, ...]

    def farthest(self, number: int) -> list[Distance]:
        """The features with the largest distances."""
        features = [distance for distance in self.others if distance.column is not None]
        return sorted(features, key=lambda distance: (-distance.value, distance.column or 0))[:number]


def measure(
    train: Split,
    incoming: Split,
    lengths: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    classes: int,
    bounds: Drift,
    name_of: Callable[[int], str],
) -> Distances:
    """Distances between training data and incoming samples.

    lengths: bytes of the raw samples of both. name_of: the name of a feature's column.
    """
    shares = _classes(train.labels, incoming.labels, classes, bounds)
    number = 1 / len(train) + 1 / len(incoming)
    others = [
        _distance(NONZERO, _ks(nonzero(train.features), nonzero(incoming.features)), number, bounds),
        _distance(LENGTH, _ks(*lengths), number, bounds),
        *_features(train.features, incoming.features, number, bounds, name_of),
    ]
    return Distances(shares, tuple(others), drifted([shares, *others], bounds))


def drifted(distances: Sequence[Distance], bounds: Drift) -> tuple[Distance, ...]:
    """Those that exceed their bound and are significant, the largest first.

    Significance levels follow Bonferroni: without drift, the probability that any of them is reported is at most
    `false_alarm_rate`, whatever their dependence.
    """
    level = bounds.false_alarm_rate / len(distances)
    beyond = [distance for distance in distances if distance.value > distance.bound and distance.p < level]
    return tuple(sorted(beyond, key=lambda distance: -distance.value))


def measure_requests(
    train: Features,
    requests: Features,
    outputs: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None,
    names: Sequence[str],
    bounds: Drift,
    name_of: Callable[[int], str],
) -> dict[str, list[Distance]]:
    """Distances between training data and requests, by measurement: NONZERO, FEATURES, PREDICTED, OUTPUTS.

    outputs: (samples, outputs) of one model for validation samples and for the requests; None if there is no model that
    has seen neither. names: of the outputs; several of which one is predicted are probabilities of classes that sum to
    1. name_of: see `measure`.
    """
    number = 1 / len(train) + 1 / len(requests)
    distances = {
        NONZERO: [_distance(NONZERO, _ks(nonzero(train), nonzero(requests)), number, bounds)],
        FEATURES: list(_features(train, requests, number, bounds, name_of)),
    }
    if outputs is None:
        return distances
    before, now = outputs
    number = 1 / len(before) + 1 / len(now)
    if before.shape[1] > 1 and np.allclose(before.sum(axis=1), 1):
        classes = before.argmax(axis=1), now.argmax(axis=1)
        distances[PREDICTED] = [replace(_classes(*classes, before.shape[1], bounds), name=PREDICTED)]
    first = 1 if before.shape[1] == 2 and PREDICTED in distances else 0  # two probabilities hold the same information
    distances[OUTPUTS] = [
        _distance(f"output for {names[column]}", _ks(before[:, column], now[:, column]), number, bounds)
        for column in range(first, before.shape[1])
    ]
    return distances


def shares_of(labels: npt.NDArray[np.generic], classes: int) -> npt.NDArray[np.float64]:
    """Share of each class, float64, (classes,)."""
    counts = np.bincount(np.asarray(labels).astype(np.int64), minlength=classes)
    return np.asarray(counts / counts.sum(), np.float64)


def nonzero(features: Features) -> npt.NDArray[np.int64]:
    """Number of non-zero features of each sample, (samples,)."""
    return np.diff(features.indptr) if isinstance(features, MultiHot) else np.count_nonzero(features, axis=1)


def _classes(
    train: npt.NDArray[np.generic], incoming: npt.NDArray[np.generic], classes: int, bounds: Drift
) -> Distance:
    before, now = shares_of(train, classes), shares_of(incoming, classes)
    value = float(spatial.distance.jensenshannon(before.tolist(), now.tolist(), base=2))
    counts = np.array([before * len(train), now * len(incoming)])
    counts = counts[:, counts.any(axis=0)]
    p = float(stats.chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0
    return Distance(CLASSES, value, bounds.label, p)


def _distance(
    name: str,
    value: float,
    number: float,
    bounds: Drift,
    column: int | None = None,
    means: tuple[float, float] | None = None,
) -> Distance:
    """number: 1/n + 1/m. p: of Kolmogorov's limiting distribution, conservative if values are tied."""
    return Distance(name, value, bounds.feature, float(stats.kstwobign.sf(value / number**0.5)), column, means)


def _features(
    train: Features, incoming: Features, number: float, bounds: Drift, name_of: Callable[[int], str]
) -> Iterator[Distance]:
    means = np.stack([_means(train), _means(incoming)], axis=1)
    values: Sequence[float] = np.abs(means[:, 0] - means[:, 1]).tolist()
    if not isinstance(train, MultiHot) and not isinstance(incoming, MultiHot):
        means /= max(float(np.max(train)), float(np.max(incoming)), 1.0)
        values = [_ks(train[:, column], incoming[:, column]) for column in range(train.shape[1])]
    for column, (value, (before, now)) in enumerate(zip(values, means.tolist(), strict=True)):
        name = name_of(column) if value else f"column {column}"  # a word that never occurs may have no name
        yield _distance(name, value, number, bounds, column, (before, now))


def _means(features: Features) -> npt.NDArray[np.float64]:
    """Mean of each feature, float64; for a binary feature the share of ones."""
    if isinstance(features, MultiHot):
        counts = np.bincount(np.asarray(features.indices).astype(np.int64), minlength=features.columns)
        return np.asarray(counts / len(features), np.float64)
    return np.asarray(np.asarray(features, np.float64).mean(axis=0), np.float64)


def _ks(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    """Largest difference between the two distribution functions."""
    return float(stats.ks_2samp(np.asarray(one), np.asarray(other), method="asymp").statistic)
