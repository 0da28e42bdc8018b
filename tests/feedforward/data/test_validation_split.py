"""Validation samples are fixed, or drawn with a seed and stratified; shares of the training samples are nested."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import HELD_OUT, TRAIN, params, split

from feedforward.config.schema import Dataset
from feedforward.core.errors import DataError
from feedforward.data import validation_split
from feedforward.data.splits import Split, Subset


def dataset(samples: int, train_share: float = 1.0) -> Dataset:
    """Return a dataset with this number of validation samples."""
    entry = params().datasets["tones"]
    validation = entry.training.validation.model_copy(update={"samples": samples})
    update = {"validation": validation, "train_share": train_share}
    return entry.model_copy(update={"training": entry.training.model_copy(update=update)})


def labeled(labels: np.ndarray) -> Split:
    return Split(np.zeros((len(labels), 1), np.uint8), labels)


@pytest.mark.proves("The shares of the classes in the validation split are those in all samples, up to rounding")
@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), seed=st.integers(0, 99), data=st.data())
def test_draw_partitions_the_samples_and_keeps_class_shares(sizes: list[int], seed: int, data: st.DataObject) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.uint8)
    if len(labels) < 2:
        return
    count = data.draw(st.integers(1, len(labels) - 1))
    train, validation = validation_split.draw(labeled(labels), dataset(count), seed)
    assert train.rows is not None
    assert validation.rows is not None
    assert len(validation) == count
    np.testing.assert_array_equal(np.sort(np.concatenate([train.rows, validation.rows])), np.arange(len(labels)))
    assert (np.diff(train.rows) > 0).all()
    assert (np.diff(validation.rows) > 0).all()
    counts = np.bincount(validation.labels.astype(int), minlength=len(sizes))
    expected = np.array(sizes) * count / len(labels)
    assert (np.abs(counts - expected) < 1).all()


def test_draw_is_determined_by_the_seed() -> None:
    samples, entry = split("notes"), params().datasets["notes"]
    draws = [validation_split.draw(samples, entry, seed)[1].rows for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert len(draws[0]) == HELD_OUT


def test_every_sample_is_used_for_validation_equally_often_over_seeds() -> None:
    labels = np.repeat([0, 1], [30, 60]).astype(np.uint8)
    draws = [validation_split.draw(labeled(labels), dataset(30), seed)[1].rows for seed in range(400)]
    counts = np.bincount(np.concatenate(draws), minlength=90)
    assert counts.mean() == pytest.approx(400 / 3)
    assert np.abs(counts - 400 / 3).max() < 5 * np.sqrt(400 * 2 / 9)  # five standard deviations of binomial counts


@pytest.mark.parametrize("labels", [np.linspace(0, 1, 50, dtype=np.float32), np.zeros((50, 3), np.uint8)])
def test_regression_and_multilabel_samples_are_drawn_without_strata(labels: np.ndarray) -> None:
    train, validation = validation_split.draw(labeled(labels), dataset(20), 3)
    assert (len(train), len(validation)) == (30, 20)


@pytest.mark.parametrize("name", ["tones", "notes"])
def test_fixed_split_holds_out_the_first_or_the_last_samples(name: str) -> None:
    train, validation = validation_split.hold_out(split(name), params().datasets[name])
    rows = np.arange(TRAIN)
    held_out = rows[:HELD_OUT] if name == "notes" else rows[-HELD_OUT:]  # `take` of the small params
    np.testing.assert_array_equal(validation.rows, held_out)
    np.testing.assert_array_equal(train.rows, np.setdiff1d(rows, held_out))


def test_at_least_one_training_sample_must_remain() -> None:
    for split_samples in (validation_split.hold_out, lambda samples, entry: validation_split.draw(samples, entry, 0)):
        with pytest.raises(DataError, match=r"validation\.samples must be below the 24 training samples, got 24"):
            split_samples(split("notes", HELD_OUT), params().datasets["notes"])


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    shares=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4),
)
def test_smaller_shares_are_subsets_of_larger_ones_and_keep_class_shares(
    sizes: list[int], seed: int, shares: list[float]
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.uint8)
    training = Subset(labeled(labels))
    larger = set(range(len(labels)))
    for fraction in sorted(shares, reverse=True):
        part = validation_split.draw_share(training, dataset(1, fraction), seed)
        assert part.rows is not None
        assert len(part) == max(1, round(fraction * len(labels)))
        assert (np.diff(part.rows) > 0).all()
        assert set(part.rows) <= larger
        larger = set(part.rows)
        counts = np.bincount(part.labels.astype(int), minlength=len(sizes))
        # rounding: half a sample in the class, and half a sample per class in the size of the share
        assert (np.abs(counts - np.array(sizes) * len(part) / len(labels)) <= len(sizes) / 2 + 0.5).all()


def test_a_train_share_changes_only_the_training_samples() -> None:
    samples = split("notes")
    for split_samples in (validation_split.draw, validation_split.hold_out):
        training, validation = split_samples(samples, dataset(HELD_OUT), 3)
        partial_training, same_validation = split_samples(samples, dataset(HELD_OUT, 0.5), 3)
        np.testing.assert_array_equal(validation.rows, same_validation.rows)
        assert set(partial_training.rows) < set(training.rows)
        assert len(partial_training) == (TRAIN - HELD_OUT) // 2
    assert validation_split.draw_share(training, dataset(HELD_OUT), 3) is training
    other_seed = validation_split.draw_share(Subset(samples), dataset(HELD_OUT, 0.5), 4).rows
    assert not np.array_equal(validation_split.draw_share(Subset(samples), dataset(HELD_OUT, 0.5), 3).rows, other_seed)


def test_split_order_and_share_use_different_random_numbers() -> None:
    streams = [
        validation_split.generator(0, stream).random(4)
        for stream in (validation_split.SPLIT, validation_split.ORDER, validation_split.SHARE)
    ]
    assert len(np.unique(streams)) == 12
