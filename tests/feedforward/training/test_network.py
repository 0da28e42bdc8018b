"""Networks compared with the lecture's numbers of weights, with Keras's defaults and with arithmetic."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from small_data import PIXELS, dense, split
from small_data import params as small_params

from feedforward.config.schema import Params, Variant, load_params
from feedforward.training import network

ROOT = Path(__file__).parents[3]
LECTURE_PARAMS = load_params(ROOT / "params.yaml")
VARIANTS = ("original", "smaller", "larger", "l2", "dropout")

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture(scope="module")
def params() -> Params:
    return small_params()


def build(params: Params, dataset: str, variant: str, seed: int = 0) -> keras.Model:
    columns = split(dataset).features.shape[1]
    return network.build(params.datasets[dataset], params.variants[variant], columns, seed)


@pytest.mark.parametrize(
    ("dataset", "features", "variant", "weights"),
    [
        ("imdb", 10_000, "original", (10_000 * 16 + 16) + (16 * 16 + 16) + (16 + 1)),
        ("imdb", 10_000, "smaller", (10_000 * 4 + 4) + (4 * 4 + 4) + (4 + 1)),
        ("imdb", 10_000, "larger", (10_000 * 512 + 512) + (512 * 512 + 512) + (512 + 1)),
        ("imdb", 10_000, "l2", 160_305),
        ("imdb", 10_000, "dropout", 160_305),
        ("mnist", 784, "original", (784 * 512 + 512) + (512 * 10 + 10)),
        ("mnist", 784, "smaller", (784 * 128 + 128) + (128 * 10 + 10)),
        ("mnist", 784, "larger", (784 * 1024 + 1024) + (1024 * 10 + 10)),
    ],
)
def test_networks_have_the_number_of_weights_given_in_the_lecture(
    dataset: str, features: int, variant: str, weights: int
) -> None:
    model = network.build(LECTURE_PARAMS.datasets[dataset], LECTURE_PARAMS.variants[variant], features, 0)
    assert model.count_params() == weights


def test_softmax_outputs_are_between_0_and_1_and_sum_to_1(params: Params) -> None:
    probabilities = build(params, "tones", "original")(dense(split("tones").features)).numpy()
    assert probabilities.shape == (len(split("tones")), 3)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    assert (probabilities <= 1).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)


def test_a_binary_task_has_one_output_between_0_and_1(params: Params) -> None:
    probabilities = build(params, "notes", "larger")(dense(split("notes").features)).numpy()
    assert probabilities.shape == (len(split("notes")), 1)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_model_divides_raw_pixels_by_the_scale(params: Params) -> None:
    model = build(params, "tones", "original")
    pixels = split("tones").features
    kernel, bias, output_kernel, output_bias = model.get_weights()
    hidden = np.maximum(np.asarray(pixels, np.float64) / 255 @ kernel + bias, 0)
    exponentials = np.exp(hidden @ output_kernel + output_bias)
    np.testing.assert_allclose(model(pixels).numpy(), exponentials / exponentials.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dataset", ["tones", "notes"])
def test_all_variants_have_the_same_layers(params: Params, dataset: str, variant: str) -> None:
    """A variant that does not use a layer has it with a setting that makes it do nothing."""
    names = [layer.name for layer in build(params, dataset, variant).layers]
    assert names == [layer.name for layer in build(params, dataset, "original").layers]


def test_only_hidden_kernels_are_penalized_as_in_keras(params: Params) -> None:
    model = build(params, "notes", "l2")
    kernels = [model.get_layer(name).kernel.numpy() for name in ("hidden_1", "hidden_2")]
    assert float(sum(model.losses)) == pytest.approx(0.01 * sum((kernel**2).sum() for kernel in kernels), rel=1e-5)
    assert len(model.losses) == 2


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean(params: Params, rate: float) -> None:
    model = network.build(params.datasets["tones"], Variant(dropout_rate=rate), PIXELS, 0)
    ones = np.ones((400, 16), np.float32)
    dropped = model.get_layer("dropout_1")(ones, training=True).numpy()
    standard_error = np.sqrt(rate / (1 - rate) / ones.size)
    assert dropped.mean() == pytest.approx(1, abs=4 * standard_error + 1e-6)
    assert set(np.unique(dropped.round(4))) <= {0.0, np.float32(1 / (1 - rate)).round(4)}


def test_weights_are_reproducible_and_depend_on_the_seed(params: Params) -> None:
    first, repeated, different = (build(params, "notes", "original", seed).get_weights() for seed in (1, 1, 2))
    for a, b in zip(first, repeated, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first[::2], different[::2], strict=True):  # kernels
        assert not np.array_equal(a, b)


def test_layers_of_the_same_shape_start_with_different_weights() -> None:
    dataset = LECTURE_PARAMS.datasets["imdb"].model_copy(
        update={"network": LECTURE_PARAMS.datasets["imdb"].network.model_copy(update={"sizes": {"base": (16, 16, 16)}})}
    )
    model = network.build(dataset, Variant(), 50, 0)
    assert not np.array_equal(model.get_layer("hidden_2").kernel, model.get_layer("hidden_3").kernel)


def test_kernels_are_glorot_uniform_and_biases_are_zero(params: Params) -> None:
    model = build(params, "notes", "larger")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = layer.get_weights()
            limit = np.sqrt(6 / sum(kernel.shape))
            assert np.abs(kernel).max() <= limit
            assert not bias.any()
            if kernel.size > 1000:
                assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


@pytest.mark.slow
def test_keras_is_imported_without_unused_packages_which_can_be_imported_later() -> None:
    code = """
import sys
from feedforward.training import trainer
assert not {"sklearn", "matplotlib"} & set(sys.modules), "Keras imported them"
import sklearn.base, matplotlib.pyplot
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
