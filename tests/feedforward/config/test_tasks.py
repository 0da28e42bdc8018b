"""Multi-label and regression tasks, compared with plain Keras; early stopping; keys that contradict the task."""

import json
from typing import Any

import keras
import numpy as np
import pytest
from small_data import split, values

from feedforward.config.schema import Dataset, Params, Variant, check
from feedforward.config.tasks import TASKS
from feedforward.data.splits import Split, Subset
from feedforward.training import network, trainer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]


def params(task: str, labels: list[str], **training_changes: Any) -> Params:
    """Return the small params with a different task, not cross-checked, because idx files cannot contain its labels."""
    small_values = values()
    small_values["datasets"]["tones"]["training"] |= training_changes
    small = Params.model_validate_json(json.dumps(small_values))
    tones = small.datasets["tones"].model_copy(update={"task": task, "labels": tuple(labels)})
    return small.model_copy(update={"datasets": small.datasets | {"tones": tones}})


def data(task: str) -> Split:
    """Return the small gray pictures, with labels for this task that depend on the pixels."""
    samples = split("tones")
    pixels = np.asarray(samples.features, np.float64)
    mean = pixels.mean(axis=1)
    brightness = ((mean - mean.min()) / np.ptp(mean)).astype(np.float32)
    labels = {
        "multilabel": np.stack([brightness > 0.3, brightness > 0.6, pixels[:, 0] > 100], axis=1).astype(np.uint8),
        "regression": ((brightness - brightness.mean()) / brightness.std()).astype(np.float32),
        "unit_regression": brightness,
    }
    return Split(samples.features, labels[task])


def fit(
    dataset: Dataset, variants: dict[str, Variant], train: Split, validation: Split | None, epochs: int
) -> list[Any]:
    held_out = Subset(validation) if validation else None
    return trainer.fit(dataset, variants, Subset(train), held_out, 1, np.random.default_rng(3), epochs)


def assert_same(alone: trainer.Replica, packed: trainer.Replica) -> None:
    """Assert that two replicas have identical weights, curves and measurements."""
    assert trainer.weights_digest(alone.model) == trainer.weights_digest(packed.model)
    assert (alone.curves, alone.measured) == (packed.curves, packed.measured)


LABELS = {"multilabel": ["a", "b", "c"], "regression": ["size"], "unit_regression": ["share"]}


@pytest.mark.parametrize("task", LABELS)
def test_packed_training_matches_training_alone_and_evaluation_matches_keras(task: str) -> None:
    small = params(task, LABELS[task])
    dataset, train = small.datasets["tones"], data(task)
    packed = fit(dataset, {name: small.variants[name] for name in ("l2", "smaller", "original")}, train, train, 4)
    [alone] = fit(dataset, {"smaller": small.variants["smaller"]}, train, train, 4)
    assert_same(alone, packed[1])
    score = "mae" if task.endswith("regression") else "accuracy"
    assert packed[0].curves[f"val_{score}"][-1] != packed[0].curves[f"val_{score}"][0]
    model = packed[0].model
    metric = keras.metrics.MeanAbsoluteError() if score == "mae" else keras.metrics.BinaryAccuracy()
    model.compile(loss=TASKS[task].loss, metrics=[metric])
    features = np.asarray(train.features, np.float32)
    keras_loss, keras_score = model.evaluate(features, train.labels.reshape(len(train), -1), batch_size=50, verbose=0)
    [evaluated] = trainer.evaluate([model], Subset(train))
    assert evaluated["loss"] == pytest.approx(keras_loss, abs=1e-5)
    assert evaluated[score] == pytest.approx(keras_score, abs=1e-5)
    assert packed[0].curves["cross_entropy"][-1] < packed[0].curves["cross_entropy"][0]


@pytest.mark.parametrize("name", ["rmsprop", "sgd", "adam"])
def test_learning_rate_decay_matches_keras(name: str) -> None:
    optimizer = {"name": name, "learning_rate": 0.01, "decay": {"kind": "exponential", "factor": 0.5}}
    small = params("regression", ["size"], optimizer=optimizer, batch_size=90)
    dataset, variant, train = small.datasets["tones"], small.variants["original"], data("regression")
    [replica] = trainer.fit(dataset, {"original": variant}, Subset(train), None, 0, np.random.default_rng(0), 3)
    keras_model = network.build(dataset, variant, train.features.shape[1], 0)
    optimizer_class = {"rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[
        name
    ]
    keras_model.compile(optimizer_class(0.01), loss="mean_squared_error")
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 * 0.5**epoch)
    features = np.asarray(train.features, np.float32)
    keras_model.fit(features, train.labels, batch_size=90, epochs=3, shuffle=False, verbose=0, callbacks=[scheduler])
    for weights, keras_weights in zip(replica.model.get_weights(), keras_model.get_weights(), strict=True):
        np.testing.assert_allclose(weights, keras_weights, atol=2e-5)


@pytest.mark.parametrize("dataset_name", ["tones", "notes"])
def test_early_stopping_keeps_the_best_weights_alone_and_in_a_pack(dataset_name: str) -> None:
    small_values = values()
    optimizer = {"name": "rmsprop", "learning_rate": 0.03}
    small_values["datasets"][dataset_name]["training"] |= {"early_stopping": {"patience": 2}, "optimizer": optimizer}
    small = Params.model_validate_json(json.dumps(small_values))
    dataset, variants = small.datasets[dataset_name], ("original", "smaller", "dropout")
    samples = split(dataset_name)
    train, held_out = samples.rows(0, 50), samples.rows(50, len(samples))
    packed = fit(dataset, {name: small.variants[name] for name in variants}, train, held_out, 30)
    for replica in packed:
        curve = replica.curves["val_cross_entropy"]
        best = int(np.argmin(curve))
        assert len(curve) in (best + 3, 30)
        [evaluated] = trainer.evaluate([replica.model], Subset(held_out))
        assert evaluated["cross_entropy"] == pytest.approx(curve[best], abs=1e-6)
    [alone] = fit(dataset, {"original": small.variants["original"]}, train, held_out, 30)
    assert_same(alone, packed[0])


@pytest.mark.proves("A replica that has stopped early keeps its result even if its weights diverge later in its pack")
def test_a_replica_that_diverges_after_it_has_stopped_has_the_same_result_as_alone() -> None:
    optimizer = {"name": "sgd", "learning_rate": 0.2}
    small = params("regression", ["size"], early_stopping={"patience": 2}, optimizer=optimizer)
    dataset, train = small.datasets["tones"], data("regression")
    variants = {"steep": Variant(l2=5.0), "original": Variant()}
    packed, slower = fit(dataset, variants, train, train, 60)
    [alone] = fit(dataset, {"steep": variants["steep"]}, train, train, 60)
    assert len(slower.curves["loss"]) > len(alone.curves["loss"])
    assert_same(alone, packed)


@pytest.mark.proves("Early stopping keeps the weights of the epoch whose metrics it reports")
def test_weights_are_those_of_the_reported_epoch_even_with_min_delta() -> None:
    """A decrease below `min_delta` does not count as improvement, but gives a lower loss."""
    small_values = values()
    small_values["datasets"]["tones"]["training"] |= {"early_stopping": {"patience": 4, "min_delta": 0.05}}
    small = Params.model_validate_json(json.dumps(small_values))
    samples = split("tones")
    train, held_out = samples.rows(0, 50), samples.rows(50, len(samples))
    [replica] = fit(small.datasets["tones"], {"original": small.variants["original"]}, train, held_out, 30)
    losses = replica.curves["val_cross_entropy"]
    assert len(losses) < 30
    [metrics] = trainer.evaluate([replica.model], Subset(held_out))
    assert metrics["cross_entropy"] == pytest.approx(min(losses), abs=1e-6)
    [train_metrics] = trainer.evaluate([replica.model], Subset(train))
    assert replica.measured["best_cross_entropy"] == pytest.approx(train_metrics["cross_entropy"], abs=1e-6)


CONTRADICTIONS = [
    ({"task": "binary"}, "labels: their number must be 2 for `task: binary`, got 3"),
    (
        {"task": "regression", "labels": ["a", "b"]},
        r"labels: their number must be 1 for `task: regression` \(the name of the value\)",
    ),
    ({"task": "multilabel"}, "`kind: idx` reads one class per sample"),
    ({"reader": {"kind": "table", "file": "features", "target": ["x"], "numeric": ["x"]}}, "must be in only one of"),
    (
        {"reader": {"kind": "table", "file": "features", "target": ["x"], "numeric": ["z"]}},
        "reader.classes: is missing",
    ),
    (
        {
            "reader": {
                **{"kind": "table", "file": "features", "target": ["y"], "numeric": ["x"]},
                **{"classes": ["a", "b", "c"], "excluded_classes": ["d", "b"]},
            }
        },
        "reader.excluded_classes: b is also in `classes`",
    ),
    (
        {
            "task": "regression",
            "labels": ["y"],
            "reader": {
                **{"kind": "table", "file": "features"},
                "target": ["y"],
                "numeric": ["x"],
                "excluded_classes": ["d"],
            },
        },
        "reader.excluded_classes: is for a target that is a class",
    ),
    (
        {"reader": {"kind": "labeled_text", "file": "features", "classes": ["a", "b", "c"], "num_words": 9}},
        "needs either",
    ),
]


@pytest.mark.proves("Contradictions in params.yaml are refused before any work")
@pytest.mark.parametrize(("changes", "problem"), CONTRADICTIONS)
def test_params_that_contradict_the_task_or_reader_are_rejected(changes: dict[str, Any], problem: str) -> None:
    from feedforward.config import yaml_reader
    from feedforward.core.errors import ParamsError

    small_values = values()
    small_values["datasets"]["tones"] |= changes
    with pytest.raises(ParamsError, match=problem):
        check(yaml_reader.freeze(small_values), "params.yaml")


def test_a_parameter_of_another_optimizer_is_rejected() -> None:
    with pytest.raises(ValueError, match="is not a parameter of sgd"):
        params("multiclass", ["a", "b", "c"], optimizer={"name": "sgd", "beta_1": 0.5})
