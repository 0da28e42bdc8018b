"""Compare a dataset's window of requests with its training data.

    python -m feedforward.serving.request_drift.process DATASET < params.json

Features are compared with those of the training split. Outputs for requests are compared with outputs for
validation samples, both from the champion's holdout model; the champion itself was also trained on those samples.
"""

import contextlib
import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset, Params
from feedforward.core import paths
from feedforward.core.errors import DataError, one_line, run_reporting_errors
from feedforward.data import drift, encoded_again, request_windows
from feedforward.data import manifest as manifest_file
from feedforward.data.drift import Distance
from feedforward.data.readers import encoders, reading
from feedforward.data.request_windows import Window
from feedforward.data.splits import Features
from feedforward.promotion import candidate, evaluation, holdout_split, policy, version_bundles
from feedforward.promotion.bundle import Servable
from feedforward.tracking import model_version, model_versions, names
from feedforward.tracking.model_version import Version

NICENESS = 19  # of the lowest priority


def compare(params: Params, name: str) -> dict[str, Any]:
    """Measure how far the dataset's window of requests is from its training data; record and return the distances.

    Raises:
        DataError: the window, the training data or the champion cannot be read, or are incompatible.
        TrackingError: the registry does not answer.
    """
    dataset, window = params.datasets[name], request_windows.load(name)
    version = model_versions.find(name, window.version)
    if version is None or version.tags.get(model_version.DIGEST) != window.digest:
        raise DataError(f"{paths.requests(name)}: was recorded for a version that is no longer registered; remove it")
    served = version_bundles.served(version)
    train, training_encoder = manifest_file.load_split(name, "train").features, candidate.encoder_of(name, dataset)
    # Training data are translated to the champion's features and back, so that what only one of the encoders knows is
    # unknown in both training data and requests
    train = encoders.translate(train, training_encoder, served.encoder)
    train, requests = (
        encoders.translate(features, served.encoder, training_encoder) for features in (train, window.features)
    )
    by_kind = drift.measure_requests(
        train,
        requests,
        _outputs(version, served, window.features, dataset),
        served.description.labels,
        params.retraining.drift,
        reading.column_names(dataset.reader, paths.vectorized(name)),
    )
    all_distances = [distance for distances in by_kind.values() for distance in distances]
    drifted = drift.find_drifted(all_distances, params.retraining.drift)
    entry = _entry(window, len(requests), by_kind, drifted)
    request_windows.append_distances(name, entry)
    return entry


def _outputs(
    version: Version, served: Servable, requests: Features, dataset: Dataset
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """The holdout model's outputs for validation samples that are new to it, and for the requests.

    None if there is no holdout model, if too few validation samples are new to it, or if they cannot be encoded for it.
    """
    if not version.is_evaluated:
        return None
    model, split = evaluation.holdout_models(version)[0], holdout_split.of_today(version.dataset, dataset)
    unseen = split.unseen([model])
    if policy.too_few(int(unseen.sum()), len(unseen)):
        return None
    try:
        samples = encoded_again.samples(version.dataset, dataset, "train", split.held_out, model.encoder)
    except DataError:  # without the model's words or pairs, its outputs would differ from those for requests
        return None
    validation = samples.take(np.flatnonzero(unseen)).features
    return model.predict(validation), model.predict(encoders.translate(requests, served.encoder, model.encoder))


def _entry(
    window: Window, samples: int, by_kind: dict[str, list[Distance]], drifted: tuple[Distance, ...]
) -> dict[str, Any]:
    largest = {
        kind: max(distances, key=lambda distance: distance.value) for kind, distances in by_kind.items() if distances
    }
    rows = {
        kind: {"name": one_line(d.name), "value": d.value, "bound": d.bound, "p": d.p, "drift": d in drifted}
        for kind, d in largest.items()
    }
    entry = {"time": window.ended, "began": window.began, "version": window.version, "digest": window.digest}
    entry |= {"asked": window.asked, "samples": samples, "distances": rows, "drifted": len(drifted), "farthest": None}
    if drifted:
        first = drifted[0]
        more = f" and {len(drifted) - 1} more" if len(drifted) > 1 else ""
        entry["farthest"] = f"{one_line(first.name)} ({first.value:.2f}, bound {first.bound:g}){more}"
    return entry


def main() -> None:
    """Compare the window of the dataset named on the command line; params.yaml as JSON is on standard input."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    params = Params.model_validate_json(sys.stdin.buffer.read())  # UTF-8, whatever the locale
    with names.fixed(params.project):
        compare(params, sys.argv[1])


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
