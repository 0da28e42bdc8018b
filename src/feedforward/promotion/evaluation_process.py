"""The evaluation of a challenger in a separate process: load it, probe it, and train its holdout models.

`python -I -m feedforward.promotion.evaluation_process` reads JSON lines from standard input: the parameters with which
the gate decides, because params.yaml may have been edited since the gate read it; then one line for each action,
["evaluate" | "verify", dataset, version, folder] or ["calibrate", dataset, seed, folder]. The result is written to the
folder, and then an empty line to standard output. `verify` only loads and probes a version; `calibrate` fits the
temperature of a final model.

The final model was also trained on the validation samples, so its predictions for them prove nothing. Its holdout model
is trained in the same way, but with the validation split held out. The replicas of the experiment are no substitute:
they train for more epochs, keep only their last weights, and each holds out the split of its own seed. A holdout model
trains in seconds. Holdout models with different seeds show how much a metric depends on the seed.
"""

import contextlib
import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Params
from feedforward.core import atomic_files
from feedforward.core.errors import (
    Busy,
    DataError,
    FeedforwardError,
    ParamsError,
    TrackingError,
    TrainingError,
    one_line,
)
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import encoders
from feedforward.data.splits import Features, MultiHot, Split
from feedforward.experiments import runner
from feedforward.models import calibration, keras_archive, metrics, network_files
from feedforward.models.numpy_network import Network
from feedforward.promotion import bundle, candidate, compatibility, holdout_split, temperature, version_bundles
from feedforward.promotion.bundle import Servable
from feedforward.promotion.holdout_split import HoldoutSplit
from feedforward.tracking import model_version, model_versions, names
from feedforward.tracking.model_version import Version

PROBES = 64  # samples for which the predictions of Keras and of the served network are compared
TIMED_SAMPLES = 300  # samples predicted one at a time, to measure the latency
TOLERANCE = 1e-5  # largest accepted difference between the predictions of Keras and of the served network
RESULT = "evaluation.json"  # {"metrics": {name: value}, "refused": reason or "", "failed": reason or ""}


class Unfit(Exception):
    """The version is refused, because of its own files. Every other error says nothing about it."""


@contextlib.contextmanager
def judging() -> Iterator[None]:
    """Turn errors in the block, which works with the version's files, into Unfit, unless they are of other files.

    Hostile bytes can break any parser, so every kind of error is a reason to refuse the version.
    """
    try:
        yield
    except (TrackingError, ParamsError, Busy, OSError, MemoryError):
        raise
    except Exception as error:
        raise Unfit(_line(error)) from None


def evaluate(params: Params, name: str, number: int, target: Path) -> dict[str, float]:
    """Evaluate a registered version and return its metrics; each holdout model is written to the folder `target`/SEED.

    Raises:
        Unfit: the version was changed, cannot be loaded, or predicts wrongly.
        TrainingError: a loss of a holdout model is not finite.
        DataError: today's data cannot be read, or are not those that the version was trained on.
    """
    split, digest = holdout_split.of_today(name, params.dataset(name)), manifest_file.load(name)["data_digest"]
    with judging():
        _, served, model = _load(name, number)
    if served.description.data_digest != digest:
        raise DataError(f"{name}: the data have changed since version {number} was trained")
    with judging():
        measured = {"probe_difference": probe(without_temperature(served), model, split.validation.features)}
        measured |= measure(served, split.validation)
    for seed in candidate.holdout_seeds(params, served.description.seed):
        train_holdout_model(served, params, split, seed, target / str(seed))
    return measured


def calibrate(params: Params, name: str, seed: int, _target: Path) -> dict[str, float]:
    """Fit the temperature of the final model with this seed; see `temperature.fit`."""
    return temperature.fit(params, name, seed)


def verify(params: Params, name: str, number: int, _target: Path) -> dict[str, float]:
    """Verify and probe a registered version that may have been trained on older data of the dataset.

    Raises:
        Unfit: the version was changed, cannot be loaded, predicts wrongly, or does not fit the dataset.
        DataError: today's data cannot be read.
    """
    dataset, features = params.dataset(name), manifest_file.load_split(name, "train").features
    rows, encoder = _rows(features, 0, min(PROBES, len(features))), candidate.encoder_of(name, dataset)
    with judging():
        _, served, model = _load(name, number)
        if problem := compatibility.mismatch(served, dataset):
            raise DataError(f"{problem}; correct params.yaml")
        try:
            rows = encoders.translate(rows, encoder, served.encoder)
        except DataError:  # the data have another form now, such as images of another size
            rows = _random_rows(served)
        return {"probe_difference": probe(without_temperature(served), model, rows)}


def _random_rows(served: Servable) -> Features:
    """Random samples: pixels that are black or white, or other features that are 0 or 1."""
    bits = np.random.default_rng(0).integers(2, size=(PROBES, served.encoder.feature_count))
    return (bits * 255).astype(np.uint8) if served.encoder.sample_kind == "image" else bits.astype(np.float32)


def _load(name: str, number: int) -> tuple[Version, Servable, bytes]:
    """Load and check a version, and prepare Keras; return the version, its servable, and its .keras file's bytes."""
    version = model_versions.find(name, number)
    if version is None:
        raise DataError(f"{name} version {number}: is not registered; run `feedforward promote {name}`")
    served = version_bundles.served(version)
    model = version_bundles.read_verified(version, model_version.SERVED, served.digest).get(bundle.MODEL, b"")
    keras_archive.check(model, str(model_versions.folder(version, model_version.SERVED) / bundle.MODEL))
    runner.prepare(1)
    return version, served, model


def without_temperature(served: Servable) -> Network:
    """The servable's network without its temperature, which the Keras model does not apply either."""
    return dataclasses.replace(served.network, temperature=1.0)


def probe(network: Network, model: bytes, features: Features) -> float:
    """Return the largest difference between Keras's and the served network's predictions.

    For predictions beyond ±1, it is a relative difference. model: the bytes of the .keras file, which Keras loads in
    safe mode.

    Raises:
        DataError: Keras cannot load the model, or the predictions differ by more than TOLERANCE, are not finite, or are
            not probabilities.
    """
    from feedforward.training import keras_files

    rows = _rows(features, 0, min(PROBES, len(features)))
    batches: list[Features] = [rows]
    if not isinstance(rows, MultiHot) and rows.dtype == np.uint8:  # also a black and a white image
        batches.append(np.stack([np.zeros_like(rows[0]), np.full_like(rows[0], 255)]))
    largest = 0.0
    for batch in batches:
        try:
            expected = keras_files.probabilities(model, batch)
        except Exception as error:
            raise DataError(f"{bundle.MODEL}: Keras cannot load it or predict with it ({_reason(error)})") from None
        predicted = network.outputs(batch)
        if not np.isfinite(expected).all() or not np.isfinite(predicted).all():
            raise DataError("the model's predictions for a probe are not finite")
        sums = predicted.sum(axis=1) if network.last_activation == "softmax" else np.ones(len(predicted))
        in_range = predicted.min() >= 0 and predicted.max() <= 1 and np.abs(sums - 1).max() <= TOLERANCE
        if network.last_activation != "linear" and not in_range:
            raise DataError("the model's predictions for a probe are not probabilities")
        largest = max(largest, float((np.abs(predicted - expected) / np.maximum(1, np.abs(expected))).max()))
    if largest > TOLERANCE:
        raise DataError(
            f"{bundle.MODEL} and {network_files.WEIGHTS} are different networks: their predictions for a probe differ"
            f" by {largest:.2g}, must be at most {TOLERANCE:g}"
        )
    return largest


def measure(served: Servable, validation: Split) -> dict[str, float]:
    """Latency for one sample (ms, median), size (bytes), and metrics on validation samples that the model has seen."""
    times = []
    for index in range(min(TIMED_SAMPLES, len(validation))):
        start = time.perf_counter()
        served.predict(_rows(validation.features, index, index + 1))
        times.append(time.perf_counter() - start)
    losses, correct = losses_and_correct(served.network, validation)
    return {
        "latency_ms": 1000 * statistics.median(times),
        "bytes": float(served.bytes),
        "seen_cross_entropy": float(losses.mean()),
        **({"seen_accuracy": float(correct.mean())} if correct.size else {}),
    }


def losses_and_correct(
    network: Network, split: Split, units: tuple[float, float] = (0.0, 1.0)
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The loss of each sample (nats, or variances of the target), and whether its prediction is correct.

    units: (offset, factor) that convert the network's values to the scale of the labels.
    """
    logits = network.logits(split.features) * np.float32(units[1]) + np.float32(units[0])
    return metrics.losses(network, logits, split.labels), metrics.correct(network, logits, split.labels)


def train_holdout_model(served: Servable, params: Params, split: HoldoutSplit, seed: int, target: Path) -> None:
    """Train the final model again with this seed, on the training split alone, and write a bundle with it to `target`.

    The temperature is fitted on the validation samples. As it is a single parameter, this makes the mean loss of n such
    samples too low by only about 1 / (2 n) nats. The final model has its own temperature, because it is trained on more
    samples and differs in overconfidence.

    Raises:
        TrainingError: a loss is not finite.
    """
    from feedforward.experiments import training_run
    from feedforward.training import trainer

    description, validation = served.description, split.validation
    dataset, variant = params.dataset(description.dataset), {description.variant: params.variant(description.variant)}
    trained = training_run.train_final(dataset, variant, split.training, seed)
    network, fitted_temperature = trainer.as_arrays(trained.model), 1.0
    if not metrics.is_value(validation.labels):
        fitted_temperature = calibration.measure(network.logits(validation.features), validation.labels).temperature
    description = dataclasses.replace(
        description,
        seed=seed,
        samples=len(split.training),
        weights_digest=trained.weights_digest,
        run_id="",
        fingerprint="",
        temperature=fitted_temperature,
    )
    files = {**network_files.to_files(network), bundle.TRAINING_SAMPLES: bundle.to_content(split.training_samples)}
    bundle.write(target, files, description, served.encoder, f"{model_version.HOLDOUT_MODELS}/{seed}")


def _rows(features: Features, start: int, stop: int) -> Features:
    return features.rows(start, stop) if isinstance(features, MultiHot) else np.asarray(features[start:stop])


def _line(error: Exception) -> str:
    return one_line(str(error).splitlines()[0]) if isinstance(error, FeedforwardError) else _reason(error)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


ACTIONS = {"evaluate": evaluate, "verify": verify, "calibrate": calibrate}


def main() -> None:
    """Run the actions that standard input names, until it ends."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as done:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # no library may write to standard output
        lines = sys.stdin.buffer  # UTF-8, whatever the locale
        params = Params.model_validate_json(lines.readline())
        with names.fixed(params.project):
            for line in lines:
                _run(params, *json.loads(line))
                print(file=done, flush=True)


def _run(params: Params, action: str, name: str, number: int, target: str) -> None:
    """Run one of ACTIONS and write RESULT to the folder `target`. number: the version, or for `calibrate` the seed."""
    folder = Path(target)
    result: dict[str, Any] = {"metrics": {}, "refused": "", "failed": ""}
    try:
        result["metrics"] = ACTIONS[action](params, name, number, folder)
    except (Unfit, TrainingError) as error:  # the recipe diverges, and would do so again
        result["refused"] = str(error).splitlines()[0]
    except Exception as error:
        result["failed"] = _line(error)
    if any(not np.isfinite(value) for value in result["metrics"].values()):
        result |= {"metrics": {}, "refused": "a metric of the evaluation is not finite"}
    atomic_files.write_json(folder / RESULT, result)


if __name__ == "__main__":
    main()
