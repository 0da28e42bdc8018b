"""Synthetic results without training: curves like the lecture's, with noise that differs between seeds."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.experiments import evaluation


@dataclass(frozen=True)
class Shape:
    """A validation curve: its limit `floor`, a decay with the time constant `tau`, and a rise of `climb` per epoch."""

    floor: float
    tau: float
    climb: float
    spread: float = 0.004  # standard deviation of the floor over seeds
    penalty: float = 0.0  # added to Keras's loss, but not to the cross-entropy


SHAPES = {  # by variant; similar to the lecture's curves
    "original": Shape(0.24, 1.3, 0.024),
    "smaller": Shape(0.25, 3.2, 0.011, spread=0.03),
    "larger": Shape(0.22, 0.8, 0.035),
    "l2": Shape(0.27, 1.2, 0.005, penalty=0.08),
    "dropout": Shape(0.23, 1.8, 0.015),
}


def replica_run(dataset: str, variant: str, seed: int, epochs: int, shape: Shape, protocol: str = "fair") -> RunResult:
    """Return a replica; the same arguments give the same run."""
    key = f"{dataset} {variant} {seed} {protocol}".encode()
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:8], "big"))
    epoch = np.arange(epochs)
    seed_effect = rng.normal(0, shape.spread)
    fall = 0.42 * np.exp(-epoch / shape.tau)
    cross_entropy = 0.01 + 0.55 * np.exp(-epoch / (1.8 * shape.tau)) + np.abs(rng.normal(0, 0.001, epochs))
    val = shape.floor + seed_effect + fall + shape.climb * epoch * rng.normal(1, 0.05) + rng.normal(0, 0.002, epochs)
    curves = {
        "loss": cross_entropy + shape.penalty,
        "accuracy": 1 - 0.4 * cross_entropy,
        "cross_entropy": cross_entropy,
        "val_loss": val + shape.penalty,
        "val_accuracy": 0.89 - 0.03 * fall - 0.001 * epoch + rng.normal(0, 0.002, epochs),
        "val_cross_entropy": val,
    }
    plain_curves = {name: curve.tolist() for name, curve in curves.items()}
    measured = {"best_cross_entropy": float(cross_entropy[np.argmin(val)])}
    return RunResult(
        dataset,
        variant,
        seed,
        protocol,
        "replica",
        plain_curves,
        evaluation.summarize(plain_curves, measured),
        hashlib.sha256(key).hexdigest(),
        measured,
        samples={"train": 15_000, "validation": 10_000},
    )


def final_run(dataset: str, variant: str, seed: int, epochs: int, accuracy: float, protocol: str = "fair") -> RunResult:
    """Return a final run, which has two test metrics and no validation curves."""
    rng = np.random.default_rng(seed)
    loss = 0.15 + 0.35 * np.exp(-np.arange(epochs) / 1.2) + rng.normal(0, 0.002, epochs)
    curves = {"loss": loss, "cross_entropy": loss, "accuracy": 1 - loss / 2.4}
    metrics = {"test_loss": 0.296 + rng.normal(0, 0.003), "test_accuracy": accuracy + rng.normal(0, 0.001)}
    return RunResult(
        dataset,
        variant,
        seed,
        protocol,
        "final",
        {name: curve.tolist() for name, curve in curves.items()},
        metrics,
        hashlib.sha256(f"final {dataset} {seed}".encode()).hexdigest(),
    )


def synthetic_runs(params: Params, seeds: Iterable[int] = range(5), protocol: str = "fair") -> list[RunResult]:
    """Return a replica for each dataset, variant and seed, and a final run for each dataset and seed."""
    results, seeds = [], list(seeds)
    for name, dataset in params.datasets.items():
        training = dataset.training
        for variant in params.variants:
            shape = SHAPES[variant]
            results += [replica_run(name, variant, s, training.epochs, shape, protocol) for s in seeds]
        accuracy = 0.8826 if dataset.task == "binary" else 0.9796  # about those of IMDb and MNIST
        results += [
            final_run(name, training.final.variant, s, training.final.epochs, accuracy, protocol) for s in seeds
        ]
    return results
