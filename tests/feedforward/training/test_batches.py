"""Batches in a graph against the rows that they stand for."""

import numpy as np
import pytest
import tensorflow as tf
from small_data import dense, split

from feedforward.data.splits import Split, Subset
from feedforward.training import batches, sparse_layer
from feedforward.training.batches import Batch, Batches, Plan

pytestmark = pytest.mark.usefixtures("tensorflow")


def all_batches(data: Split, order: np.ndarray, batch_size: int) -> list[Batch]:
    """As the training graph makes them: from plans, inside a graph."""
    made = Batches(Subset(data))

    @tf.function
    def one(plan: Plan, number: tf.Tensor) -> tuple:
        batch = made.batch(plan, number)
        return batch.features, batch.labels, batch.ones

    return [
        Batch(*one(plan, tf.constant(number)))
        for plan in made.plans(order, batch_size)
        for number in range(int(made.steps(plan)))
    ]


def whole(batch: Batch, columns: int) -> np.ndarray:
    """All columns of a batch."""
    head = batch.features.numpy()
    tail = np.zeros((len(head), columns - head.shape[1]), np.float32)
    for places in batch.ones.values():
        np.add.at(tail, tuple(part.numpy() for part in places), 1 / len(batch.ones))
    return np.hstack([head, tail])


@pytest.mark.parametrize("name", ["tones", "notes"])
@pytest.mark.parametrize(("batch_size", "section"), [(1, 90), (7, 2**16), (20, 45), (45, 20), (90, 1), (1000, 2**16)])
def test_batches_are_the_rows_in_that_order(
    name: str, batch_size: int, section: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SECTION", section)
    data = split(name)
    order = np.random.default_rng(batch_size).permutation(len(data))
    found = all_batches(data, order, batch_size)
    assert [len(batch.labels) for batch in found] == [
        min(batch_size, len(data) - start) for start in range(0, len(data), batch_size)
    ]
    features = np.vstack([whole(batch, data.features.shape[1]) for batch in found])
    np.testing.assert_array_equal(features, dense(data.features)[order])
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in found]), data.labels[order])


def test_only_multi_hot_rows_have_a_tail() -> None:
    assert all_batches(split("tones"), np.arange(5), 5)[0].ones == {}
    batch = all_batches(split("notes"), np.arange(5), 5)[0]
    assert batch.features.shape[1] == sparse_layer.HEAD
    assert batch.features.dtype == tf.float32


def test_an_epoch_may_visit_a_part_of_the_samples() -> None:
    found = all_batches(split("notes"), np.array([3, 1, 4]), 2)
    np.testing.assert_array_equal(np.concatenate([b.labels for b in found]), split("notes").labels[[3, 1, 4]])


def test_a_subset_is_visited_by_its_own_numbers() -> None:
    """Row numbers of the subset lead to rows of the split; no features are copied."""
    data = split("notes")
    subset = Subset(data, np.array([40, 7, 12]))
    [plan] = Batches(subset).plans(np.array([2, 0]), 2)
    np.testing.assert_array_equal(plan["labels"], data.labels[[12, 40]])
    assert (len(subset), subset.copied().labels.tolist()) == (3, data.labels[[40, 7, 12]].tolist())
