"""The examination of a challenger, in a clean process: load it, ask it, and train its witnesses.

    python -I -m feedforward.promotion.evaluation DATASET VERSION FOLDER

The final model has learned from the validation samples too, so what it answers on them proves nothing. Its witness can
tell: trained in every way as the final model, but with the validation split held out. That is what the replicas of the
experiment do, but they train on for their curves, keep only their last weights, and share one order of the batches; so
the witness trains again, in seconds. Further witnesses, from other seeds, show how much of a figure is luck.
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
from feedforward.core.errors import DataError, FeedforwardError
from feedforward.data.splits import Features, MultiHot, Split
from feedforward.experiments import plan, runner
from feedforward.models import metrics
from feedforward.models.numpy_network import Network
from feedforward.promotion import bundle
from feedforward.promotion.bundle import Servable
from feedforward.tracking import model_version, model_versions

PROBES = 64  # samples that Keras answers too
TIMED = 300  # samples that are asked one by one
TOLERANCE = 1e-5  # between Keras and the forward pass that is served, of a probability
RESULT = "examination.json"


def examine(params: Params, name: str, number: int, target: Path) -> dict[str, float]:
    """Examine a registered version; its figures, and its witnesses as folders of `target`, named by their seeds.

    Raises:
        DataError: it was touched, cannot be loaded, or answers what it should not.
    """
    version = model_versions.find(name, number)
    if version is None:
        raise DataError(f"{name} version {number}: is not registered; run `feedforward promote {name}`")
    folder = model_versions.folder(version, model_version.SERVED)
    files = bundle.verified(folder, version.tags.get(model_version.DIGEST, ""))
    served = bundle.read(folder, version.tags[model_version.DIGEST])
    runner.prepare(1)  # nothing heavy is imported for what was touched
    dataset = params.dataset(name)
    training, validation = runner.split_training(Split.load(paths.vectorized(name) / "train"), dataset)
    figures = {"probe_difference": probe(served.network, files[bundle.MODEL], validation.features)}
    figures |= measure(served, validation)
    for seed in witness_seeds(params, served.description.seed):
        witness(served, params, version.tags["protocol"], training, seed, target / str(seed))
    return figures


def probe(network: Network, model: bytes, features: Features) -> float:
    """The largest difference between what Keras and what the served forward pass answer; probabilities must be some."""
    from feedforward.training import keras_files

    rows = _rows(features, min(PROBES, len(features)))
    batches: list[Features] = [rows]
    if not isinstance(rows, MultiHot) and rows.dtype == np.uint8:
        batches.append(np.stack([np.zeros_like(rows[0]), np.full_like(rows[0], 255)]))
    largest = 0.0
    for batch in batches:
        expected = keras_files.probabilities(model, batch)
        found = network.outputs(batch)
        if not np.isfinite(expected).all() or not np.isfinite(found).all():
            raise DataError("the model answers a probe with numbers that are not finite")
        sums = found.sum(axis=1) if network.last == "softmax" else np.ones(len(found))
        if network.last != "linear" and (found.min() < 0 or found.max() > 1 or np.abs(sums - 1).max() > TOLERANCE):
            raise DataError("the model answers a probe with numbers that are no probabilities")
        largest = max(largest, float((np.abs(found - expected) / np.maximum(1, np.abs(expected))).max()))
    if largest > TOLERANCE:
        raise DataError(f"Keras and the served forward pass differ by {largest:.2g} on a probe, at most {TOLERANCE:g}")
    return largest


def measure(served: Servable, validation: Split) -> dict[str, float]:
    """Latency of one sample (ms, median), size (bytes), and what it answers on samples that it has learned from."""
    times = []
    for row in range(min(TIMED, len(validation))):
        began = time.perf_counter()
        served.ask(_rows(validation.features, row + 1, row))
        times.append(time.perf_counter() - began)
    losses, hits = judge(served.network, validation)
    return {
        "latency_ms": 1000 * statistics.median(times),
        "bytes": float(served.bytes),
        "seen_cross_entropy": float(losses.mean()),
        **({"seen_accuracy": float(hits.mean())} if hits.size else {}),
    }


def judge(
    network: Network, split: Split, units: tuple[float, float] = (0.0, 1.0)
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Of each sample the loss (nats, or variances of the target), and what of its answer is right (scores.hits).

    units: what the network's values must be shifted and multiplied by to be in those of the labels.
    """
    logits = network.logits(split.features) * np.float32(units[1]) + np.float32(units[0])
    return metrics.losses(network, logits, split.labels), metrics.hits(network, logits, split.labels)


def witness_seeds(params: Params, own: int) -> list[int]:
    """The seed of the model first, then others from 0 on, as many as params say."""
    others = [seed for seed in range(params.promotion.holdout_models) if seed != own]
    return [own, *others][: params.promotion.holdout_models]


def witness(served: Servable, params: Params, protocol: str, training: Split, seed: int, target: Path) -> None:
    """Train one as the final model of that seed is trained, on the training split alone; write it as a servable."""
    from feedforward.training import keras_files
    from feedforward.training import trainer as room

    told = served.description
    dataset, variant = params.dataset(told.dataset), params.variant(told.variant)
    packs = plan.plan(params, protocol, [told.dataset], [told.variant], [seed])
    [pack] = [pack for pack in packs if pack.role == "final"]
    [replica] = room.fit(dataset, variant, training, None, [seed], pack.order_seed, pack.epochs)
    described = dataclasses.replace(
        told,
        seed=seed,
        samples=len(training),
        weights_digest=room.weights_digest(replica.model),
        run_id="",
        fingerprint="",
    )
    bundle.write(target, keras_files.saved(replica.model), described, served.encoder)


def _rows(features: Features, stop: int, start: int = 0) -> Features:
    return features.rows(start, stop) if isinstance(features, MultiHot) else np.asarray(features[start:stop])


def main(name: str, number: str, target: str) -> int:
    """Examine, and leave the outcome as JSON: `figures`, or the reason why there are none as `refused`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = Path(target)
    outcome: dict[str, Any] = {"figures": {}, "refused": ""}
    try:
        outcome["figures"] = examine(load_params(), name, int(number), folder)
    except FeedforwardError as error:
        outcome["refused"] = str(error).splitlines()[0]
    except Exception as error:  # hostile bytes may break any parser: that is an answer, too
        outcome["refused"] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"
    if any(not np.isfinite(value) for value in outcome["figures"].values()):
        outcome = {"figures": {}, "refused": "a figure of the examination is not finite"}
    atomic_files.write_json(folder / RESULT, outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
