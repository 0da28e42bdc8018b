"""AUC, F1, R² and losses against scikit-learn, whose formulas they follow."""

import numpy as np
import pytest
from sklearn import metrics as sk_metrics

from feedforward.models import metrics
from feedforward.models.numpy_network import Layer, Network

ROWS = 200


def network(activation: str, units: int) -> Network:
    return Network(1.0, (Layer(np.zeros((1, units), np.float32), np.zeros(units, np.float32), activation),))


@pytest.mark.parametrize("classes", [2, 4])
def test_classification_metrics_match_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, ROWS).astype(np.uint8)
    logits = rng.normal(0, 2, (ROWS, classes if classes > 2 else 1)).round(1).astype(np.float32)  # with ties
    model = network("softmax" if classes > 2 else "sigmoid", logits.shape[1])
    measured, probabilities = metrics.measure(model, logits, labels), model.to_probabilities(logits)
    if classes == 2:
        expected = (
            sk_metrics.roc_auc_score(labels, probabilities[:, 1]),
            sk_metrics.f1_score(labels, probabilities.argmax(1)),
        )
    else:
        area = sk_metrics.roc_auc_score(labels, probabilities / probabilities.sum(1, keepdims=True), multi_class="ovr")
        expected = area, sk_metrics.f1_score(labels, probabilities.argmax(1), average="macro")
    assert (measured["auc"], measured["f1"]) == pytest.approx(expected)
    assert metrics.losses(model, logits, labels).mean() == pytest.approx(sk_metrics.log_loss(labels, probabilities))
    assert metrics.correct(model, logits, labels).mean() == sk_metrics.accuracy_score(labels, probabilities.argmax(1))


def test_a_class_that_neither_occurs_nor_is_predicted_does_not_lower_f1() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, ROWS).astype(np.uint8)
    logits = rng.normal(0, 2, (ROWS, 4)).astype(np.float32)
    logits[:, 3] = -99
    measured = metrics.measure(network("softmax", 4), logits, labels)
    assert measured == {"f1": pytest.approx(sk_metrics.f1_score(labels, logits.argmax(1), average="macro"))}


def test_multilabel_metrics_match_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (ROWS, 3)).astype(np.uint8)
    logits = rng.normal(0, 2, (ROWS, 3)).astype(np.float32)
    model = network("sigmoid", 3)
    measured, probabilities = metrics.measure(model, logits, labels), model.activate(logits)
    assert measured["auc"] == pytest.approx(sk_metrics.roc_auc_score(labels, probabilities, average="macro"))
    assert measured["f1"] == pytest.approx(sk_metrics.f1_score(labels, probabilities > 0.5, average="macro"))
    losses = [sk_metrics.log_loss(labels[:, k], probabilities[:, k]) for k in range(3)]
    assert metrics.losses(model, logits, labels).mean() == pytest.approx(np.mean(losses))
    assert metrics.correct(model, logits, labels).shape == (ROWS, 3)


def test_regression_metrics_match_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    labels = rng.normal(0, 1, ROWS).astype(np.float32)
    predicted = (labels[:, None] + rng.normal(0, 0.5, (ROWS, 1))).astype(np.float32)
    model = network("linear", 1)
    assert metrics.measure(model, predicted, labels)["r2"] == pytest.approx(
        sk_metrics.r2_score(labels, predicted[:, 0])
    )
    expected = sk_metrics.mean_squared_error(labels, predicted[:, 0])
    assert metrics.losses(model, predicted, labels).mean() == pytest.approx(expected)
    assert metrics.correct(model, predicted, labels).shape == (ROWS, 0)


def test_undefined_metrics_are_left_out() -> None:
    logits = np.zeros((3, 1), np.float32)
    assert set(metrics.measure(network("sigmoid", 1), logits, np.zeros(3, np.uint8))) == {"f1"}
    assert metrics.measure(network("linear", 1), logits, np.zeros(3, np.float32)) == {}
