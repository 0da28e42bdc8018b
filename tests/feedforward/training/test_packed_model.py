"""A packed sparse step compared with dense Keras steps; packed replicas compared with single ones."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_data import dense, split
from small_data import params as small_params

from feedforward.config import tasks
from feedforward.config.schema import Optimizer, Params
from feedforward.data.splits import MultiHot, Split, Subset
from feedforward.training import network
from feedforward.training.batches import Batch, Batches
from feedforward.training.packed_model import PackedModel, weights_digest

SEEDS = (0, 1, 5)  # of initial weights
SEED = 5  # of dropout masks
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
    for model in built:  # nonzero biases, as after some training
        model.set_weights([w + numbers.normal(0, 0.05, w.shape).astype(np.float32) for w in model.get_weights()])
    return built


def packed(built: list[keras.Model], dataset: str) -> PackedModel:
    """Return a pack whose tails are variables, so that their gradients can be inspected."""
    return PackedModel(built, SEED, isinstance(split(dataset).features, MultiHot), Optimizer(name="sgd"))


def batch_of(data: Split) -> Batch:
    batches = Batches(Subset(data))
    [plan] = batches.plans(np.arange(len(data)), len(data))
    return batches.batch(plan, tf.constant(0))


def of_replica(pack: PackedModel, gradients: list[tuple[tf.Variable, tf.Tensor]], k: int) -> list[np.ndarray]:
    """Return the gradients of replica k in the order of Keras's weights."""
    by_variable = {variable.ref(): gradient.numpy() for variable, gradient in gradients}
    [stack] = [stack for stack in pack.stacks if k in stack.members]
    position = stack.members.index(k)
    first = by_variable[stack.head.ref()][position]
    for members, tail in pack.tails:
        if k in members:
            parts = np.split(by_variable[tail.variable.ref()], np.cumsum(tail.widths)[:-1], axis=1)
            first = np.concatenate([first, parts[members.index(k)]])
    pairs = zip(stack.biases, [*stack.kernels, None], strict=True)
    return [first, *(by_variable[v.ref()][position] for pair in pairs for v in pair if v is not None)]


def keras_step(model: keras.Model, data: Split, loss: str, masks: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """Return loss and gradients of the dense Keras model, with penalties, and with these masks instead of its own."""
    with tf.GradientTape() as tape:
        x = tf.constant(dense(data.features))
        remaining = list(masks)
        for layer in model.layers:
            x = x * remaining.pop(0) if isinstance(layer, keras.layers.Dropout) else layer(x)
        labels = data.labels[:, None].astype(np.float32)
        total = tf.reduce_mean(keras.losses.get(loss)(labels, x)) + sum(model.losses)
    return float(total), [g.numpy() for g in tape.gradient(total, [w.value for w in model.trainable_weights])]


@pytest.mark.parametrize("dataset", DATASETS)
def test_gradients_of_a_packed_step_match_separate_keras_steps(params: Params, dataset: str) -> None:
    data = split(dataset)
    built = [model for variant in VARIANTS for model in models(params, dataset, variant, (SEED,))]
    pack = packed(built, dataset)
    entropy, _, gradients = pack.gradients(batch_of(data), STEP)
    for k, (variant, model) in enumerate(zip(VARIANTS, built, strict=True)):
        widths = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)][:-1]
        masks = [np.ones((len(data), units), np.float32) for units in widths]
        if variant == "dropout":  # Keras draws different masks, so use those of the pack
            [stack] = [stack for stack in pack.stacks if k in stack.members]
            masks = [mask_of(stack, len(data), units, layer, k) for layer, units in enumerate(widths)]
        loss = tasks.TASKS[params.datasets[dataset].task].loss
        total, expected = keras_step(model, data, loss, masks)
        packed_loss = float(tf.reduce_mean(entropy[k]) + pack.penalty()[k])
        assert packed_loss == pytest.approx(total, rel=1e-5)
        for ours, theirs in zip(of_replica(pack, gradients, k), expected, strict=True):
            assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def mask_of(stack: Any, samples: int, units: int, layer: int, k: int, step: tf.Tensor = STEP) -> np.ndarray:
    """Return the dropout mask of replica k."""
    ones = tf.ones((len(stack.members), samples, units))
    return stack._drop(ones, layer, SEED, step)[stack.members.index(k)].numpy()


@pytest.mark.parametrize("columns", [3, 512, 513])
def test_multi_hot_features_without_a_tail(params: Params, columns: int) -> None:
    features = split("notes").features
    assert isinstance(features, MultiHot)
    narrow = Split(small_columns(features, columns), split("notes").labels)
    model = network.build(params.datasets["notes"], params.variants["l2"], columns, 0)
    pack = PackedModel([model], 0, sparse=True, optimizer=Optimizer(name="sgd"))
    _, _, gradients = pack.gradients(batch_of(narrow), STEP)
    masks = [np.ones((1, 1), np.float32)] * 2
    _, expected = keras_step(model, narrow, "binary_crossentropy", masks)
    for ours, theirs in zip(of_replica(pack, gradients, 0), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def small_columns(features: MultiHot, columns: int) -> MultiHot:
    selected = features.indices < columns
    rows = np.repeat(np.arange(len(features)), np.diff(features.indptr))[selected]
    counts = np.bincount(rows, minlength=len(features))
    return MultiHot(np.concatenate([[0], np.cumsum(counts)]), features.indices[selected], columns)


@pytest.mark.parametrize("dataset", DATASETS)
def test_logits_of_a_pack_match_the_separate_models(params: Params, dataset: str) -> None:
    built = models(params, dataset, "dropout")
    pack, batch = packed(built, dataset), batch_of(split(dataset))
    logits = pack.logits(batch, pack.tail_sums(batch))
    activation = keras.activations.get(tasks.TASKS[params.datasets[dataset].task].activation)
    for k, model in enumerate(built):
        expected = model(dense(split(dataset).features), training=False)
        np.testing.assert_allclose(activation(logits[k]), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dataset", DATASETS)
def test_score_matches_keras_accuracy(params: Params, dataset: str) -> None:
    built, data = models(params, dataset, "larger"), split(dataset)
    pack, batch = packed(built, dataset), batch_of(data)
    correct = pack.score(batch.labels, pack.logits(batch, pack.tail_sums(batch)))
    for k, model in enumerate(built):
        binary = params.datasets[dataset].task == "binary"
        metric = keras.metrics.BinaryAccuracy() if binary else keras.metrics.SparseCategoricalAccuracy()
        metric.update_state(data.labels[:, None], model(dense(data.features)))
        assert float(correct[k]) / len(data) == pytest.approx(float(metric.result()), abs=1e-6)


def test_cross_entropy_of_ten_equal_probabilities_is_ln_10() -> None:
    pack = PackedModel([output_of(10, "softmax")], 0, sparse=False)
    entropy = pack.cross_entropy(tf.constant([3, 9], tf.uint8), tf.fill((1, 2, 10), 5.0))
    np.testing.assert_allclose(entropy, [[math.log(10)] * 2], rtol=1e-6)


def test_cross_entropy_of_a_binary_output_of_one_half_is_ln_2() -> None:
    pack = PackedModel([output_of(1, "sigmoid")], 0, sparse=False)
    entropy = pack.cross_entropy(tf.constant([0, 1], tf.uint8), tf.zeros((1, 2, 1)))
    np.testing.assert_allclose(entropy, [[math.log(2)] * 2], rtol=1e-6)


def test_a_confident_wrong_output_has_a_finite_cross_entropy() -> None:
    pack = PackedModel([output_of(1, "sigmoid")], 0, sparse=False)
    assert float(pack.cross_entropy(tf.constant([0]), tf.constant([[[500.0]]]))[0, 0]) == pytest.approx(500)


def output_of(units: int, activation: str) -> keras.Model:
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.Rescaling(1.0), keras.layers.Dense(units, activation=activation)]
    )


@pytest.mark.parametrize("dataset", DATASETS)
def test_penalties_match_keras(params: Params, dataset: str) -> None:
    built = models(params, dataset, "l2")
    expected = [float(sum(model.losses)) for model in built]
    np.testing.assert_allclose(packed(built, dataset).penalty(), expected, rtol=1e-5)
    assert not packed(models(params, dataset, "original"), dataset).penalty().numpy().any()


def test_dropout_keeps_the_mean_and_drops_the_given_fraction(params: Params) -> None:
    pack = packed(models(params, "tones", "dropout"), "tones")
    for k in range(len(SEEDS)):
        dropped = mask_of(pack.stacks[0], 500, 16, 0, k)
        assert set(np.unique(dropped)) == {0.0, 2.0}
        assert dropped.mean() == pytest.approx(1, abs=4 / math.sqrt(dropped.size))


def test_only_dropout_variants_have_masks_which_differ_by_layer_and_step(params: Params) -> None:
    built = [model for variant in ("original", "dropout") for model in models(params, "notes", variant, (SEED,))]
    [stack] = packed(built, "notes").stacks
    mask = mask_of(stack, 40, 16, 0, 1)
    np.testing.assert_array_equal(mask, mask_of(stack, 40, 16, 0, 1))
    np.testing.assert_array_equal(mask_of(stack, 40, 16, 0, 0), np.ones((40, 16)))
    assert not np.array_equal(mask, mask_of(stack, 40, 16, 1, 1))
    assert not np.array_equal(mask, mask_of(stack, 40, 16, 0, 1, STEP + 1))
    [alone] = packed(built[1:], "notes").stacks
    np.testing.assert_array_equal(mask_of(alone, 40, 16, 0, 0), mask)


@pytest.mark.parametrize("dataset", DATASETS)
def test_replicas_do_not_affect_each_other(params: Params, dataset: str) -> None:
    """The gradient of replica 0 is the same, bit for bit, whatever the weights of the other replicas."""
    data, before, after = split(dataset), models(params, dataset, "l2"), models(params, dataset, "l2")
    for model in after[1:]:
        model.set_weights([weights * 3 for weights in model.get_weights()])
    gradients = [
        of_replica(pack, pack.gradients(batch_of(data), STEP)[2], 0)
        for pack in (packed(before, dataset), packed(after, dataset))
    ]
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dataset", DATASETS)
def test_weights_are_unchanged_by_packing_and_unpacking(params: Params, dataset: str) -> None:
    built = [model for variant in VARIANTS for model in models(params, dataset, variant, (SEED,))]
    pack = packed(built, dataset)
    before = [model.get_weights() for model in built]
    doubled = [[2 * array for array in arrays] for arrays in before]
    for expected in (before, doubled):
        if expected is doubled:
            pack.assign(doubled)
        for arrays, others in zip(pack.weights(), expected, strict=True):
            for first, second in zip(arrays, others, strict=True):
                np.testing.assert_array_equal(first, second)


def test_weights_digest_depends_on_the_weights(params: Params) -> None:
    (model,) = models(params, "tones", "original", (0,))
    digest = weights_digest(model)
    assert len(digest) == 64
    assert digest == weights_digest(models(params, "tones", "original", (0,))[0])
    weights = model.get_weights()
    weights[-1][0] = np.nextafter(weights[-1][0], np.float32(9))  # one bit
    model.set_weights(weights)
    assert weights_digest(model) != digest
