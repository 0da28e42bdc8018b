"""Synthetic predictions without training, and runs whose calibration and errors are computed from them."""

import dataclasses
from collections.abc import Iterable

import networks
import numpy as np

from feedforward.analysis.run_result import RunResult
from feedforward.experiments import evaluation
from feedforward.models import calibration, error_analysis
from feedforward.models.calibration import Labels, Numbers

SAMPLES = 1500


def predictions(classes: int, seed: int, confidence: float = 1.0, samples: int = SAMPLES) -> tuple[Numbers, Labels]:
    """Return logits of shape (samples, classes or 1), and labels. confidence: 1 gives the true probabilities."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 2.0, (samples, classes))
    labels = (np.exp(calibration.log_probabilities(truth)).cumsum(1) > rng.random((samples, 1))).argmax(1)
    logits = truth[:, 1:] - truth[:, :1] if classes == 2 else truth
    return confidence * logits, labels


def with_calibration(run: RunResult, classes: int) -> RunResult:
    """Add calibration curves to a replica, as if its confidence grew from 0.5 to 2.2 times the true one."""
    epochs = len(run.curves["loss"])
    confidences = np.linspace(0.5, 2.2, epochs)
    measured = [calibration.measure(*predictions(classes, run.seed, confidence)) for confidence in confidences]
    curves = {f"calibration/{name}": [getattr(epoch, name) for epoch in measured] for name in calibration.FIGURES}
    best = int(np.argmin(run.curves["val_cross_entropy"]))
    reliability = {
        "best": measured[best].bins.tolist(),
        "best_scaled": measured[best].scaled_bins.tolist(),
        "last": measured[-1].bins.tolist(),
        "last_scaled": measured[-1].scaled_bins.tolist(),
    }
    curves |= run.curves
    metrics = evaluation.summarize(curves, run.measured)
    return dataclasses.replace(run, curves=curves, metrics=metrics, reliability=reliability)


def with_errors(run: RunResult, classes: int) -> RunResult:
    """Add an error analysis of synthetic predictions to a final run."""
    logits, labels = predictions(classes, run.seed)
    network = networks.network([3, logits.shape[1]], ["sigmoid" if classes == 2 else "softmax"])
    return dataclasses.replace(run, errors=error_analysis.analyze(network, logits.astype(np.float32), labels))


def complete(runs: Iterable[RunResult], classes: dict[str, int]) -> list[RunResult]:
    """Add calibration to replicas and an error analysis to final runs. classes: number of classes by dataset."""
    return [
        with_errors(run, classes[run.dataset]) if run.role == "final" else with_calibration(run, classes[run.dataset])
        for run in runs
    ]
