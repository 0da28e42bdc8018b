"""Training compared with Keras's `fit`, with training outside a pack, and with repeated training."""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from small_data import HELD_OUT, TRAIN, dense, split
from small_data import params as small_params

from feedforward.config import tasks
from feedforward.config.schema import Dataset, Optimizer, Params, Variant, load_params
from feedforward.core.errors import TrainingError
from feedforward.data import validation_split
from feedforward.data.splits import MultiHot, Split, Subset
from feedforward.models import calibration
from feedforward.training import batches, evaluation, keras_backend, network, trainer
from feedforward.training.packed_model import weights_digest
from feedforward.training.trainer import Replica

ROOT = Path(__file__).parents[3]
SMALL = small_params()
DATASETS = ["tones", "notes"]
EPOCHS = 4

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]  # test_packed_model.py has the fast tests


def training_and_validation(dataset: str) -> tuple[Subset, Subset]:
    samples = split(dataset)
    return Subset(samples, np.arange(HELD_OUT, TRAIN)), Subset(samples, np.arange(HELD_OUT))


def fit(
    dataset: str, variants: Sequence[str], params: Params = SMALL, order_seed: int = 3, seed: int = 0, **options: Any
) -> list[Replica]:
    """Train a replica of each variant on a small dataset, and return those that did not fail."""
    train, validation = training_and_validation(dataset)
    by_name = {name: params.variants[name] for name in variants}
    options = {"epochs": EPOCHS} | options
    results = trainer.fit(
        params.datasets[dataset], by_name, train, validation, seed, np.random.default_rng(order_seed), **options
    )
    return [result for result in results if isinstance(result, Replica)]


@functools.cache
def trained(dataset: str, *variants: str, seed: int = 0) -> list[Replica]:
    """Return the result of `fit`, cached for all tests, because building its graphs takes almost a second."""
    return fit(dataset, variants, seed=seed)


def digests(replicas: Sequence[Replica]) -> list[str]:
    return [weights_digest(replica.model) for replica in replicas]


def with_optimizer(dataset: str, **optimizer: Any) -> Params:
    old = SMALL.datasets[dataset]
    learning = old.training.model_copy(update={"optimizer": Optimizer(**optimizer)})
    return SMALL.model_copy(update={"datasets": {dataset: old.model_copy(update={"training": learning})}})


def compiled_model(dataset: Dataset, variant: Variant, features: int, seed: int) -> keras.Model:
    """Build the model and compile it as a plain Keras script does."""
    model = network.build(dataset, variant, features, seed)
    optimizer = dataset.training.optimizer
    rules = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}
    rule = rules[optimizer.name](optimizer.learning_rate)
    model.compile(optimizer=rule, loss=tasks.TASKS[dataset.task].loss, metrics=["accuracy"])
    return model


# --- compared with Keras ----------------------------------------------------------------------------------


@pytest.mark.proves("Training gives the same curves and weights as Keras's `fit` on the same batches")
@pytest.mark.parametrize(
    ("dataset", "variant", "optimizer"),
    [("notes", "original", "rmsprop"), ("tones", "l2", "rmsprop"), ("notes", "larger", "adam")],
)
def test_curves_and_weights_match_keras_fit_on_the_same_batches(dataset: str, variant: str, optimizer: str) -> None:
    params = with_optimizer(dataset, name=optimizer)
    train, validation = training_and_validation(dataset)
    (replica,) = fit(dataset, [variant], params, seed=4)
    model = compiled_model(params.datasets[dataset], params.variants[variant], train.split.features.shape[1], 4)
    held_out = dense(validation.to_split().features), validation.labels
    order = np.random.default_rng(3)
    for epoch in range(EPOCHS):
        ordered = train.to_split().take(order.permutation(len(train)))
        size = params.datasets[dataset].training.batch_size
        history = model.fit(
            dense(ordered.features), ordered.labels, size, shuffle=False, validation_data=held_out, verbose=0
        ).history
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert replica.curves[name][epoch] == pytest.approx(history[name][0], abs=1e-4), (name, epoch)
    for weights, keras_weights in zip(replica.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(weights, keras_weights, atol=1e-4)


@pytest.mark.parametrize("dataset", DATASETS)
def test_evaluate_matches_keras_evaluate(dataset: str) -> None:
    data = split(dataset)
    entry, variant, columns = SMALL.datasets[dataset], SMALL.variants["l2"], data.features.shape[1]
    models = [compiled_model(entry, variant, columns, seed) for seed in (0, 1)]
    for metrics, model in zip(trainer.evaluate(models, Subset(data)), models, strict=True):
        expected = model.evaluate(dense(data.features), data.labels, verbose=0, return_dict=True)
        assert metrics["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert metrics["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)
        assert metrics["loss"] - metrics["cross_entropy"] == pytest.approx(float(sum(model.losses)), abs=1e-6)


def test_last_validation_metrics_match_an_evaluation_of_the_returned_models() -> None:
    replicas = trained("notes", "l2", "original")
    evaluated = trainer.evaluate([replica.model for replica in replicas], training_and_validation("notes")[1])
    for replica, metrics in zip(replicas, evaluated, strict=True):
        for name, value in metrics.items():
            assert replica.curves[f"val_{name}"][-1] == pytest.approx(value, rel=1e-6)


def test_evaluation_does_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [replica.model for replica in trained("notes", "l2", "smaller")]
    samples = Subset(split("notes"))
    expected = trainer.evaluate(models, samples)
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 7)
    for metrics, expected_metrics in zip(trainer.evaluate(models, samples), expected, strict=True):
        assert metrics == pytest.approx(expected_metrics, rel=1e-6)


@pytest.mark.parametrize(("dataset", "variant"), [("notes", "dropout"), ("tones", "l2")])
def test_splitting_an_epoch_into_sections_does_not_change_the_results(
    dataset: str, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data larger than memory are loaded in sections."""
    for module in (batches, evaluation):
        monkeypatch.setattr(module, "SECTION", 24)
    in_sections, in_one_piece = fit(dataset, (variant, "original")), trained(dataset, variant, "original")
    assert digests(in_sections) == digests(in_one_piece)
    assert [replica.curves for replica in in_sections] == [replica.curves for replica in in_one_piece]
    assert [replica.measured for replica in in_sections] == [replica.measured for replica in in_one_piece]


def test_training_can_overfit_a_small_dataset() -> None:
    (replica,) = fit("tones", ["original"], with_optimizer("tones", learning_rate=0.01), epochs=15)
    assert replica.curves["accuracy"][-1] > 0.9


@pytest.mark.parametrize("dataset", DATASETS)
def test_calibration_is_measured_after_each_epoch_on_the_validation_samples(dataset: str) -> None:
    (replica,) = trained(dataset, "original")
    validation = training_and_validation(dataset)[1].to_split()
    expected = calibration.measure(trainer.as_arrays(replica.model).logits(validation.features), validation.labels)
    for name in calibration.FIGURES:
        curve = replica.curves[f"calibration/{name}"]
        assert len(curve) == EPOCHS
        assert curve[-1] == pytest.approx(getattr(expected, name), rel=1e-3, abs=1e-6), name
    np.testing.assert_allclose(replica.reliability["last"], expected.bins, rtol=1e-3)
    assert set(replica.reliability) == {"best", "best_scaled", "last", "last_scaled"}


# --- curves ------------------------------------------------------------------------------------


def test_curves_have_one_value_per_epoch_and_the_loss_includes_the_penalty() -> None:
    plain, penalized = trained("notes", "original", "l2")
    names = {"loss", "accuracy", "cross_entropy", "val_loss", "val_accuracy", "val_cross_entropy"}
    names |= {f"calibration/{name}" for name in calibration.FIGURES}
    assert set(plain.curves) == names
    assert {len(curve) for curve in plain.curves.values()} == {EPOCHS}
    assert plain.curves["loss"] == plain.curves["cross_entropy"]
    for prefix in ("", "val_"):
        pairs = zip(penalized.curves[f"{prefix}loss"], penalized.curves[f"{prefix}cross_entropy"], strict=True)
        assert all(loss > cross_entropy + 0.01 for loss, cross_entropy in pairs)


def test_validation_is_optional_and_does_not_change_training() -> None:
    train, _ = training_and_validation("notes")
    dataset, variants = SMALL.datasets["notes"], {"original": SMALL.variants["original"]}
    (replica,) = trainer.fit(dataset, variants, train, None, 0, np.random.default_rng(3), EPOCHS)
    assert isinstance(replica, Replica)
    assert replica.measured == {}
    assert set(replica.curves) == {"loss", "accuracy", "cross_entropy"}
    assert digests([replica]) == digests(trained("notes", "original"))


@pytest.mark.proves("The generalization gap compares two losses that are both measured without dropout")
def test_training_metrics_of_the_best_epoch_are_measured_without_dropout() -> None:
    """After a single epoch, the model still has the weights of its best epoch."""
    for replica in fit("notes", ("dropout", "l2"), epochs=1):
        [metrics] = trainer.evaluate([replica.model], training_and_validation("notes")[0])
        expected = {"best_cross_entropy": metrics["cross_entropy"], "best_accuracy": metrics["accuracy"]}
        assert replica.measured == pytest.approx(expected, rel=1e-6)
        assert replica.measured["best_cross_entropy"] != pytest.approx(replica.curves["cross_entropy"][0], rel=1e-3)


# --- packs -------------------------------------------------------------------------------------

ALL_VARIANTS = ("original", "smaller", "larger", "l2", "dropout")


@pytest.mark.proves("A variant has the same weights, bit for bit, whether it is trained in a pack or alone")
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("variant", ALL_VARIANTS)
def test_a_variant_has_identical_results_in_a_pack_and_alone(dataset: str, variant: str) -> None:
    """A changed variant can therefore be trained alone: its fingerprint does not depend on the pack."""
    in_pack = trained(dataset, *ALL_VARIANTS)[ALL_VARIANTS.index(variant)]
    (alone,) = trained(dataset, variant)
    assert digests([alone]) == digests([in_pack])
    assert (alone.curves, alone.measured) == (in_pack.curves, in_pack.measured)


def test_the_order_of_the_variants_in_a_pack_changes_only_the_order_of_the_results() -> None:
    reversed_pack = fit("notes", ALL_VARIANTS[::-1])
    assert digests(reversed_pack[::-1]) == digests(trained("notes", *ALL_VARIANTS))


def test_different_seeds_give_different_weights() -> None:
    assert len({digest for seed in range(5) for digest in digests(trained("notes", "original", seed=seed))}) == 5


def test_results_depend_on_batch_order_and_each_epoch_is_reported() -> None:
    reported: list[tuple[int, float]] = []
    (reordered,) = fit("notes", ["original"], order_seed=4, on_epoch=lambda epoch, loss: reported.append((epoch, loss)))
    assert digests([reordered]) != digests(trained("notes", "original"))
    assert reported == list(enumerate(reordered.curves["loss"], start=1))


SCRIPT = """
from feedforward.experiments import runner
runner.prepare(2)  # two packs at a time, so the number of threads differs from that in the tests' process
import numpy as np
import small_data
from feedforward.data.splits import Subset
from feedforward.training import trainer
params = small_data.params()
for dataset in ("tones", "notes"):
    train = Subset(small_data.split(dataset), np.arange(small_data.HELD_OUT, small_data.TRAIN))
    for replica in trainer.fit(
        params.datasets[dataset], params.variants, train, None, 7, np.random.default_rng(3), 4
    ):
        print(trainer.weights_digest(replica.model))
"""


@pytest.mark.proves("A seed gives the same weights in another process with another number of threads")
def test_results_are_identical_in_a_new_process_with_another_number_of_threads() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    replicas = [replica for dataset in DATASETS for replica in trained(dataset, *SMALL.variants, seed=7)]
    assert done.stdout.split() == digests(replicas)


@pytest.mark.parametrize(
    ("dataset", "variants"),
    [
        ("imdb", ("original", "smaller", "l2", "dropout")),
        ("imdb", tuple(f"dropout {k}" for k in range(20))),  # a sweep
        ("mnist", ("smaller", "smaller 1")),
    ],
)
def test_lecture_sized_variants_have_identical_results_in_full_packs_and_alone(
    dataset: str, variants: tuple[str, ...]
) -> None:
    params = load_params(ROOT / "params.yaml")
    entry, rng = params.datasets[dataset], np.random.default_rng(0)
    by_name = {name: params.variants[name.split()[0]] for name in variants}
    assert sum(entry.network.sizes[variant.size][0] for variant in by_name.values()) <= params.pack_units
    data = Subset(random_split(dataset, 3 * entry.training.batch_size + 50, len(entry.labels), rng))

    def trained_digests(chosen: Sequence[str]) -> list[str]:
        order = np.random.default_rng(0)
        results = trainer.fit(entry, {name: by_name[name] for name in chosen}, data, None, 0, order, 1)
        return digests([result for result in results if isinstance(result, Replica)])

    in_pack = trained_digests(variants)
    for k in (0, len(variants) - 1):
        assert trained_digests(variants[k : k + 1]) == in_pack[k : k + 1]


def random_split(dataset: str, samples: int, classes: int, rng: np.random.Generator) -> Split:
    """Return random samples of the shape of the dataset's, with labels that do not depend on them."""
    labels = rng.integers(0, classes, samples).astype(np.uint8)
    if dataset == "mnist":
        return Split(rng.integers(0, 256, (samples, 784)).astype(np.uint8), labels)
    rows = [np.unique((10_000 * rng.random(200) ** 4).astype(np.uint16)) for _ in range(samples)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Split(MultiHot(indptr, np.concatenate(rows), 10_000), labels)


# --- failures ---------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_replica_with_a_non_finite_loss_fails_without_affecting_others(dataset: str) -> None:
    fast = with_optimizer(dataset, name="sgd", learning_rate=1.0, momentum=0.99)
    diverging = fast.model_copy(update={"variants": {"steep": Variant(l2=10.0), "original": Variant()}})
    train, validation = training_and_validation(dataset)
    order = np.random.default_rng(3)
    failed, other = trainer.fit(diverging.datasets[dataset], diverging.variants, train, validation, 4, order, 30)
    assert isinstance(failed, TrainingError)
    title = diverging.datasets[dataset].title
    assert re.match(rf"{title}, steep, seed 4: \w+ is (nan|inf) at epoch \d+, expected a finite", str(failed))
    assert "learning_rate" in str(failed)
    (alone,) = fit(dataset, ["original"], diverging, seed=4, epochs=30)
    assert isinstance(other, Replica)
    assert digests([other]) == digests([alone])


def test_training_ends_when_all_replicas_have_failed() -> None:
    fast = with_optimizer("notes", name="sgd", learning_rate=10.0, momentum=0.99)
    epochs: list[int] = []
    diverging = fast.model_copy(update={"variants": {"steep": Variant(l2=10.0)}})
    assert fit("notes", ["steep"], diverging, epochs=30, on_epoch=lambda epoch, _: epochs.append(epoch)) == []
    assert len(epochs) < 30


def test_setting_up_tensorflow_again_keeps_its_number_of_threads() -> None:
    keras_backend.configure(2, 1)
    before = tf.config.threading.get_inter_op_parallelism_threads()
    keras_backend.configure(before + 1, 2)
    assert tf.config.threading.get_inter_op_parallelism_threads() == before


# --- on the real data --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """The real training reviews: those vectorized in this checkout or, if there are none, vectorized from a mirror."""
    from feedforward.data import preparation
    from feedforward.data.sources import download

    folder = ROOT / "data" / "vectorized" / "imdb"
    if (folder / "manifest.json").exists():
        return Split.load(folder / "train")
    params, root = load_params(ROOT / "params.yaml"), tmp_path_factory.mktemp("real")
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    mirrors = [str(ROOT / mirror) for mirror in params.mirrors]
    params = params.model_copy(update={"mirrors": tuple(mirrors)})
    if not os.environ.get(download.MIRROR) and not any(Path(mirror).exists() for mirror in mirrors):
        pytest.skip("no mirror of the real data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEEDFORWARD_ROOT", str(root))
        preparation.fetch("imdb", params.dataset("imdb"), params)
        preparation.vectorize("imdb", params.dataset("imdb"))
    return Split.load(root / "data" / "vectorized" / "imdb" / "train")


RUNS, REAL_EPOCHS = 8, 8


def stock_keras(reviews: Split, dropout: float, seed: int) -> dict[str, list[float]]:
    """Train as the lecture's script does: dense float32; Keras draws weights, masks and order; the split is random."""
    keras.utils.set_random_seed(seed)
    layers: list[keras.Layer] = [keras.Input((10_000,))]
    for _ in range(2):
        layers += [keras.layers.Dense(16, activation="relu"), keras.layers.Dropout(dropout)]
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    rows = np.random.default_rng(1000 + seed).permutation(len(reviews))
    train, validation = reviews.take(rows[10_000:]), reviews.take(rows[:10_000])
    history = model.fit(
        dense(train.features),
        train.labels.astype(np.float32),
        batch_size=512,
        epochs=REAL_EPOCHS,
        validation_data=(dense(validation.features), validation.labels.astype(np.float32)),
        verbose=0,
    )
    return history.history


@pytest.mark.real
@pytest.mark.parametrize("name", ["original", "dropout"])
def test_losses_on_real_reviews_have_the_same_distribution_as_with_stock_keras(reviews: Split, name: str) -> None:
    """Compare eight runs with eight of Keras, each with its own split, order, weights and masks, at the 1 % level."""
    params = load_params(ROOT / "params.yaml")
    dataset, variants = params.datasets["imdb"], {name: params.variants[name]}
    trained_curves = []
    for seed in range(RUNS):
        train, validation = validation_split.draw(reviews, dataset, seed)
        order = validation_split.generator(seed, validation_split.ORDER)
        (replica,) = trainer.fit(dataset, variants, train, validation, seed, order, REAL_EPOCHS)
        assert isinstance(replica, Replica)
        trained_curves.append(replica.curves)
    keras_curves = [stock_keras(reviews, variants[name].dropout_rate, seed) for seed in range(RUNS)]
    for curve, best in (("val_loss", min), ("val_accuracy", max)):
        actual, expected = (np.array([best(c[curve]) for c in curves]) for curves in (trained_curves, keras_curves))
        for source, values in (("feedforward", actual), ("Keras", expected)):
            print(f"{name} {curve}, {source}: mean {values.mean():.4f}, standard deviation {values.std(ddof=1):.4f}")
        assert stats.ks_2samp(actual, expected).pvalue > 0.01, (curve, actual, expected)
        # Brown and Forsythe's test of equal spread: a ratio of variances would be sensitive to a seed with dead units
        assert stats.levene(actual, expected, center="median").pvalue > 0.01, (curve, actual, expected)
