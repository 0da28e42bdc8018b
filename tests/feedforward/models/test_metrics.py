"""AUC, F1, R² and losses against scikit-learn, whose formulas they follow."""

import numpy as np
import pytest
from sklearn import metrics

from feedforward.models import metrics as scores
from feedforward.models.numpy_network import Layer, Network

ROWS = 200


def network(last: str, units: int) -> Network:
    return Network(1.0, (Layer(np.zeros((1, units), np.float32), np.zeros(units, np.float32), last),))


@pytest.mark.parametrize("classes", [2, 4])
def test_classification_metrics_match_scikit_learn(classes: int) -> None:
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, classes, ROWS).astype(np.uint8)
    logits = numbers.normal(0, 2, (ROWS, classes if classes > 2 else 1)).round(1).astype(np.float32)  # with ties
    model = network("softmax" if classes > 2 else "sigmoid", logits.shape[1])
    measured, chances = scores.measure(model, logits, labels), model.to_probabilities(logits)
    if classes == 2:
        expected = metrics.roc_auc_score(labels, chances[:, 1]), metrics.f1_score(labels, chances.argmax(1))
    else:
        area = metrics.roc_auc_score(labels, chances / chances.sum(1, keepdims=True), multi_class="ovr")
        expected = area, metrics.f1_score(labels, chances.argmax(1), average="macro")
    assert (measured["auc"], measured["f1"]) == pytest.approx(expected)
    assert scores.losses(model, logits, labels).mean() == pytest.approx(metrics.log_loss(labels, chances))
    assert scores.correct(model, logits, labels).mean() == metrics.accuracy_score(labels, chances.argmax(1))


def test_multilabel_metrics_match_scikit_learn() -> None:
    numbers = np.random.default_rng(1)
    labels = numbers.integers(0, 2, (ROWS, 3)).astype(np.uint8)
    logits = numbers.normal(0, 2, (ROWS, 3)).astype(np.float32)
    model = network("sigmoid", 3)
    measured, chances = scores.measure(model, logits, labels), model.activate(logits)
    assert measured["auc"] == pytest.approx(metrics.roc_auc_score(labels, chances, average="macro"))
    assert measured["f1"] == pytest.approx(metrics.f1_score(labels, chances > 0.5, average="macro"))
    each = [metrics.log_loss(labels[:, k], chances[:, k]) for k in range(3)]
    assert scores.losses(model, logits, labels).mean() == pytest.approx(np.mean(each))
    assert scores.correct(model, logits, labels).shape == (ROWS, 3)


def test_regression_metrics_match_scikit_learn() -> None:
    numbers = np.random.default_rng(2)
    labels = numbers.normal(0, 1, ROWS).astype(np.float32)
    logits = (labels[:, None] + numbers.normal(0, 0.5, (ROWS, 1))).astype(np.float32)
    model = network("linear", 1)
    assert scores.measure(model, logits, labels)["r2"] == pytest.approx(metrics.r2_score(labels, logits[:, 0]))
    error = metrics.mean_squared_error(labels, logits[:, 0])
    assert scores.losses(model, logits, labels).mean() == pytest.approx(error)
    assert scores.correct(model, logits, labels).shape == (ROWS, 0)


def test_undefined_metrics_are_left_out() -> None:
    logits = np.zeros((3, 1), np.float32)
    assert set(scores.measure(network("sigmoid", 1), logits, np.zeros(3, np.uint8))) == {"f1"}
    assert scores.measure(network("linear", 1), logits, np.zeros(3, np.float32)) == {}
