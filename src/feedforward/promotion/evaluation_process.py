"""The evaluation of a challenger in a process of its own: load it, probe it, and train its holdout models.

    python -I -m feedforward.promotion.evaluation_process evaluate|verify DATASET VERSION FOLDER
    python -I -m feedforward.promotion.evaluation_process calibrate DATASET SEED FOLDER

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
from feedforward.models.numpy_network import Array, Network
from feedforward.promotion import bundle, candidate, compatibility
from feedforward.promotion.bundle import Servable
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import Version

PROBES = 64  # samples that Keras predicts too
TIMED_SAMPLES = 300  # predicted one at a time
CALIBRATION = 3  # stream of random numbers that draws the samples of a temperature; validation_split uses 0 to 2
ENOUGH, MOST_PARTS = 5000, 3  # held-out samples that a temperature is fitted on, and most models trained for them
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
    for seed in candidate.holdout_seeds(params, served.description.seed):
        train_holdout_model(served, params, training, validation, seed, target / str(seed))
    return figures


def calibrate(params: Params, name: str, seed: int, _target: Path) -> dict[str, float]:
    """The temperature for the final model of a seed, with its evidence over `samples` that were held out: `ece` and
    `scaled_ece` (models.calibration), `cross_entropy` and `scaled_cross_entropy`.

    The final model is trained again without a tenth of the samples, which the temperature is fitted on; where a tenth
    has fewer than ENOUGH samples, up to MOST_PARTS times, without another tenth each time.

    Raises:
        DataError: a loss is not finite.
    """
    every = held_out_predictions(params, name, seed)
    measured = calibration.measure(*every)
    wide, classes, _ = calibration.as_classes(*every)
    likelihoods = calibration.log_probabilities(wide)
    return {
        "temperature": measured.temperature,
        "ece": measured.ece,
        "scaled_ece": measured.scaled_ece,
        "cross_entropy": float(-likelihoods[np.arange(len(classes)), classes].mean()),
        "scaled_cross_entropy": measured.refinement,
        "samples": float(len(every[1])),
    }


def verify(params: Params, name: str, number: int, _target: Path) -> dict[str, float]:
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


def held_out_predictions(params: Params, name: str, seed: int) -> tuple[Array, npt.NDArray[np.generic]]:
    """Logits and labels of samples that the final model's recipe was trained without; see `calibrate`."""
    from feedforward.experiments import training_run
    from feedforward.training import trainer

    dataset, whole = params.dataset(name), Split.load(paths.vectorized(name) / "train")
    variant = dataset.training.final.variant
    order = validation_split.generator(seed, CALIBRATION).permutation(len(whole))
    size = max(1, len(whole) // 10)
    runner.prepare(1)
    logits, labels = [], []
    for part in range(min(MOST_PARTS, -(-ENOUGH // size))):
        held_out = np.zeros(len(whole), bool)
        held_out[order[part * size : (part + 1) * size]] = True
        training = validation_split.share(Subset(whole, np.flatnonzero(~held_out)), dataset, seed)
        trained = training_run.train_final(dataset, {variant: params.variant(variant)}, training, seed)
        samples = Subset(whole, np.flatnonzero(held_out)).copied()
        logits.append(trainer.as_arrays(trained.model).logits(samples.features))
        labels.append(np.asarray(samples.labels))
    return np.concatenate(logits), np.concatenate(labels)


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
    """Loss per sample (nats, or in variances of the target), and whether its prediction is correct (`metrics.correct`).

    units: (offset, factor) that convert the network's values to the scale of the labels.
    """
    logits = network.logits(split.features) * np.float32(units[1]) + np.float32(units[0])
    return metrics.losses(network, logits, split.labels), metrics.correct(network, logits, split.labels)


def train_holdout_model(
    served: Servable, params: Params, training: Subset, validation: Split, seed: int, target: Path
) -> None:
    """Train the final model of that seed again, on the training split alone; write it to `target` as a servable.

    Its temperature is fitted on the validation samples: one number, which flatters its loss by 1 / (2 samples) nats. It
    is not that of the final model, which learned from more samples and is overconfident to another degree.
    """
    from feedforward.experiments import training_run
    from feedforward.training import trainer

    description = served.description
    dataset, variant = params.dataset(description.dataset), {description.variant: params.variant(description.variant)}
    trained = training_run.train_final(dataset, variant, training, seed)
    network, fitted = trainer.as_arrays(trained.model), 1.0
    if not metrics.is_value(validation.labels):
        fitted = calibration.measure(network.logits(validation.features), validation.labels).temperature
    description = dataclasses.replace(
        description,
        seed=seed,
        samples=len(training),
        weights_digest=trained.weights_digest,
        run_id="",
        fingerprint="",
        temperature=fitted,
    )
    bundle.write(target, network_files.to_files(network), description, served.encoder)


def _rows(features: Features, start: int, stop: int) -> Features:
    return features.rows(start, stop) if isinstance(features, MultiHot) else np.asarray(features[start:stop])


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


ACTIONS = {"evaluate": evaluate, "verify": verify, "calibrate": calibrate}


def main(action: str, name: str, number: str, target: str) -> int:
    """Do one of ACTIONS, and write RESULT to the folder `target`. number: of a version; for `calibrate`, a seed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = Path(target)
    result: dict[str, Any] = {"figures": {}, "refused": "", "failed": ""}
    try:
        params = load_params()
        result["figures"] = ACTIONS[action](params, name, int(number), folder)
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
