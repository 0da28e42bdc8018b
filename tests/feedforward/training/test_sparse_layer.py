"""The sparse first layer compared with dense products in NumPy and with Keras's RMSprop."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import from_dense
from small_data import multihot as rows_like_texts

from feedforward.config.schema import Optimizer
from feedforward.data.splits import MultiHot
from feedforward.training import sparse_layer

pytestmark = pytest.mark.usefixtures("tensorflow")


@st.composite
def matrices(draw: st.DrawFn) -> MultiHot:
    """Draw multi-hot rows with fewer columns than the head, with as many, or with more."""
    columns = draw(
        st.sampled_from([1, 5, sparse_layer.HEAD - 1, sparse_layer.HEAD, sparse_layer.HEAD + 1, sparse_layer.HEAD + 40])
    )
    samples, seed = draw(st.integers(1, 30)), draw(st.integers(0, 99))
    density = draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    return from_dense(np.random.default_rng(seed).random((samples, columns)) < density)


def dense_tail_of_batch(
    coordinates: sparse_layer.Coordinates, batch: int, samples: int, columns: int, by_column: bool
) -> np.ndarray:
    first, last = coordinates.offsets[batch], coordinates.offsets[batch + 1]
    rows, columns_of_ones = coordinates.rows, coordinates.columns
    if by_column:
        rows, columns_of_ones = coordinates.rows_by_column, coordinates.columns_by_column
    matrix = np.zeros((samples, columns))
    np.add.at(matrix, (rows[first:last], columns_of_ones[first:last]), 1)
    return matrix


@given(matrices())
@settings(max_examples=60, deadline=None)
def test_head_and_tail_together_contain_all_columns(features: MultiHot) -> None:
    order = np.random.default_rng(len(features)).permutation(len(features))[: len(features) // 2 + 1]
    head, tail = sparse_layer.split_head(features, order)
    assert head.dtype == np.uint8
    assert head.shape[1] == min(sparse_layer.HEAD, features.columns)
    np.testing.assert_array_equal(np.hstack([head, tail.dense()]), features.dense()[order])


def tail_of(features: MultiHot) -> MultiHot:
    return sparse_layer.split_head(features, np.arange(len(features)))[1]


@given(matrices(), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_coordinates_of_a_batch_are_those_of_its_ones_in_both_orders(features: MultiHot, batch_size: int) -> None:
    tail = tail_of(features)
    coordinates = sparse_layer.coordinates(tail, batch_size)
    starts = range(0, len(tail), batch_size)
    assert len(coordinates.offsets) == len(starts) + 1
    for batch, start in enumerate(starts):
        rows = range(start, min(start + batch_size, len(tail)))
        for by_column in (False, True):
            matrix = dense_tail_of_batch(coordinates, batch, len(rows), tail.columns, by_column)
            np.testing.assert_array_equal(matrix, tail.dense()[rows])
        ones = slice(coordinates.offsets[batch], coordinates.offsets[batch + 1])
        assert (np.diff(coordinates.rows[ones].astype(int)) >= 0).all()
        assert (np.diff(coordinates.columns_by_column[ones].astype(int)) >= 0).all()


def test_the_number_of_batches_may_exceed_16_bits() -> None:
    samples = 2**16 + 50
    ones = np.zeros((samples, sparse_layer.HEAD + 3), bool)
    ones[np.arange(samples), sparse_layer.HEAD + np.arange(samples) % 3] = True
    coordinates = sparse_layer.coordinates(tail_of(from_dense(ones)), 1)
    np.testing.assert_array_equal(coordinates.columns_by_column, np.arange(samples) % 3)
    np.testing.assert_array_equal(coordinates.offsets, np.arange(samples + 1))


both_kinds_of_tail = pytest.mark.parametrize(
    "optimizer", [Optimizer(), Optimizer(name="sgd")], ids=["compiled", "variable"]
)


def indices(coordinates: sparse_layer.Coordinates) -> tuple[sparse_layer.Indices, sparse_layer.Indices]:
    """Return the coordinates sorted by row, and the same sorted by column."""
    rows, columns, rows_by_column, columns_by_column = (
        tf.constant(array.astype(np.int32)) for array in vars(coordinates).values() if array.dtype == np.uint16
    )
    return (rows, columns), (rows_by_column, columns_by_column)


@both_kinds_of_tail
def test_sparse_product_matches_the_dense_product(optimizer: Optimizer) -> None:
    features = tail_of(rows_like_texts(20, 0))
    by_row, by_column = indices(sparse_layer.coordinates(features, 20))
    kernel = np.random.default_rng(0).normal(size=(features.columns, 8)).astype(np.float32)
    tail = sparse_layer.tail([kernel[:, :3], kernel[:, 3:]], optimizer)
    assert (tail.variable is None) == (optimizer.name == "rmsprop")
    ones = by_row if tail.order == "row" else by_column
    np.testing.assert_allclose(tail.product(ones, tf.constant(20)), features.dense() @ kernel, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tail.squares(), np.square(kernel).sum(0), rtol=1e-5)
    np.testing.assert_array_equal(tail.numpy(), kernel)


def test_sparse_gradient_matches_the_dense_gradient() -> None:
    features = tail_of(rows_like_texts(20, 0))
    _, by_column = indices(sparse_layer.coordinates(features, 20))
    upstream = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    tail = sparse_layer.VariableTail([np.zeros((features.columns, 8), np.float32)], [0.0])
    gradient = tail.backward(tf.constant(upstream), by_column)
    np.testing.assert_allclose(gradient, features.dense().T @ upstream, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("l2", [(0.0, 0.0), (0.01, 0.03)])
def test_compiled_rmsprop_matches_keras(l2: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    batches = [tail_of(rows_like_texts(20, seed)) for seed in range(3)]  # with ones in different columns
    kernel = rng.normal(size=(batches[0].columns, 8)).astype(np.float32)
    optimizer = Optimizer(learning_rate=0.01, rho=0.8, epsilon=1e-5)
    tail, variable = sparse_layer.tail([kernel[:, :3], kernel[:, 3:]], optimizer, l2), tf.Variable(kernel)
    by_unit = np.repeat(np.float32(l2), (3, 5))
    keras_rule = keras.optimizers.RMSprop(0.01, rho=0.8, epsilon=1e-5)
    for features in batches * 2:
        upstream = rng.normal(size=(20, 8)).astype(np.float32)
        _, by_column = indices(sparse_layer.coordinates(features, 20))
        assert tail.backward(tf.constant(upstream), by_column) is None
        keras_rule.apply([features.dense().T @ upstream + 2 * by_unit * variable], [variable])
    np.testing.assert_allclose(tail.numpy(), variable, rtol=1e-5, atol=1e-6)
    assert np.abs(tail.numpy() - kernel).max() > 0.01


def test_optimizers_other_than_plain_rmsprop_update_a_variable() -> None:
    for optimizer in (Optimizer(momentum=0.5), Optimizer(name="adam")):
        assert sparse_layer.tail([np.zeros((3, 2), np.float32)], optimizer).variable is not None


@both_kinds_of_tail
def test_rows_without_ones_give_a_zero_product_and_a_zero_gradient(optimizer: Optimizer) -> None:
    no_ones = (tf.constant([], tf.int32),) * 2
    tail = sparse_layer.tail([np.ones((3, 2), np.float32)], optimizer)
    np.testing.assert_array_equal(tail.product(no_ones, tf.constant(4)), np.zeros((4, 2)))
    gradient = tail.backward(tf.ones((4, 2)), no_ones)
    np.testing.assert_array_equal(tail.numpy() if gradient is None else gradient + 1, np.ones((3, 2)))
