"""Training against Keras's own `fit`, against itself alone, and against itself again."""

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from small_data import HELD_OUT, TRAIN, dense, split
from small_data import params as small_params

from feedforward.config import tasks
from feedforward.config.schema import Dataset, Optimizer, Params, Variant, load_params
from feedforward.core import provenance
from feedforward.core.errors import TrainingError
from feedforward.data.splits import MultiHot, Split
from feedforward.training import batches, network, trainer
from feedforward.training.packed_model import weights_digest
from feedforward.training.trainer import Replica

ROOT = Path(__file__).parents[3]
SMALL = small_params()
DATASETS = ["tones", "notes"]
EPOCHS = 4

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]  # what is fast is tested in test_packing


def parts(dataset: str) -> tuple[Split, Split]:
    whole = split(dataset)
    return whole.rows(HELD_OUT, TRAIN), whole.rows(0, HELD_OUT)


def fit(dataset: str, variant: str, seeds: Sequence[int], params: Params = SMALL, **how: Any) -> list[Replica]:
    train, validation = parts(dataset)
    given = {"order_seed": 3, "epochs": EPOCHS} | how
    return trainer.fit(params.datasets[dataset], params.variants[variant], train, validation, seeds, **given)


@functools.cache
def trained(dataset: str, variant: str, *seeds: int) -> list[Replica]:
    """What `fit` gives, once for all tests: to make its graphs takes most of a second."""
    return fit(dataset, variant, seeds)


def digests(replicas: Sequence[Replica]) -> list[str]:
    return [weights_digest(replica.model) for replica in replicas]


same_alone = pytest.mark.skipif(provenance.pack_decides(), reason="products of this machine depend on their width")


def with_optimizer(dataset: str, **optimizer: Any) -> Params:
    old = SMALL.datasets[dataset]
    learning = old.training.model_copy(update={"optimizer": Optimizer(**optimizer)})
    return SMALL.model_copy(update={"datasets": {dataset: old.model_copy(update={"training": learning})}})


def compiled(dataset: Dataset, variant: Variant, features: int, seed: int) -> keras.Model:
    """The model as a plain Keras script compiles it."""
    model = network.build(dataset, variant, features, seed)
    optimizer = dataset.training.optimizer
    kinds = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}
    rule = kinds[optimizer.name](optimizer.learning_rate)
    model.compile(optimizer=rule, loss=tasks.TASKS[dataset.task].loss, metrics=["accuracy"])
    return model


# --- as Keras ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "variant", "optimizer"),
    [("notes", "original", "rmsprop"), ("tones", "l2", "rmsprop"), ("notes", "larger", "adam")],
)
def test_curves_and_weights_are_those_of_keras_fit_on_the_same_batches(
    dataset: str, variant: str, optimizer: str
) -> None:
    params = with_optimizer(dataset, name=optimizer)
    train, validation = parts(dataset)
    (replica,) = fit(dataset, variant, [4], params)
    model = compiled(params.datasets[dataset], params.variants[variant], train.features.shape[1], 4)
    held_out = dense(validation.features), validation.labels
    order = np.random.default_rng(3)
    for epoch in range(EPOCHS):
        chosen = train.take(order.permutation(len(train)))
        size = params.datasets[dataset].training.batch_size
        history = model.fit(
            dense(chosen.features), chosen.labels, size, shuffle=False, validation_data=held_out, verbose=0
        ).history
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert replica.curves[name][epoch] == pytest.approx(history[name][0], abs=1e-4), (name, epoch)
    for own, theirs in zip(replica.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-4)


@pytest.mark.parametrize("dataset", DATASETS)
def test_evaluate_is_keras_evaluate(dataset: str) -> None:
    data = split(dataset)
    models = [compiled(SMALL.datasets[dataset], SMALL.variants["l2"], data.features.shape[1], seed) for seed in (0, 1)]
    for found, model in zip(trainer.evaluate(models, data), models, strict=True):
        expected = model.evaluate(dense(data.features), data.labels, verbose=0, return_dict=True)
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)
        assert found["loss"] - found["cross_entropy"] == pytest.approx(float(sum(model.losses)), abs=1e-6)


def test_the_last_validation_figures_are_those_of_the_models_that_are_returned() -> None:
    replicas = trained("notes", "l2", 0, 1)
    again = trainer.evaluate([replica.model for replica in replicas], parts("notes")[1])
    for replica, figures in zip(replicas, again, strict=True):
        for name, value in figures.items():
            assert replica.curves[f"val_{name}"][-1] == pytest.approx(value, rel=1e-6)


def test_evaluation_does_not_depend_on_how_rows_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [replica.model for replica in trained("notes", "l2", 0, 1)]
    whole = trainer.evaluate(models, split("notes"))
    monkeypatch.setattr(trainer, "EVALUATION_ROWS", 7)
    for pieces, figures in zip(trainer.evaluate(models, split("notes")), whole, strict=True):
        assert pieces == pytest.approx(figures, rel=1e-6)


@pytest.mark.parametrize(("dataset", "variant"), [("notes", "dropout"), ("tones", "l2")])
def test_sections_change_no_bit(dataset: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of data larger than memory only a section is laid out at a time."""
    for module in (batches, trainer):
        monkeypatch.setattr(module, "SECTION", 24)
    in_sections = fit(dataset, variant, (0, 1))
    assert digests(in_sections) == digests(trained(dataset, variant, 0, 1))
    assert [one.curves for one in in_sections] == [one.curves for one in trained(dataset, variant, 0, 1)]


def test_small_data_are_learned() -> None:
    (replica,) = fit("tones", "original", [0], with_optimizer("tones", learning_rate=0.01), epochs=15)
    assert replica.curves["accuracy"][-1] > 0.9


# --- curves ------------------------------------------------------------------------------------


def test_curves_have_a_value_an_epoch_and_the_loss_holds_the_penalty() -> None:
    plain, penalised = trained("notes", "original", 0)[0], trained("notes", "l2", 0, 1)[0]
    names = {"loss", "accuracy", "cross_entropy", "val_loss", "val_accuracy", "val_cross_entropy"}
    assert set(plain.curves) == names
    assert {len(curve) for curve in plain.curves.values()} == {EPOCHS}
    assert plain.curves["loss"] == plain.curves["cross_entropy"]
    for prefix in ("", "val_"):
        both = zip(penalised.curves[f"{prefix}loss"], penalised.curves[f"{prefix}cross_entropy"], strict=True)
        assert all(loss > free + 0.01 for loss, free in both)


def test_validation_does_not_change_what_is_learned_and_without_it_there_are_no_curves_of_it() -> None:
    train, _ = parts("notes")
    data, variant = SMALL.datasets["notes"], SMALL.variants["original"]
    (unwatched,) = trainer.fit(data, variant, train, None, [0], 3, EPOCHS)
    assert set(unwatched.curves) == {"loss", "accuracy", "cross_entropy"}
    assert digests([unwatched]) == digests(trained("notes", "original", 0))


# --- packs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "variant"),
    [
        ("notes", "dropout"),
        ("notes", "original"),
        ("notes", "larger"),
        ("notes", "l2"),
        ("tones", "smaller"),
        ("tones", "dropout"),
    ],
)
def test_replica_k_packed_is_replica_k_alone(dataset: str, variant: str) -> None:
    packed = trained(dataset, variant, 0, 1, 2, 7)
    for k in (0, 3):
        (alone,) = trained(dataset, variant, packed[k].seed)
        for a, b in zip(alone.model.get_weights(), packed[k].model.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
        if not provenance.pack_decides():  # bit by bit: fingerprints need not know the pack
            assert digests([alone]) == digests(packed[k : k + 1])
            assert alone.curves == packed[k].curves


@same_alone
@pytest.mark.parametrize("variant", ["original", "dropout"])
def test_further_seeds_leave_the_earlier_ones_unchanged(variant: str) -> None:
    few, many = fit("notes", variant, range(2)), fit("notes", variant, range(5))
    assert digests(few) == digests(many[:2])
    assert len(set(digests(many))) == 5


def test_the_order_of_the_batches_decides_what_is_learned_and_each_epoch_is_reported() -> None:
    seen: list[tuple[int, float]] = []
    (other,) = fit("notes", "original", [0], order_seed=4, on_epoch=lambda epoch, loss: seen.append((epoch, loss)))
    assert digests([other]) != digests(trained("notes", "original", 0))
    assert seen == list(enumerate(other.curves["loss"], start=1))


SCRIPT = """
from feedforward.experiments import runner as experiment
experiment.prepare(2)  # the tests have 1
import small_data
from feedforward.training import trainer as training
from feedforward.training.packed_model import weights_digest
params = small_data.params()
for dataset in ("tones", "notes"):
    train = small_data.split(dataset).rows(small_data.HELD_OUT, small_data.TRAIN)
    for replica in training.fit(params.datasets[dataset], params.variants["dropout"], train, None, [0, 1, 2, 7], 3, 4):
        print(weights_digest(replica.model))
"""


def test_a_seed_gives_the_same_bytes_in_a_fresh_process_with_another_number_of_threads() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    here = [replica for dataset in ("tones", "notes") for replica in trained(dataset, "dropout", 0, 1, 2, 7)]
    assert done.stdout.split() == digests(here)


@same_alone
@pytest.mark.parametrize(
    ("dataset", "variant", "together"),
    [
        ("imdb", "original", 20),
        ("imdb", "smaller", 40),
        ("imdb", "dropout", 5),
        ("imdb", "l2", 5),
        ("mnist", "smaller", 2),
    ],
)
def test_at_the_lectures_shapes_and_full_packs_replica_k_is_itself_alone_bit_by_bit(
    dataset: str, variant: str, together: int
) -> None:
    """Products of other shapes add in another order, so this is asked of the widest packs that params.yaml allows."""
    params = load_params(ROOT / "params.yaml")
    entry, numbers = params.datasets[dataset], np.random.default_rng(0)
    assert together * entry.network.sizes[params.variants[variant].size][0] <= params.pack_units
    samples = 3 * entry.training.batch_size + 50
    data = split_like(dataset, samples, len(entry.labels), numbers)
    packed = trainer.fit(entry, params.variants[variant], data, None, range(together), 0, 1)
    for k in (0, together - 1):
        alone = trainer.fit(entry, params.variants[variant], data, None, [k], 0, 1)
        assert digests(alone) == digests(packed[k : k + 1])


def split_like(dataset: str, samples: int, classes: int, numbers: np.random.Generator) -> Split:
    labels = numbers.integers(0, classes, samples).astype(np.uint8)
    if dataset == "mnist":
        return Split(numbers.integers(0, 256, (samples, 784)).astype(np.uint8), labels)
    rows = [np.unique((10_000 * numbers.random(200) ** 4).astype(np.uint16)) for _ in range(samples)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Split(MultiHot(indptr, np.concatenate(rows), 10_000), labels)


# --- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_loss_that_is_not_finite_stops_training_and_names_seed_and_epoch(dataset: str) -> None:
    wild = with_optimizer(dataset, name="sgd", learning_rate=10.0, momentum=0.99)
    steep = wild.model_copy(update={"variants": {"l2": Variant(l2=10.0)}})
    epochs: list[int] = []
    with pytest.raises(TrainingError, match=r"seed \d: \w+ is (nan|inf) at epoch \d+, expected a finite") as caught:
        fit(dataset, "l2", [3, 4], steep, epochs=30, on_epoch=lambda epoch, _: epochs.append(epoch))
    assert wild.datasets[dataset].title in str(caught.value)
    assert "learning_rate" in str(caught.value)
    assert f"epoch {len(epochs) + 1}," in str(caught.value)


def test_tensorflow_can_be_set_up_again_for_another_number_of_packs() -> None:
    trainer.configure(2, 1)
    trainer.configure(3, 2)


# --- on the real data --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """The real training reviews: of this checkout, or made from the mirror."""
    from feedforward.data import preparation
    from feedforward.data.sources import download

    made = ROOT / "data" / "vectorized" / "imdb"
    if (made / "manifest.json").exists():
        return Split.load(made / "train")
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


def stock_keras(train: Split, validation: Split, seed: int, epochs: int) -> dict[str, list[float]]:
    """The lecture's script: dense float32, Keras's own initial weights, order of batches and step."""
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(16, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((10_000,)), *hidden, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(
        dense(train.features),
        train.labels.astype(np.float32),
        batch_size=512,
        epochs=epochs,
        validation_data=(dense(validation.features), validation.labels.astype(np.float32)),
        verbose=0,
    )
    return history.history


@pytest.mark.real
def test_over_seeds_the_real_reviews_give_what_stock_keras_gives(reviews: Split) -> None:
    params = load_params(ROOT / "params.yaml")
    data, variant = params.datasets["imdb"], params.variants["original"]
    train, validation = reviews.rows(10_000, 25_000), reviews.rows(0, 10_000)
    ours = [trainer.fit(data, variant, train, validation, [s], s, 6)[0].curves for s in range(5)]  # orders as Keras's
    theirs = [stock_keras(train, validation, seed, 6) for seed in range(3)]
    for name, best, bound in (("val_loss", min, 0.02), ("val_accuracy", max, 0.01), ("loss", min, 0.02)):
        left, right = (np.array([best(curves[name]) for curves in runs]) for runs in (ours, theirs))
        error = np.sqrt(left.var(ddof=1) / len(left) + right.var(ddof=1) / len(right))  # Welch's
        difference = abs(left.mean() - right.mean())
        assert difference < bound, (name, left, right)
        assert difference < max(4 * error, bound / 4), (name, left, right)
