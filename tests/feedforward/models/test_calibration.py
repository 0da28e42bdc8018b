"""Calibration: known cases, and temperature scaling, which removes overconfidence and changes no prediction."""

import math

import networks
import numpy as np
import pytest

from feedforward.models import calibration

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 1.5, (20_000, 3))
LABELS = (np.exp(calibration.log_probabilities(LOGITS)).cumsum(1) > RNG.random((20_000, 1))).argmax(1)


def test_true_probabilities_are_calibrated_but_doubled_logits_are_not() -> None:
    calibrated, overconfident = (calibration.measure(LOGITS * scale, LABELS) for scale in (1, 2))
    assert calibrated.ece < 0.01
    assert calibrated.temperature == pytest.approx(1, rel=0.04)
    assert overconfident.ece > 0.1
    assert overconfident.scaled_ece < overconfident.ece / 10
    assert overconfident.temperature == pytest.approx(2, rel=0.04)
    # refinement is the part of the loss that no temperature removes
    assert overconfident.refinement == pytest.approx(calibrated.refinement, rel=1e-3)
    assert overconfident.brier > calibrated.brier


def test_refinement_is_the_lowest_cross_entropy_of_any_temperature() -> None:
    label_indexes = np.arange(len(LABELS)), LABELS
    losses = [-calibration.log_probabilities(LOGITS / t)[label_indexes].mean() for t in np.linspace(0.5, 2, 31)]
    assert calibration.measure(LOGITS, LABELS).refinement == pytest.approx(min(losses), abs=2e-4)


@pytest.mark.parametrize("samples", [300, 10_000])
def test_bias_correction_removes_at_least_a_quarter_of_the_bias(samples: int) -> None:
    parts = [(LOGITS[k : k + samples], LABELS[k : k + samples]) for k in range(0, 20_000, samples)]
    bins = [calibration.reliability(np.exp(calibration.log_probabilities(z)), y) for z, y in parts]
    uncorrected = np.mean([np.average(abs(b[:, 1] - b[:, 2]), weights=b[:, 0]) for b in bins])
    assert np.mean([calibration.expected_error(b) for b in bins]) < 0.75 * uncorrected


def test_binary_and_multilabel_outputs_are_treated_as_two_class_predictions() -> None:
    logits, truth = LOGITS[:, :1], (LABELS == 0).astype(np.uint8)
    binary = calibration.measure(logits, truth)
    two_classes = calibration.measure(np.concatenate([np.zeros_like(logits), logits], axis=1), truth)
    assert binary.ece == two_classes.ece
    assert binary.temperature == two_classes.temperature
    multilabel = calibration.measure(np.repeat(logits, 2, axis=1), np.stack([truth, truth], axis=1))
    assert multilabel.temperature == pytest.approx(binary.temperature, rel=1e-3)
    assert multilabel.brier == pytest.approx(binary.brier)


def test_bins_have_equal_numbers_of_samples_and_increasing_confidence() -> None:
    bins = calibration.measure(LOGITS[:1000], LABELS[:1000]).bins
    assert bins[:, 0].sum() == 1000
    assert np.ptp(bins[:, 0]) <= 1
    assert (np.diff(bins[:, 1]) >= 0).all()


@pytest.mark.parametrize(
    ("logits", "labels"),
    [([[5.0]], [1]), ([[9.0], [-9.0]], [1, 0]), ([[0.0], [0.0]], [1, 1]), ([[1e30], [-1e30], [2.0]], [0, 1, 1])],
)
def test_temperature_is_finite_for_few_or_extreme_samples(logits: list[list[float]], labels: list[int]) -> None:
    measured = calibration.measure(np.array(logits, np.float32), np.array(labels, np.uint8))
    assert calibration.LIMITS[0] <= measured.temperature <= calibration.LIMITS[1]
    assert math.isfinite(measured.ece)


def test_non_finite_logits_give_non_finite_metrics() -> None:
    assert math.isnan(calibration.measure(np.full((3, 1), np.nan), np.array([0, 1, 1])).ece)


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("temperature", [0.2, 1.7, 30.0])
def test_temperature_changes_probabilities_but_not_predictions(outputs: int, temperature: float) -> None:
    from dataclasses import replace

    network = networks.network([20, 8, outputs], ["relu", "sigmoid" if outputs == 1 else "softmax"])
    features = np.random.default_rng(0).random((500, 20)).astype(np.float32)
    scaled = replace(network, temperature=temperature)
    before, after = network.probabilities(features), scaled.probabilities(features)
    np.testing.assert_array_equal(before.argmax(1), after.argmax(1))
    np.testing.assert_allclose(after.sum(1), 1)
    assert (after.max(1) < before.max(1)).all() == (temperature > 1)
    assert (scaled.outputs(features) > 0.5).tolist() == (after[:, -outputs:] > 0.5).tolist()
