"""Training against Keras's own `fit`, against itself alone, and against itself again."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from small_data import HELD_OUT, TRAIN, dense, split, values, write_params
from small_data import params as small_params

from feedforward import network, training
from feedforward.errors import TrainingError
from feedforward.packing import weights_digest
from feedforward.params import Dataset, Optimizer, Params, Variant, load_params
from feedforward.splits import MultiHot, Split
from feedforward.training import Replica

ROOT = Path(__file__).parents[2]
DATASETS = ("tones", "notes")
VARIANTS = ("original", "smaller", "larger", "l2", "dropout")
EPOCHS = 4

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Params:
    return small_params(tmp_path_factory.mktemp("params"))


def parts(dataset: str) -> tuple[Split, Split]:
    whole = split(dataset)
    return whole.rows(HELD_OUT, TRAIN), whole.rows(0, HELD_OUT)


def fit(params: Params, dataset: str, variant: str, seeds: Sequence[int], **how: Any) -> list[Replica]:
    train, validation = parts(dataset)
    given = {"order_seed": 3, "epochs": EPOCHS} | how
    return training.fit(params.datasets[dataset], params.variants[variant], train, validation, seeds, **given)


def with_optimizer(params: Params, dataset: str, **optimizer: Any) -> Params:
    old = params.datasets[dataset]
    learning = old.training.model_copy(update={"optimizer": Optimizer(**optimizer)})
    return params.model_copy(update={"datasets": {dataset: old.model_copy(update={"training": learning})}})


def compiled(dataset: Dataset, variant: Variant, features: int, seed: int) -> keras.Model:
    """The model as a plain Keras script compiles it."""
    model = network.build(dataset, variant, features, seed)
    optimizer = dataset.training.optimizer
    kinds = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}
    rule = kinds[optimizer.name](optimizer.learning_rate)
    model.compile(optimizer=rule, loss=network.TASKS[dataset.task].loss, metrics=["accuracy"])
    return model


# --- as Keras ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize(("variant", "optimizer"), [("original", "rmsprop"), ("l2", "rmsprop"), ("larger", "adam")])
def test_curves_and_weights_are_those_of_keras_fit_on_the_same_batches(
    params: Params, dataset: str, variant: str, optimizer: str
) -> None:
    params = with_optimizer(params, dataset, name=optimizer)
    train, validation = parts(dataset)
    (replica,) = fit(params, dataset, variant, [4])
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
@pytest.mark.parametrize("variant", VARIANTS)
def test_evaluate_is_keras_evaluate(params: Params, dataset: str, variant: str) -> None:
    data = split(dataset)
    models = [
        compiled(params.datasets[dataset], params.variants[variant], data.features.shape[1], seed) for seed in (0, 1)
    ]
    for found, model in zip(training.evaluate(models, data), models, strict=True):
        expected = model.evaluate(dense(data.features), data.labels, verbose=0, return_dict=True)
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)
        assert found["loss"] - found["cross_entropy"] == pytest.approx(float(sum(model.losses)), abs=1e-6)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_last_validation_figures_are_those_of_the_model_that_is_returned(params: Params, dataset: str) -> None:
    for replica in fit(params, dataset, "l2", [0, 1]):
        (figures,) = training.evaluate([replica.model], parts(dataset)[1])
        for name, value in figures.items():
            assert replica.curves[f"val_{name}"][-1] == pytest.approx(value, rel=1e-6)


def test_evaluation_does_not_depend_on_how_rows_are_batched(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [replica.model for replica in fit(params, "notes", "original", [0])]
    (whole,) = training.evaluate(models, split("notes"))
    monkeypatch.setattr(training, "EVALUATION_ROWS", 7)
    (pieces,) = training.evaluate(models, split("notes"))
    assert pieces == pytest.approx(whole, rel=1e-6)


def test_small_data_are_learned(params: Params) -> None:
    for dataset in DATASETS:
        easier = with_optimizer(params, dataset, learning_rate=0.01)
        (replica,) = fit(easier, dataset, "original", [0], epochs=15)
        assert replica.curves["accuracy"][-1] > 0.9


# --- curves ------------------------------------------------------------------------------------


def test_curves_have_a_value_an_epoch_and_the_loss_holds_the_penalty(params: Params) -> None:
    (plain,), (penalised,) = fit(params, "notes", "original", [0]), fit(params, "notes", "l2", [0])
    names = {"loss", "accuracy", "cross_entropy", "val_loss", "val_accuracy", "val_cross_entropy"}
    assert set(plain.curves) == names
    assert {len(curve) for curve in plain.curves.values()} == {EPOCHS}
    assert plain.curves["loss"] == plain.curves["cross_entropy"]
    for prefix in ("", "val_"):
        for loss, free in zip(
            penalised.curves[f"{prefix}loss"], penalised.curves[f"{prefix}cross_entropy"], strict=True
        ):
            assert loss > free + 0.01


def test_without_validation_there_are_no_validation_curves(params: Params) -> None:
    train, _ = parts("tones")
    (replica,) = training.fit(params.datasets["tones"], params.variants["original"], train, None, [0], 3, 2)
    assert set(replica.curves) == {"loss", "accuracy", "cross_entropy"}


def test_validation_does_not_change_what_is_learned(params: Params) -> None:
    train, _ = parts("notes")
    (unwatched,) = training.fit(params.datasets["notes"], params.variants["dropout"], train, None, [0], 3, EPOCHS)
    assert digests([unwatched]) == digests(fit(params, "notes", "dropout", [0]))


def test_each_epoch_is_reported_with_the_mean_loss(params: Params) -> None:
    seen: list[tuple[int, float]] = []
    replicas = fit(params, "tones", "original", [0, 1], on_epoch=lambda epoch, loss: seen.append((epoch, loss)))
    losses = np.mean([replica.curves["loss"] for replica in replicas], axis=0)
    assert [epoch for epoch, _ in seen] == list(range(1, EPOCHS + 1))
    np.testing.assert_allclose([loss for _, loss in seen], losses)


# --- packs -------------------------------------------------------------------------------------


def digests(replicas: Sequence[Replica]) -> list[str]:
    return [weights_digest(replica.model) for replica in replicas]


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_replica_k_packed_is_replica_k_alone_bit_by_bit_so_that_fingerprints_need_not_know_the_pack(
    params: Params, dataset: str, variant: str
) -> None:
    packed = fit(params, dataset, variant, [0, 1, 2, 7])
    for k in (0, 3):
        (alone,) = fit(params, dataset, variant, [packed[k].seed])
        for a, b in zip(alone.model.get_weights(), packed[k].model.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)  # what is needed anywhere
        assert digests([alone]) == digests(packed[k : k + 1])  # what holds on a CPU
        for name, curve in alone.curves.items():
            assert packed[k].curves[name] == pytest.approx(curve, rel=1e-6)


@pytest.mark.parametrize("variant", ["original", "dropout"])
def test_further_seeds_leave_the_earlier_ones_unchanged(params: Params, variant: str) -> None:
    few, many = fit(params, "notes", variant, range(2)), fit(params, "notes", variant, range(5))
    assert digests(few) == digests(many[:2])
    assert len(set(digests(many))) == 5


def test_the_order_of_the_batches_matters_and_is_the_same_for_all_replicas(params: Params) -> None:
    assert digests(fit(params, "tones", "original", [0])) != digests(
        fit(params, "tones", "original", [0], order_seed=4)
    )
    first, second = (fit(params, "tones", "original", [seed]) for seed in (0, 1))
    assert digests(fit(params, "tones", "original", [0, 1])) == digests([*first, *second])


SCRIPT = """
import sys
from pathlib import Path
from feedforward import experiment
experiment.prepare(int(sys.argv[2]))
from small_data import HELD_OUT, TRAIN, split
from feedforward import training
from feedforward.packing import weights_digest
from feedforward.params import load_params
params = load_params(Path(sys.argv[1]))
for dataset in ("tones", "notes"):
    whole = split(dataset)
    for variant in ("original", "dropout"):
        for replica in training.fit(
            params.datasets[dataset], params.variants[variant], whole.rows(HELD_OUT, TRAIN), None, [0, 1], 3, 4
        ):
            print(weights_digest(replica.model))
"""


@pytest.mark.slow
def test_a_seed_gives_the_same_bytes_in_a_fresh_process_with_any_number_of_threads(
    tmp_path: Path, params: Params
) -> None:
    path = write_params(tmp_path / "params.yaml", values())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    seen = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path), jobs], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for jobs in ("1", "2")
    ]
    assert seen[0] == seen[1]
    here = [
        digest
        for dataset in DATASETS
        for variant in ("original", "dropout")
        for digest in digests(
            training.fit(params.datasets[dataset], params.variants[variant], parts(dataset)[0], None, [0, 1], 3, EPOCHS)
        )
    ]
    assert seen[0] == here


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "variant", "together"),
    [
        ("imdb", "original", 20),
        ("imdb", "smaller", 80),
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
    packed = training.fit(entry, params.variants[variant], data, None, range(together), 0, 1)
    for k in (0, together - 1):
        alone = training.fit(entry, params.variants[variant], data, None, [k], 0, 1)
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
def test_a_loss_that_is_not_finite_stops_training_and_names_seed_and_epoch(params: Params, dataset: str) -> None:
    wild = with_optimizer(params, dataset, name="sgd", learning_rate=10.0, momentum=0.99)
    steep = wild.model_copy(update={"variants": {"l2": Variant(l2=10.0)}})
    epochs: list[int] = []
    with pytest.raises(TrainingError, match=r"seed \d: \w+ is (nan|inf) at epoch \d+, expected a finite") as caught:
        fit(steep, dataset, "l2", [3, 4], epochs=30, on_epoch=lambda epoch, _: epochs.append(epoch))
    assert wild.datasets[dataset].title in str(caught.value)
    assert "learning_rate" in str(caught.value)
    assert f"epoch {len(epochs) + 1}," in str(caught.value)


def test_tensorflow_can_be_set_up_again_for_another_number_of_packs() -> None:
    training.configure(2)
    training.configure(3)
