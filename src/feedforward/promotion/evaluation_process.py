"""The evaluation of a challenger in a process of its own: load it, probe it, and train its holdout models.

    python -I -m feedforward.promotion.evaluation_process evaluate|verify DATASET VERSION FOLDER

The final model was trained on the validation samples too, so its answers on them prove nothing. Its holdout model was
trained in the same way, but with the validation split held out. The replicas of the experiment are no substitute: they
train for more epochs, keep only their last weights, and each holds out the split of its own seed. A holdout model
trains in seconds. Holdout models with other seeds show how much of a figure depends on the seed.
"""

import dataclasses
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, FeedforwardError, TrackingError
from feedforward.data import validation_split
from feedforward.data.readers import encoders
from feedforward.data.splits import Features, MultiHot, Split, Subset
from feedforward.experiments import runner
from feedforward.models import calibration, keras_archive, metrics, network_files
from feedforward.models.numpy_network import Network
from feedforward.promotion import bundle, candidate, compatibility
from feedforward.promotion.bundle import Servable
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import Version

PROBES = 64  # samples that Keras predicts too
TIMED_SAMPLES = 300  # predicted one at a time
TOLERANCE = 1e-5  # largest accepted difference between Keras and the NumPy forward pass, of a probability
RESULT = "evaluation.json"  # {"figures": {name: value}, "refused": reason or "", "failed": reason or ""}


def evaluate(params: Params, name: str, number: int, target: Path) -> dict[str, float]:
    """Evaluate a registered version; return its figures, and write its holdout models to folders of `target` by seed.

    Raises:
        DataError: it was changed, cannot be loaded, or gives wrong answers.
    """
    _, served, model = _load(name, number)
    training, held_out = validation_split.fixed(Split.load(paths.vectorized(name) / "train"), params.dataset(name))
    validation = held_out.copied()
    figures = {"probe_difference": probe(uncalibrated(served), model, validation.features)}
    figures |= measure(served, validation)
    seeds = candidate.holdout_seeds(params, served.description.seed)
    models = [train_holdout_model(served, params, training, seed, target / str(seed)) for seed in seeds]
    return figures | calibration_errors(models[0], validation)


def verify(params: Params, name: str, number: int) -> dict[str, float]:
    """Verify and probe a registered version that may have been trained on older data of the dataset.

    Raises:
        DataError: it was changed, cannot be loaded, gives wrong answers, or is a model of another task.
    """
    _, served, model = _load(name, number)
    dataset = params.dataset(name)
    if problem := compatibility.mismatch(served, dataset):
        raise DataError(problem)
    features = Split.load(paths.vectorized(name) / "train").features
    rows = encoders.translate(
        _rows(features, 0, min(PROBES, len(features))), candidate.encoder_of(name, dataset), served.encoder
    )
    return {"probe_difference": probe(uncalibrated(served), model, rows)}


def _load(name: str, number: int) -> tuple[Version, Servable, bytes]:
    """The version, what it serves, and the content of its .keras file, after all checks; then prepare Keras."""
    version = model_versions.find(name, number)
    if version is None:
        raise DataError(f"{name} version {number}: is not registered; run `feedforward promote {name}`")
    folder = model_versions.folder(version, model_version.SERVED)
    served = bundle.read(folder, version.tags.get(model_version.DIGEST, ""))
    model = bundle.verified(folder, served.digest).get(bundle.MODEL, b"")
    keras_archive.check(model, str(folder / bundle.MODEL))
    runner.prepare(1)
    return version, served, model


def uncalibrated(served: Servable) -> Network:
    """The served network without its temperature, which the Keras model does not have."""
    return dataclasses.replace(served.network, temperature=1.0)


def probe(network: Network, model: bytes, features: Features) -> float:
    """The largest difference between the predictions of Keras and those of the served network, relative above 1.

    model: the .keras file, which Keras loads in safe mode.

    Raises:
        DataError: the two differ, or predictions are not finite or not probabilities.
    """
    from feedforward.training import keras_files

    rows = _rows(features, 0, min(PROBES, len(features)))
    batches: list[Features] = [rows]
    if not isinstance(rows, MultiHot) and rows.dtype == np.uint8:
        batches.append(np.stack([np.zeros_like(rows[0]), np.full_like(rows[0], 255)]))
    largest = 0.0
    for batch in batches:
        try:
            expected = keras_files.probabilities(model, batch)
        except Exception as error:
            raise DataError(f"{bundle.MODEL}: Keras cannot load it ({_reason(error)})") from None
        predicted = network.outputs(batch)
        if not np.isfinite(expected).all() or not np.isfinite(predicted).all():
            raise DataError("the model's predictions for a probe are not finite")
        sums = predicted.sum(axis=1) if network.last == "softmax" else np.ones(len(predicted))
        in_range = predicted.min() >= 0 and predicted.max() <= 1 and np.abs(sums - 1).max() <= TOLERANCE
        if network.last != "linear" and not in_range:
            raise DataError("the model's predictions for a probe are not probabilities")
        largest = max(largest, float((np.abs(predicted - expected) / np.maximum(1, np.abs(expected))).max()))
    if largest > TOLERANCE:
        raise DataError(
            f"{bundle.MODEL} and {network_files.WEIGHTS} are different networks: their predictions for a probe differ"
            f" by {largest:.2g}, at most {TOLERANCE:g} is allowed"
        )
    return largest


def measure(served: Servable, validation: Split) -> dict[str, float]:
    """Latency for one sample (ms, median), size (bytes), and metrics on validation samples that it was trained on."""
    times = []
    for row in range(min(TIMED_SAMPLES, len(validation))):
        began = time.perf_counter()
        served.ask(_rows(validation.features, row, row + 1))
        times.append(time.perf_counter() - began)
    losses, hits = losses_and_hits(served.network, validation)
    return {
        "latency_ms": 1000 * statistics.median(times),
        "bytes": float(served.bytes),
        "seen_cross_entropy": float(losses.mean()),
        **({"seen_accuracy": float(hits.mean())} if hits.size else {}),
    }


def losses_and_hits(
    network: Network, split: Split, units: tuple[float, float] = (0.0, 1.0)
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Loss per sample (nats, or in variances of the target), and whether its prediction is correct (`metrics.hits`).

    units: (offset, factor) that convert the network's values to the scale of the labels.
    """
    logits = network.logits(split.features) * np.float32(units[1]) + np.float32(units[0])
    return metrics.losses(network, logits, split.labels), metrics.hits(network, logits, split.labels)


def calibration_errors(network: Network, validation: Split) -> dict[str, float]:
    """Expected calibration error of a holdout model, with and without its temperature; empty if it predicts a value."""
    if metrics.is_value(validation.labels):
        return {}
    logits = network.logits(validation.features)
    tempered = calibration.measure(network.tempered(logits), validation.labels)
    plain = calibration.measure(logits, validation.labels)
    return {"calibration_error": tempered.ece, "uncalibrated_error": plain.ece}


def train_holdout_model(served: Servable, params: Params, training: Subset, seed: int, target: Path) -> Network:
    """Train the final model of that seed again, on the training split alone; write it to `target` as a servable."""
    from feedforward.experiments import training_run
    from feedforward.training import trainer

    description = served.description
    dataset, variant = params.dataset(description.dataset), {description.variant: params.variant(description.variant)}
    trained = training_run.train_final(dataset, variant, training, seed)
    description = dataclasses.replace(
        description,
        seed=seed,
        samples=len(training),
        weights_digest=trained.weights_digest,
        run_id="",
        fingerprint="",
    )
    network = trainer.as_arrays(trained.model)
    bundle.write(target, network_files.to_files(network), description, served.encoder)
    return dataclasses.replace(network, temperature=description.temperature)


def _rows(features: Features, start: int, stop: int) -> Features:
    return features.rows(start, stop) if isinstance(features, MultiHot) else np.asarray(features[start:stop])


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def main(action: str, name: str, number: str, target: str) -> int:
    """Evaluate or verify, and write RESULT to the folder `target`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = Path(target)
    result: dict[str, Any] = {"figures": {}, "refused": "", "failed": ""}
    try:
        params = load_params()
        if action == "evaluate":
            result["figures"] = evaluate(params, name, int(number), folder)
        else:
            result["figures"] = verify(params, name, int(number))
    except (TrackingError, OSError, MemoryError) as error:  # says nothing about the model
        result["failed"] = _reason(error)
    except FeedforwardError as error:
        result["refused"] = str(error).splitlines()[0]
    except Exception as error:  # hostile bytes can break any parser: that is a refusal, too
        result["refused"] = _reason(error)
    if any(not np.isfinite(value) for value in result["figures"].values()):
        result |= {"figures": {}, "refused": "a figure of the evaluation is not finite"}
    atomic_files.write_json(folder / RESULT, result)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
