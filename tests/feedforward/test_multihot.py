"""The sparse first layer against dense NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import multihot as rows_like_texts
from small_data import of_dense

from feedforward import multihot
from feedforward.splits import MultiHot

pytestmark = pytest.mark.usefixtures("tensorflow")


@st.composite
def matrices(draw: st.DrawFn) -> MultiHot:
    """Multi-hot rows whose columns end before, at or after the head."""
    columns = draw(st.sampled_from([1, 5, multihot.HEAD - 1, multihot.HEAD, multihot.HEAD + 1, multihot.HEAD + 40]))
    samples, seed = draw(st.integers(1, 30)), draw(st.integers(0, 99))
    share = draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    return of_dense(np.random.default_rng(seed).random((samples, columns)) < share)


def tail_of_batch(found: multihot.Coordinates, batch: int, samples: int, columns: int, by_column: bool) -> np.ndarray:
    first, last = found.offsets[batch], found.offsets[batch + 1]
    rows, names = (found.rows_by_column, found.columns_by_column) if by_column else (found.rows, found.columns)
    matrix = np.zeros((samples, columns))
    np.add.at(matrix, (rows[first:last], names[first:last]), 1)
    return matrix


@given(matrices())
@settings(max_examples=60, deadline=None)
def test_head_and_tail_are_the_whole(features: MultiHot) -> None:
    head, tail = multihot.split_head(features)
    assert head.dtype == np.uint8
    assert head.shape[1] == min(multihot.HEAD, features.columns)
    np.testing.assert_array_equal(np.hstack([head, tail.dense()]), features.dense())


@given(matrices(), st.integers(1, 40), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_coordinates_are_the_ones_of_each_batch(features: MultiHot, batch_size: int, seed: int) -> None:
    _, tail = multihot.split_head(features)
    order = np.random.default_rng(seed).permutation(len(tail))
    found = multihot.coordinates(tail, order, batch_size)
    starts = range(0, len(tail), batch_size)
    assert len(found.offsets) == len(starts) + 1
    for batch, start in enumerate(starts):
        chosen = order[start : start + batch_size]
        for by_column in (False, True):
            matrix = tail_of_batch(found, batch, len(chosen), tail.columns, by_column)
            np.testing.assert_array_equal(matrix, tail.dense()[chosen])
        part = slice(found.offsets[batch], found.offsets[batch + 1])
        assert (np.diff(found.rows[part].astype(int)) >= 0).all()
        assert (np.diff(found.columns_by_column[part].astype(int)) >= 0).all()


def test_more_batches_than_16_bits_hold() -> None:
    samples = 2**16 + 50
    ones = np.zeros((samples, multihot.HEAD + 3), bool)
    ones[np.arange(samples), multihot.HEAD + np.arange(samples) % 3] = True
    _, tail = multihot.split_head(of_dense(ones))
    found = multihot.coordinates(tail, np.arange(samples), 1)
    np.testing.assert_array_equal(found.columns_by_column, np.arange(samples) % 3)
    np.testing.assert_array_equal(found.offsets, np.arange(samples + 1))


def test_the_product_and_its_gradient_are_those_of_dense_matrices() -> None:
    features = rows_like_texts(20, 0)
    _, tail = multihot.split_head(features)
    found = multihot.coordinates(tail, np.arange(20), 20)
    numbers = np.random.default_rng(0)
    kernel = numbers.normal(size=(tail.columns, 8)).astype(np.float32)
    upstream = numbers.normal(size=(20, 8)).astype(np.float32)
    rows, columns, rows_by, columns_by = (
        tf.constant(array.astype(np.int32))
        for array in (found.rows, found.columns, found.rows_by_column, found.columns_by_column)
    )
    product = multihot.tail_product(tf.constant(kernel), rows, columns, tf.constant(20))
    np.testing.assert_allclose(product, tail.dense() @ kernel, rtol=1e-5, atol=1e-6)
    gradient = multihot.tail_gradient(tf.constant(upstream), rows_by, columns_by, tail.columns)
    np.testing.assert_allclose(gradient, tail.dense().T @ upstream, rtol=1e-5, atol=1e-6)


def test_rows_without_words_have_a_sum_of_0() -> None:
    nothing = tf.constant([], tf.int32)
    product = multihot.tail_product(tf.ones((3, 2)), nothing, nothing, tf.constant(4))
    np.testing.assert_array_equal(product, np.zeros((4, 2)))
    np.testing.assert_array_equal(multihot.tail_gradient(tf.ones((4, 2)), nothing, nothing, 3), np.zeros((3, 2)))
