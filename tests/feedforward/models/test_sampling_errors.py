"""Standard errors over test samples, against the jackknife, published formulas and simulations."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from feedforward.models import metrics, sampling_errors
from feedforward.models.metrics import Labels, Numbers
from feedforward.models.numpy_network import Array, Layer, Network

Z = 1.959964


def network(activation: str, units: int) -> Network:
    return Network(1.0, (Layer(np.zeros((1, units), np.float32), np.zeros(units, np.float32), activation),))


def predictions(kind: str, samples: int, rng: np.random.Generator) -> tuple[Network, Array, Labels]:
    """Logits and labels of a task: `binary`, `multiclass`, `multilabel` or `regression`."""
    if kind == "regression":
        values = rng.normal(0, 1, (samples, 1))
        return network("linear", 1), (values + rng.normal(0, 0.5, values.shape)).astype(np.float32), values[:, 0]
    if kind == "multiclass":
        classes = rng.choice(4, samples, p=[0.1, 0.2, 0.3, 0.4])
        logits = np.eye(4)[classes] + rng.normal(0, 1, (samples, 4))
        return network("softmax", 4), logits.astype(np.float32), classes.astype(np.uint8)
    labels = (rng.random((samples, 3 if kind == "multilabel" else 1)) < 0.3).astype(np.uint8)
    logits = (1.5 * labels - 0.75 + rng.normal(0, 1, labels.shape)).round(1).astype(np.float32)  # with ties
    return network("sigmoid", labels.shape[1]), logits, labels if kind == "multilabel" else labels[:, 0]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_standard_errors_agree_with_the_jackknife(kind: str) -> None:
    model, logits, labels = predictions(kind, 600, np.random.default_rng(1))
    without = [
        metrics.measure(model, np.delete(logits, k, axis=0), np.delete(labels, k, axis=0)) for k in range(len(labels))
    ]
    measured = sampling_errors.measure(model, logits, labels)
    assert set(measured) == set(metrics.measure(model, logits, labels))
    for name, error in measured.items():
        values = np.array([entry[name] for entry in without])
        jackknife = math.sqrt((len(values) - 1) * values.var())
        assert jackknife < error * 1.01, name
        assert error < jackknife * 1.1, name


def test_a_share_has_the_standard_error_of_agresti_and_coull() -> None:
    adjusted = (17 + 2) / (17 + 4)
    assert sampling_errors.of_accuracy(np.ones(17)) == pytest.approx(math.sqrt(adjusted * (1 - adjusted) / 17))
    half = np.repeat([0.0, 1.0], 5000)
    assert sampling_errors.of_accuracy(half) == pytest.approx(half.std() / 100, rel=1e-4)
    assert sampling_errors.of_accuracy(np.repeat([0.0, 1.0], [3000, 22_000])) == pytest.approx(0.002055, abs=1e-6)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_perfect_predictions_for_few_samples_are_not_certain(kind: str) -> None:
    model, _, labels = predictions(kind, 17, np.random.default_rng(0))
    truths = labels if kind == "multilabel" else np.eye(4)[labels] if kind == "multiclass" else labels[:, None]
    logits = (8 * truths - 4.0).astype(np.float32)
    assert metrics.measure(model, logits, labels) == {"f1": 1, "auc": 1}
    assert all(0.03 < error < 0.2 for error in sampling_errors.measure(model, logits, labels).values())


def test_undefined_metrics_have_an_error_of_0() -> None:
    assert sampling_errors.of_mean(np.array([0.3])) == 0
    assert sampling_errors.measure(network("linear", 1), np.zeros((3, 1), np.float32), np.zeros(3)) == {"r2": 0}
    one_class = sampling_errors.measure(network("sigmoid", 1), -np.ones((3, 1), np.float32), np.zeros(3, np.uint8))
    assert one_class == {"f1": 0, "auc": 0}


def _accuracy(share: float, samples: int) -> Callable[[np.random.Generator], tuple[float, float]]:
    def draw(rng: np.random.Generator) -> tuple[float, float]:
        correct: Numbers = (rng.random(samples) < share).astype(float)
        return float(correct.mean()), sampling_errors.of_accuracy(correct)

    return draw


def _binary(name: str, distance: float, samples: int) -> Callable[[np.random.Generator], tuple[float, float]]:
    """Return a function that draws AUC or F1 and its error, for two classes with normal logits `distance` apart."""

    def draw(rng: np.random.Generator) -> tuple[float, float]:
        labels = (np.arange(samples) % 2).astype(np.uint8)
        logits = (distance * (labels - 0.5) + rng.normal(0, 1, samples)).astype(np.float32)[:, None]
        model = network("sigmoid", 1)
        return metrics.measure(model, logits, labels)[name], sampling_errors.measure(model, logits, labels)[name]

    return draw


def _loss(distance: float, samples: int) -> Callable[[np.random.Generator], tuple[float, float]]:
    """As `_binary`, for the loss of a model that knows the classes' distributions."""
    model = network("sigmoid", 1)

    def draw(rng: np.random.Generator) -> tuple[float, float]:
        labels = (np.arange(samples) % 2).astype(np.uint8)
        logits = distance * (distance * (labels - 0.5) + rng.normal(0, 1, samples)).astype(np.float32)[:, None]
        losses = metrics.losses(model, logits, labels)
        return float(losses.mean()), sampling_errors.of_loss(losses, model, logits, labels)

    return draw


def _true_loss(distance: float) -> float:
    return _loss(distance, 1_000_000)(np.random.default_rng(1))[0]


def _absolute_error(samples: int) -> Callable[[np.random.Generator], tuple[float, float]]:
    def draw(rng: np.random.Generator) -> tuple[float, float]:
        errors = np.abs(rng.laplace(size=samples))
        return float(errors.mean()), sampling_errors.of_mean(errors)

    return draw


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        *((_accuracy(share, n), share) for n in (17, 74, 300) for share in (0.8, 0.95, 0.99)),
        *((_binary("auc", d, n), _normal(d / math.sqrt(2))) for n in (18, 74) for d in (0.8, 1.8, 3.0)),
        *((_binary("f1", d, n), _normal(d / 2)) for n in (18, 74) for d in (0.8, 1.8, 3.0)),
        *((_loss(d, n), _true_loss(d)) for d in (1.8, 3.0, 4.0, 5.0) for n in (74, 300)),
        *((_absolute_error(n), 1.0) for n in (74, 300)),
    ],
)
def test_intervals_over_few_samples_cover_the_truth(
    draw: Callable[[np.random.Generator], tuple[float, float]], truth: float
) -> None:
    rng = np.random.default_rng(0)
    covered = np.mean([abs(value - truth) <= Z * error for value, error in (draw(rng) for _ in range(800))])
    assert covered >= 0.92
