"""Drift is reported if a distance exceeds its bound and is significant."""

import dataclasses

import numpy as np
import pytest
from small_data import dense, split

from feedforward.config.schema import Drift
from feedforward.data import drift
from feedforward.data.drift import Distances
from feedforward.data.readers import tokenizer
from feedforward.data.splits import MultiHot, Split

CLASSES = {"tones": 3, "notes": 2}


def measure(name: str, incoming: Split, **bounds: float) -> Distances:
    train = split(name, 900)
    lengths = tuple(np.asarray(drift.nonzero(part.features)) * 5 for part in (train, incoming))  # in place of raw ones
    return drift.measure(train, incoming, lengths, CLASSES[name], Drift(**bounds), str)


@pytest.mark.parametrize("name", ["tones", "notes"])
def test_samples_from_the_same_distribution_do_not_drift(name: str) -> None:
    for samples in (1, 10, 100):
        assert measure(name, split(name, samples, seed=5)).drifted == (), samples


def test_a_large_distance_of_few_samples_is_not_drift() -> None:
    samples = split("notes", 300, seed=5)
    one_class = samples.take(np.flatnonzero(np.asarray(samples.labels) == 1)[:3])
    distances = measure("notes", one_class)
    assert distances.classes.value > 0.3
    assert distances.drifted == ()


def test_an_excess_of_one_class_drifts_in_class_shares_and_features() -> None:
    samples = split("notes", 600, seed=5)
    distances = measure("notes", samples.take(np.flatnonzero(np.asarray(samples.labels) == 1)))
    assert distances.classes in distances.drifted
    columns = {distance.column for distance in distances.drifted if distance.column is not None}
    assert columns
    assert columns <= set(range(5, 25))  # those that determine the labels of `notes`


def test_brighter_pictures_drift_in_their_features_but_not_in_class_shares() -> None:
    tones = split("tones", 200, seed=5)
    brighter = Split(np.minimum(np.asarray(tones.features, np.int64) + 70, 255).astype(np.uint8), tones.labels)
    distances = measure("tones", brighter)
    assert [distance.column for distance in distances.farthest(3)] == [
        distance.column for distance in distances.drifted[:3]
    ]
    assert distances.classes not in distances.drifted
    assert measure("tones", brighter, feature=1.0).drifted == ()


@pytest.mark.proves("Columns without a word do not hide drift")
def test_columns_of_zeros_are_not_measured() -> None:
    train, incoming = split("notes", 900), split("notes", 60, seed=5)
    lengths = np.full(900, 30), np.where(np.arange(60) < 20, 60, 30)  # a third of the texts are longer
    distances = drift.measure(train, incoming, lengths, 2, Drift(), str)

    def widened(part: Split) -> Split:
        features = part.features
        assert isinstance(features, MultiHot)
        return Split(dataclasses.replace(features, columns=100_000), part.labels)

    assert drift.measure(widened(train), widened(incoming), lengths, 2, Drift(), str) == distances
    assert [distance.name for distance in distances.drifted] == [drift.LENGTH]
    pictures = split("tones", 900), split("tones", 60, seed=5)
    with_edges = [Split(np.pad(np.asarray(part.features), ((0, 0), (0, 5000))), part.labels) for part in pictures]
    measured = drift.measure(*pictures, lengths, 3, Drift(), str)
    assert drift.measure(with_edges[0], with_edges[1], lengths, 3, Drift(), str) == measured


def test_distances_of_binary_columns_match_the_kolmogorov_smirnov_statistic() -> None:
    train, incoming = split("notes", 900), split("notes", 50, seed=9)
    distances = measure("notes", incoming)
    train_rows, incoming_rows = dense(train.features), dense(incoming.features)
    for distance in distances.farthest(20):
        assert distance.value == pytest.approx(
            drift._ks(train_rows[:, distance.column], incoming_rows[:, distance.column])
        )


@pytest.mark.proves("Without drift, rare classes and new words raise no alarm")
@pytest.mark.parametrize("rare_classes", [99, 49])
@pytest.mark.parametrize("samples", [10, 30, 100])
def test_rare_classes_raise_no_alarm(rare_classes: int, samples: int) -> None:
    shares = 1 / np.arange(1, 101) if rare_classes == 99 else np.array([19.0, *[1 / 49] * 49])
    rng, bounds = np.random.default_rng(samples), Drift(label=0.0)
    alarms = 0
    for _ in range(200):
        labels = (rng.choice(len(shares), size, p=shares / shares.sum()) for size in (20_000, samples))
        alarms += bool(drift.find_drifted([drift._class_distance(*labels, len(shares), bounds)], bounds))
    assert alarms <= 8, "four standard deviations above 1 % of 200 are 7.6"
    labels = rng.choice(len(shares), 20_000, p=shares / shares.sum()), np.full(samples, 1)  # a single class
    assert drift.find_drifted([drift._class_distance(*labels, len(shares), bounds)], bounds)


@pytest.mark.parametrize("ngrams", [1, 2])
@pytest.mark.parametrize("num_words", [30_000, 200])  # all words have a column; few have one
def test_words_that_training_texts_lack_raise_no_alarm(num_words: int, ngrams: int) -> None:
    rng = np.random.default_rng(3)
    shares = 1 / np.arange(1, 5001)
    words = np.array([f"w{k}" for k in range(5000)])

    def texts(count: int, first: int = 0) -> list[str]:
        drawn = rng.choice(5000, (count, 12), p=shares / shares.sum())
        return [" ".join(words[(row + first) % 5000]) for row in drawn]

    train_texts = texts(1500)
    vocabulary = tokenizer.rank(tokenizer.count(train_texts, ngrams), num_words)
    names = {column: word for word, column in vocabulary.column_of.items()}
    train = tokenizer.encode(train_texts, vocabulary)

    def drifted(incoming: list[str]) -> set[str]:
        requests = tokenizer.encode(incoming, vocabulary)
        groups = drift.measure_requests(
            train, requests, None, (), Drift(), lambda column: names.get(column, "(marker)")
        )
        return {d.name for d in drift.find_drifted([d for group in groups.values() for d in group], Drift())}

    assert (
        sum(bool(drifted(texts(100))) for _ in range(10)) <= 1
    )  # before this correction: ten, if all words have a column
    assert drifted(train_texts[:100]) == set()
    assert drifted(train_texts[:50] + texts(50)) == set()
    assert drift.NONZERO in drifted(texts(100, first=2500))  # of other words
