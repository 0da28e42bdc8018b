"""Batches created in a TensorFlow graph, compared with the rows of the split."""

import numpy as np
import pytest
import tensorflow as tf
from small_data import dense, split

from feedforward.data.splits import Split, Subset
from feedforward.training import batches, sparse_layer
from feedforward.training.batches import Batch, Batches, Plan

pytestmark = pytest.mark.usefixtures("tensorflow")


def all_batches(data: Split, order: np.ndarray, batch_size: int) -> list[Batch]:
    """Return the batches of an epoch, created from plans inside a graph, as in training."""
    data_batches = Batches(Subset(data))

    @tf.function
    def batch_tensors(plan: Plan, number: tf.Tensor) -> tuple:
        batch = data_batches.batch(plan, number)
        return batch.features, batch.labels, batch.ones

    return [
        Batch(*batch_tensors(plan, tf.constant(number)))
        for plan in data_batches.plans(order, batch_size)
        for number in range(int(data_batches.steps(plan)))
    ]


def dense_rows(batch: Batch, columns: int) -> np.ndarray:
    """Return a batch as dense rows: the head, then the tail, which `ones` contains once per sort order."""
    head = batch.features.numpy()
    tail = np.zeros((len(head), columns - head.shape[1]), np.float32)
    for coordinates in batch.ones.values():
        np.add.at(tail, tuple(axis.numpy() for axis in coordinates), 1 / len(batch.ones))
    return np.hstack([head, tail])


@pytest.mark.parametrize("name", ["tones", "notes"])
@pytest.mark.parametrize(("batch_size", "section"), [(1, 90), (7, 2**16), (20, 45), (45, 20), (90, 1), (1000, 2**16)])
def test_batches_contain_the_rows_in_the_given_order(
    name: str, batch_size: int, section: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SECTION", section)
    data = split(name)
    order = np.random.default_rng(batch_size).permutation(len(data))
    epoch = all_batches(data, order, batch_size)
    assert [len(batch.labels) for batch in epoch] == [
        min(batch_size, len(data) - start) for start in range(0, len(data), batch_size)
    ]
    features = np.vstack([dense_rows(batch, data.features.shape[1]) for batch in epoch])
    np.testing.assert_array_equal(features, dense(data.features)[order])
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in epoch]), data.labels[order])


def test_only_multi_hot_rows_have_a_tail() -> None:
    assert all_batches(split("tones"), np.arange(5), 5)[0].ones == {}
    batch = all_batches(split("notes"), np.arange(5), 5)[0]
    assert batch.features.shape[1] == sparse_layer.HEAD
    assert batch.features.dtype == tf.float32


def test_an_epoch_can_use_some_of_the_samples() -> None:
    epoch = all_batches(split("notes"), np.array([3, 1, 4]), 2)
    np.testing.assert_array_equal(np.concatenate([b.labels for b in epoch]), split("notes").labels[[3, 1, 4]])


def test_order_indexes_rows_of_the_subset() -> None:
    """Row numbers of the subset are translated into row numbers of the split."""
    data = split("notes")
    subset = Subset(data, np.array([40, 7, 12]))
    [plan] = Batches(subset).plans(np.array([2, 0]), 2)
    np.testing.assert_array_equal(plan["labels"], data.labels[[12, 40]])
    assert (len(subset), subset.to_split().labels.tolist()) == (3, data.labels[[40, 7, 12]].tolist())
