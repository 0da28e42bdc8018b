"""Results of a pack, compared with those of separate dense Keras models; replicas do not depend on their pack."""

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
SEED = 5  # of dropout masks, and of weights where variants are packed together
STEP = tf.constant(7)
DATASETS = ("tones", "notes")
VARIANTS = ("original", "smaller", "larger", "l2", "dropout")

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture(scope="module")
def params() -> Params:
    return small_params()


def build_models(params: Params, dataset: str, variant: str, seeds: Sequence[int] = SEEDS) -> list[keras.Model]:
    """Build a model for each seed."""
    columns = split(dataset).features.shape[1]
    models = [network.build(params.datasets[dataset], params.variants[variant], columns, seed) for seed in seeds]
    rng = np.random.default_rng(0)
    for model in models:  # nonzero biases, as after some training
        model.set_weights([w + rng.normal(0, 0.05, w.shape).astype(np.float32) for w in model.get_weights()])
    return models


def pack_of(models: list[keras.Model], dataset: str) -> PackedModel:
    """Return a pack whose tails are variables, so that their gradients can be inspected."""
    return PackedModel(models, SEED, isinstance(split(dataset).features, MultiHot), Optimizer(name="sgd"))


def batch_of(data: Split) -> Batch:
    batches = Batches(Subset(data))
    [plan] = batches.plans(np.arange(len(data)), len(data))
    return batches.batch(plan, tf.constant(0))


def gradients_of(pack: PackedModel, gradients: list[tuple[tf.Variable, tf.Tensor]], k: int) -> list[np.ndarray]:
    """Return the gradients of replica k in the order of Keras's weights."""
    by_variable = {variable.ref(): gradient.numpy() for variable, gradient in gradients}
    [stack] = [stack for stack in pack.stacks if k in stack.members]
    position = stack.members.index(k)
    first_kernel = by_variable[stack.head.ref()][position]
    for members, tail in pack.tails:
        if k in members:
            parts = np.split(by_variable[tail.variable.ref()], np.cumsum(tail.widths)[:-1], axis=1)
            first_kernel = np.concatenate([first_kernel, parts[members.index(k)]])
    pairs = zip(stack.biases, [*stack.kernels, None], strict=True)
    return [first_kernel, *(by_variable[v.ref()][position] for pair in pairs for v in pair if v is not None)]


def keras_step(model: keras.Model, data: Split, loss: str, masks: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """Return the loss, with penalties, and the gradients of a dense Keras model that uses these dropout masks."""
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
    models = [model for variant in VARIANTS for model in build_models(params, dataset, variant, (SEED,))]
    pack = pack_of(models, dataset)
    entropy, _, gradients = pack.gradients(batch_of(data), STEP)
    for k, (variant, model) in enumerate(zip(VARIANTS, models, strict=True)):
        widths = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)][:-1]
        masks = [np.ones((len(data), units), np.float32) for units in widths]
        if variant == "dropout":  # Keras draws different masks, so use those of the pack
            [stack] = [stack for stack in pack.stacks if k in stack.members]
            masks = [dropout_mask(stack, len(data), units, layer, k) for layer, units in enumerate(widths)]
        loss = tasks.TASKS[params.datasets[dataset].task].loss
        total, expected = keras_step(model, data, loss, masks)
        packed_loss = float(tf.reduce_mean(entropy[k]) + pack.penalty()[k])
        assert packed_loss == pytest.approx(total, rel=1e-5)
        for gradient, keras_gradient in zip(gradients_of(pack, gradients, k), expected, strict=True):
            assert np.abs(gradient - keras_gradient).max() <= 1e-5 * np.abs(keras_gradient).max()


def dropout_mask(stack: Any, samples: int, units: int, layer: int, k: int, step: tf.Tensor = STEP) -> np.ndarray:
    """Return the dropout mask of replica k."""
    ones = tf.ones((len(stack.members), samples, units))
    return stack._drop(ones, layer, SEED, step)[stack.members.index(k)].numpy()


@pytest.mark.parametrize("columns", [3, 512, 513])  # the head has up to 512
def test_gradients_match_keras_if_the_tail_has_at_most_one_column(params: Params, columns: int) -> None:
    features = split("notes").features
    assert isinstance(features, MultiHot)
    narrow = Split(first_columns(features, columns), split("notes").labels)
    model = network.build(params.datasets["notes"], params.variants["l2"], columns, 0)
    pack = PackedModel([model], 0, sparse=True, optimizer=Optimizer(name="sgd"))
    _, _, gradients = pack.gradients(batch_of(narrow), STEP)
    masks = [np.ones((1, 1), np.float32)] * 2
    _, expected = keras_step(model, narrow, "binary_crossentropy", masks)
    for gradient, keras_gradient in zip(gradients_of(pack, gradients, 0), expected, strict=True):
        np.testing.assert_allclose(gradient, keras_gradient, rtol=1e-4, atol=1e-6)


def first_columns(features: MultiHot, columns: int) -> MultiHot:
    selected = features.indices < columns
    rows = np.repeat(np.arange(len(features)), np.diff(features.indptr))[selected]
    counts = np.bincount(rows, minlength=len(features))
    return MultiHot(np.concatenate([[0], np.cumsum(counts)]), features.indices[selected], columns)


@pytest.mark.parametrize("dataset", DATASETS)
def test_logits_of_a_pack_match_the_separate_models(params: Params, dataset: str) -> None:
    models = build_models(params, dataset, "dropout")
    pack, batch = pack_of(models, dataset), batch_of(split(dataset))
    logits = pack.logits(batch, pack.tail_sums(batch))
    activation = keras.activations.get(tasks.TASKS[params.datasets[dataset].task].activation)
    for k, model in enumerate(models):
        expected = model(dense(split(dataset).features), training=False)
        np.testing.assert_allclose(activation(logits[k]), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dataset", DATASETS)
def test_score_matches_keras_accuracy(params: Params, dataset: str) -> None:
    models, data = build_models(params, dataset, "larger"), split(dataset)
    pack, batch = pack_of(models, dataset), batch_of(data)
    correct = pack.score(batch.labels, pack.logits(batch, pack.tail_sums(batch)))
    for k, model in enumerate(models):
        binary = params.datasets[dataset].task == "binary"
        metric = keras.metrics.BinaryAccuracy() if binary else keras.metrics.SparseCategoricalAccuracy()
        metric.update_state(data.labels[:, None], model(dense(data.features)))
        assert float(correct[k]) / len(data) == pytest.approx(float(metric.result()), abs=1e-6)


def test_cross_entropy_of_ten_equal_probabilities_is_ln_10() -> None:
    pack = PackedModel([model_with_output(10, "softmax")], 0, sparse=False)
    entropy = pack.cross_entropy(tf.constant([3, 9], tf.uint8), tf.fill((1, 2, 10), 5.0))
    np.testing.assert_allclose(entropy, [[math.log(10)] * 2], rtol=1e-6)


def test_cross_entropy_of_a_binary_output_of_one_half_is_ln_2() -> None:
    pack = PackedModel([model_with_output(1, "sigmoid")], 0, sparse=False)
    entropy = pack.cross_entropy(tf.constant([0, 1], tf.uint8), tf.zeros((1, 2, 1)))
    np.testing.assert_allclose(entropy, [[math.log(2)] * 2], rtol=1e-6)


def test_a_confident_wrong_output_has_a_finite_cross_entropy() -> None:
    pack = PackedModel([model_with_output(1, "sigmoid")], 0, sparse=False)
    assert float(pack.cross_entropy(tf.constant([0]), tf.constant([[[500.0]]]))[0, 0]) == pytest.approx(500)


def model_with_output(units: int, activation: str) -> keras.Model:
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.Rescaling(1.0), keras.layers.Dense(units, activation=activation)]
    )


@pytest.mark.parametrize("dataset", DATASETS)
def test_penalties_match_keras(params: Params, dataset: str) -> None:
    models = build_models(params, dataset, "l2")
    expected = [float(sum(model.losses)) for model in models]
    np.testing.assert_allclose(pack_of(models, dataset).penalty(), expected, rtol=1e-5)
    assert not pack_of(build_models(params, dataset, "original"), dataset).penalty().numpy().any()


def test_dropout_keeps_the_mean_and_drops_the_given_fraction(params: Params) -> None:
    pack = pack_of(build_models(params, "tones", "dropout"), "tones")
    for k in range(len(SEEDS)):
        dropped = dropout_mask(pack.stacks[0], 500, 16, 0, k)
        assert set(np.unique(dropped)) == {0.0, 2.0}
        assert dropped.mean() == pytest.approx(1, abs=4 / math.sqrt(dropped.size))


def test_only_dropout_variants_have_masks_which_differ_by_layer_and_step(params: Params) -> None:
    models = [model for variant in ("original", "dropout") for model in build_models(params, "notes", variant, (SEED,))]
    [stack] = pack_of(models, "notes").stacks
    mask = dropout_mask(stack, 40, 16, 0, 1)
    np.testing.assert_array_equal(mask, dropout_mask(stack, 40, 16, 0, 1))
    np.testing.assert_array_equal(dropout_mask(stack, 40, 16, 0, 0), np.ones((40, 16)))
    assert not np.array_equal(mask, dropout_mask(stack, 40, 16, 1, 1))
    assert not np.array_equal(mask, dropout_mask(stack, 40, 16, 0, 1, STEP + 1))
    [stack_without_original] = pack_of(models[1:], "notes").stacks
    np.testing.assert_array_equal(dropout_mask(stack_without_original, 40, 16, 0, 0), mask)


@pytest.mark.parametrize("dataset", DATASETS)
def test_replicas_do_not_affect_each_other(params: Params, dataset: str) -> None:
    """The gradient of replica 0 is the same, bit for bit, whatever the weights of the other replicas are."""
    data, models, changed = split(dataset), *(build_models(params, dataset, "l2") for _ in range(2))
    for model in changed[1:]:
        model.set_weights([weights * 3 for weights in model.get_weights()])
    gradients = [
        gradients_of(pack, pack.gradients(batch_of(data), STEP)[2], 0)
        for pack in (pack_of(models, dataset), pack_of(changed, dataset))
    ]
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dataset", DATASETS)
def test_weights_are_unchanged_by_packing_and_unpacking(params: Params, dataset: str) -> None:
    models = [model for variant in VARIANTS for model in build_models(params, dataset, variant, (SEED,))]
    pack = pack_of(models, dataset)
    before = [model.get_weights() for model in models]
    doubled = [[2 * array for array in arrays] for arrays in before]
    for expected in (before, doubled):
        if expected is doubled:
            pack.assign(doubled)
        for arrays, expected_arrays in zip(pack.weights(), expected, strict=True):
            for array, expected_array in zip(arrays, expected_arrays, strict=True):
                np.testing.assert_array_equal(array, expected_array)


def test_weights_digest_depends_on_the_weights(params: Params) -> None:
    (model,) = build_models(params, "tones", "original", (0,))
    digest = weights_digest(model)
    assert len(digest) == 64
    assert digest == weights_digest(build_models(params, "tones", "original", (0,))[0])
    weights = model.get_weights()
    weights[-1][0] = np.nextafter(weights[-1][0], np.float32(9))  # the smallest possible change
    model.set_weights(weights)
    assert weights_digest(model) != digest
