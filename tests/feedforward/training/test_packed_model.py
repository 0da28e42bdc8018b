"""A packed sparse step against the dense step of plain Keras, and replicas against themselves alone."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_data import dense, split
from small_data import params as small_params

from feedforward.config import tasks
from feedforward.config.schema import Optimizer, Params
from feedforward.data.splits import MultiHot, Split
from feedforward.training import network
from feedforward.training.batches import Batch, Batches
from feedforward.training.packed_model import Pack, weights_digest

SEEDS = (0, 1, 5)
STEP = tf.constant(7)
DATASETS = ("tones", "notes")
VARIANTS = ("original", "smaller", "larger", "l2", "dropout")

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture(scope="module")
def params() -> Params:
    return small_params()


def models(params: Params, dataset: str, variant: str, seeds: Sequence[int] = SEEDS) -> list[keras.Model]:
    columns = split(dataset).features.shape[1]
    built = [network.build(params.datasets[dataset], params.variants[variant], columns, seed) for seed in seeds]
    numbers = np.random.default_rng(0)
    for model in built:  # as after some training: biases that are not 0
        model.set_weights([w + numbers.normal(0, 0.05, w.shape).astype(np.float32) for w in model.get_weights()])
    return built


def packed(built: list[keras.Model], dataset: str, seeds: Sequence[int] = SEEDS) -> Pack:
    """With a tail whose gradient can be looked at."""
    return Pack(built, seeds, isinstance(split(dataset).features, MultiHot), Optimizer(name="sgd"))


def batch_of(data: Split) -> Batch:
    batches = Batches(data)
    [plan] = batches.plans(np.arange(len(data)), len(data))
    return batches.batch(plan, tf.constant(0))


def of_replica(pack: Pack, gradients: list[tuple[tf.Variable, tf.Tensor]], k: int) -> list[np.ndarray]:
    """The gradients of replica k in the order of Keras's weights."""
    by_variable = {variable.ref(): gradient.numpy() for variable, gradient in gradients}
    first = np.concatenate(
        [by_variable[part.ref()] for part in (pack.head, *([pack.tail.variable] if pack.tail else []))]
    )
    stacks = [by_variable[v.ref()][k] for pair in zip(pack.biases, pack.kernels, strict=False) for v in pair]
    last = by_variable[pack.biases[-1].ref()][k]
    return [np.split(first, len(pack.models), axis=1)[k], *stacks, last]


def keras_step(model: keras.Model, data: Split, loss: str, masks: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """Loss and gradients of the dense Keras model, penalties included, with these masks in place of its own."""
    with tf.GradientTape() as tape:
        x = tf.constant(dense(data.features))
        left = list(masks)
        for layer in model.layers:
            x = x * left.pop(0) if isinstance(layer, keras.layers.Dropout) else layer(x)
        labels = data.labels[:, None].astype(np.float32)
        total = tf.reduce_mean(keras.losses.get(loss)(labels, x)) + sum(model.losses)
    return float(total), [g.numpy() for g in tape.gradient(total, [w.value for w in model.trainable_weights])]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_packed_step_has_the_gradients_of_a_dense_keras_step(params: Params, dataset: str, variant: str) -> None:
    data = split(dataset)
    built = models(params, dataset, variant)
    pack = packed(built, dataset)
    entropy, _, gradients = pack.gradients(batch_of(data), STEP)
    widths = [layer.units for layer in pack.dense[:-1]]
    masks = [np.ones((len(SEEDS), len(data), units), np.float32) for units in widths]
    if variant == "dropout":  # Keras draws its masks otherwise: give it ours
        masks = [pack._drop(tf.constant(mask), layer, STEP).numpy() for layer, mask in enumerate(masks)]
    for k, model in enumerate(built):
        loss = tasks.TASKS[params.datasets[dataset].task].loss
        total, expected = keras_step(model, data, loss, [mask[k] for mask in masks])
        own = float(tf.reduce_mean(entropy[k]) + pack.penalty()[k])
        assert own == pytest.approx(total, rel=1e-5)
        for found, wanted in zip(of_replica(pack, gradients, k), expected, strict=True):
            assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("columns", [3, 512, 513])
def test_multi_hot_features_may_end_before_the_tail(params: Params, columns: int) -> None:
    features = split("notes").features
    assert isinstance(features, MultiHot)
    narrow = Split(small_columns(features, columns), split("notes").labels)
    model = network.build(params.datasets["notes"], params.variants["l2"], columns, 0)
    pack = Pack([model], [0], sparse=True, optimizer=Optimizer(name="sgd"))
    _, _, gradients = pack.gradients(batch_of(narrow), STEP)
    masks = [np.ones((1, 1), np.float32)] * 2
    _, expected = keras_step(model, narrow, "binary_crossentropy", masks)
    for found, wanted in zip(of_replica(pack, gradients, 0), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def small_columns(features: MultiHot, columns: int) -> MultiHot:
    kept = features.indices < columns
    rows = np.repeat(np.arange(len(features)), np.diff(features.indptr))[kept]
    counts = np.bincount(rows, minlength=len(features))
    return MultiHot(np.concatenate([[0], np.cumsum(counts)]), features.indices[kept], columns)


@pytest.mark.parametrize("dataset", DATASETS)
def test_logits_are_those_of_each_model(params: Params, dataset: str) -> None:
    built = models(params, dataset, "dropout")
    pack, batch = packed(built, dataset), batch_of(split(dataset))
    logits = pack.logits(batch, pack.tail_sums(batch))
    activation = keras.activations.get(tasks.TASKS[params.datasets[dataset].task].activation)
    for k, model in enumerate(built):
        expected = model(dense(split(dataset).features), training=False)
        np.testing.assert_allclose(activation(logits[k]), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dataset", DATASETS)
def test_correct_counts_as_keras_accuracy_does(params: Params, dataset: str) -> None:
    built, data = models(params, dataset, "larger"), split(dataset)
    pack, batch = packed(built, dataset), batch_of(data)
    correct = pack.score(batch.labels, pack.logits(batch, pack.tail_sums(batch)))
    for k, model in enumerate(built):
        binary = params.datasets[dataset].task == "binary"
        metric = keras.metrics.BinaryAccuracy() if binary else keras.metrics.SparseCategoricalAccuracy()
        metric.update_state(data.labels[:, None], model(dense(data.features)))
        assert float(correct[k]) / len(data) == pytest.approx(float(metric.result()), abs=1e-6)


def test_the_cross_entropy_of_ten_equal_probabilities_is_ln_10() -> None:
    pack = Pack([output_of(10, "softmax")], [0], sparse=False)
    entropy = pack.cross_entropy(tf.constant([3, 9], tf.uint8), tf.fill((1, 2, 10), 5.0))
    np.testing.assert_allclose(entropy, [[math.log(10)] * 2], rtol=1e-6)


def test_the_cross_entropy_of_an_undecided_binary_output_is_ln_2() -> None:
    pack = Pack([output_of(1, "sigmoid")], [0], sparse=False)
    entropy = pack.cross_entropy(tf.constant([0, 1], tf.uint8), tf.zeros((1, 2, 1)))
    np.testing.assert_allclose(entropy, [[math.log(2)] * 2], rtol=1e-6)


def test_a_sure_and_wrong_output_has_a_finite_cross_entropy() -> None:
    pack = Pack([output_of(1, "sigmoid")], [0], sparse=False)
    assert float(pack.cross_entropy(tf.constant([0]), tf.constant([[[500.0]]]))[0, 0]) == pytest.approx(500)


def output_of(units: int, activation: str) -> keras.Model:
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.Rescaling(1.0), keras.layers.Dense(units, activation=activation)]
    )


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_penalty_of_each_replica_is_keras(params: Params, dataset: str) -> None:
    built = models(params, dataset, "l2")
    expected = [float(sum(model.losses)) for model in built]
    np.testing.assert_allclose(packed(built, dataset).penalty(), expected, rtol=1e-5)
    assert not packed(models(params, dataset, "original"), dataset).penalty().numpy().any()


def test_dropout_keeps_the_mean_and_drops_its_share(params: Params) -> None:
    pack = packed(models(params, "tones", "dropout"), "tones")
    dropped = pack._drop(tf.ones((len(SEEDS), 500, 16)), 0, STEP).numpy()
    assert set(np.unique(dropped)) == {0.0, 2.0}
    for replica in dropped:
        assert replica.mean() == pytest.approx(1, abs=4 / math.sqrt(replica.size))


def test_masks_differ_by_replica_layer_and_step_and_come_again(params: Params) -> None:
    pack = packed(models(params, "notes", "dropout"), "notes")
    x = tf.ones((len(SEEDS), 40, 16))
    mask = pack._drop(x, 0, STEP).numpy()
    np.testing.assert_array_equal(mask, pack._drop(x, 0, STEP))
    assert not np.array_equal(mask[0], mask[1])
    assert not np.array_equal(mask, pack._drop(x, 1, STEP))
    assert not np.array_equal(mask, pack._drop(x, 0, STEP + 1))
    alone = packed(models(params, "notes", "dropout", SEEDS[1:2]), "notes", SEEDS[1:2])
    np.testing.assert_array_equal(alone._drop(x[:1], 0, STEP)[0], mask[1])


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_replica_touches_another(params: Params, dataset: str) -> None:
    """The gradient of replica 0 stays bit by bit when the weights of the others change."""
    data, before, after = split(dataset), models(params, dataset, "l2"), models(params, dataset, "l2")
    for model in after[1:]:
        model.set_weights([weights * 3 for weights in model.get_weights()])
    found = [
        of_replica(pack, pack.gradients(batch_of(data), STEP)[2], 0)
        for pack in (packed(before, dataset), packed(after, dataset))
    ]
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dataset", DATASETS)
def test_what_is_packed_is_unpacked(params: Params, dataset: str) -> None:
    built = models(params, dataset, "larger")
    before = [model.get_weights() for model in built]
    for model, weights in zip(packed(built, dataset).unpack(), before, strict=True):
        for a, b in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_digest_tells_weights_apart(params: Params) -> None:
    (model,) = models(params, "tones", "original", (0,))
    digest = weights_digest(model)
    assert len(digest) == 64
    assert digest == weights_digest(models(params, "tones", "original", (0,))[0])
    weights = model.get_weights()
    weights[-1][0] = np.nextafter(weights[-1][0], np.float32(9))  # one bit
    model.set_weights(weights)
    assert weights_digest(model) != digest
