"""Registered versions of the small datasets, made without training; most are of `notes`."""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_files
import networks
import numpy as np
from small_data import HELD_OUT, TRAIN, WORDS, params, values, write_params

from feedforward.config.schema import Dataset, Params
from feedforward.core import append_only_log, atomic_files, paths
from feedforward.data.readers import encoders, tokenizer
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.encoders import Encoder
from feedforward.data.readers.image_encoder import ImageEncoder
from feedforward.data.readers.image_preprocessing import ImageGeometry
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.experiments import plan
from feedforward.models import network_files
from feedforward.models.numpy_network import Layer, Network
from feedforward.promotion import bundle, holdout_split, promote
from feedforward.promotion.bundle import Description
from feedforward.promotion.evaluator import Evaluator
from feedforward.tracking import LoggedRun, RunTags, model_versions
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

NAME = "notes"
ENCODER = TextEncoder(tokenizer.Vocabulary(tuple(f"word{k}" for k in range(WORDS - tokenizer.RANK_OFFSET - 1)), WORDS))
METRICS = {"latency_ms": 0.1, "bytes": 1000.0, "seen_accuracy": 1.0}


def network(strength: float) -> Network:
    """Return a network that predicts the labels of `notes`.

    Its confidence grows with `strength`: 0 gives 50 % always, and a negative strength predicts the opposite labels.
    """
    kernel = np.zeros((WORDS, 1), np.float32)
    kernel[5:25] = strength
    return Network(1.0, (Layer(kernel, np.array([-7.5 * strength], np.float32), "sigmoid"),))


def files(strength: float) -> dict[str, bytes]:
    """Return the files of the network with this strength."""
    return network_files.to_files(network(strength))


def weights(strength: float) -> bytes:
    """Return weights.npz of the network with this strength."""
    return files(strength)[network_files.WEIGHTS]


def keras_model() -> bytes:
    """Return a .keras file with arbitrary weights that passes the checks before Keras opens it."""
    return keras_files.model([WORDS, 1], ["sigmoid"])


def real_keras_model(strength: float) -> bytes:
    """Return the network with this strength as a .keras file saved by Keras."""
    from feedforward.training import keras_files as training_keras_files
    from feedforward.training.keras_backend import keras

    layers = [keras.Input((WORDS,)), keras.layers.Rescaling(1.0), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential(layers)
    layer = network(strength).layers[0]
    model.set_weights([layer.kernel, layer.bias])
    return training_keras_files.to_bytes(model)


def write_vocabulary() -> None:
    """Write the vocabulary of `notes` next to the splits, as `vectorize` does."""
    content = ENCODER.files()["vocabulary.txt"]
    (paths.vectorized(NAME) / "vocabulary.txt").write_bytes(content)


def final_run(store: "Store", params: Params, seed: int = 0, **metrics: float) -> LoggedRun:
    """Log a finished final run without a model, and return it."""
    [pack] = [pack for pack in plan.plan(params, "fair", [NAME], ["original"], [seed]) if pack.role == "final"]
    tags = RunTags(NAME, "original", "fair", "final", pack.fingerprints[0], pack.data_digest, seed)
    store.finish(
        store.start(tags, f"original final {seed}"),
        metrics={"test_accuracy": 0.9, "test_loss": 0.3, **metrics},
        params=pack.members[0].parameters | {"variant": "original", "dataset": NAME, "seed": seed},
    )
    return store.find_runs(NAME, role="final", seed=str(seed))[0]


def version(
    registry: Registry,
    run: LoggedRun,
    strength: float,
    evaluated: bool = True,
    variants: Mapping[str, float] | None = None,
    model: bytes | None = None,
    dataset: Dataset | None = None,
    labels: tuple[str, ...] = ("sad", "glad"),
    texts: Sequence[str] = (),
    holdout_models: int = 3,
    **metrics: float,
) -> Version:
    """Register a version whose network and holdout models have this strength.

    evaluated: False omits the holdout models and the evaluation. variants: the strength of each variant. model: the
    .keras file. dataset: the settings of `notes` that decide which samples are held out. texts: samples from users that
    the version was also trained on. metrics: changes to METRICS.
    """
    content = files(strength)
    description = Description(
        dataset=NAME,
        title="Small texts",
        labels=labels,
        variant="original",
        seed=int(run.tags["seed"]),
        epochs=2,
        samples=TRAIN,
        run_id=run.run_id,
        fingerprint=run.tags["fingerprint"],
        data_digest=run.tags["data_digest"],
        weights_digest=network(strength).weights_digest(),
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        digest = bundle.write(
            folder / "served", content | {bundle.MODEL: model or keras_model()}, description, ENCODER, "served"
        )
        folders, variant_digests = {"served": folder / "served"}, {}
        for name, variant_strength in (variants or {}).items():
            folders[f"variants/{name}"] = folder / name
            variant_description = dataclasses.replace(
                description, variant=name, weights_digest=network(variant_strength).weights_digest()
            )
            content_of_variant = files(variant_strength)
            variant_digests[name] = bundle.write(
                folder / name, content_of_variant, variant_description, ENCODER, f"variants/{name}"
            )
        tags = {
            "digest": digest,
            "weights_digest": description.weights_digest,
            "labels": atomic_files.canonical_json(labels),
            "variants": atomic_files.canonical_json(variant_digests),
        }
        new_version = registry.register(NAME, run.run_id, folders, tags)
        if not evaluated:
            return new_version
        holdout_description = dataclasses.replace(description, samples=TRAIN - HELD_OUT)
        split = holdout_split.of_today(NAME, dataset or params().datasets[NAME])
        digests = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        trained_on = np.union1d(split.training_samples, np.array(digests, np.uint32))
        holdout_files = content | {bundle.TRAINING_SAMPLES: bundle.to_content(trained_on)}
        models = []
        for seed in range(description.seed, description.seed + holdout_models):
            role, target = f"holdout_models/{seed}", folder / str(seed)
            described = dataclasses.replace(holdout_description, seed=seed)
            models.append([seed, bundle.write(target, holdout_files, described, ENCODER, role)])
            registry.add(new_version, target, role)
        tags = {
            "holdout_models": atomic_files.canonical_json(models),
            "evaluation": atomic_files.canonical_json({**METRICS, **metrics}),
        }
        registry.tag(new_version, tags)
    registered_version = find_version(new_version.number)
    assert json.loads(registered_version.tags["evaluation"]) == METRICS | metrics  # as read back from the store
    return registered_version


def champion(store: "Store", params: Params, strength: float = 1.0, **variants: float) -> Version:
    """Register a version of `notes` and make it champion. variants: the strength of each variant."""
    registry = Registry()
    new_version = version(registry, final_run(store, params), strength, evaluated=False, variants=variants)
    registry.set_alias(new_version, "champion")
    return find_version()


def champion_with_labels(store: "Store", *labels: str) -> Version:
    """Register a version of `notes` with these labels and make it champion."""
    return _champion(store, NAME, "Small texts", labels, network(1.0), ENCODER)


def conclude(
    params: Params,
    store: "Store",
    strength: float,
    skip_comparison: str | None = None,
    holdout_models: int = 3,
    **metrics: float,
) -> promote.Outcome:
    """Register a version with a network of this strength, and decide on its promotion."""
    registry, run = Registry(), final_run(store, params)
    new_version = version(
        registry, run, strength, dataset=params.datasets[NAME], holdout_models=holdout_models, **metrics
    )
    return promote.conclude(params, NAME, run, new_version, registry, skip_comparison)


def evaluate(params: Params, run: LoggedRun, version: Version) -> Version:
    """Evaluate a registered version of `notes`."""
    with Evaluator(params) as evaluator:
        return promote.evaluate(evaluator, NAME, run, version, Registry())


def with_validation(params: Params, take: str, samples: int) -> Params:
    """Return the params with another fixed validation split of `notes`."""
    plain = params.model_dump(mode="json")
    plain["datasets"][NAME]["training"]["validation"] = {"take": take, "samples": samples}
    return Params.model_validate_json(json.dumps(plain))


def audit_entries() -> list[dict[str, object]]:
    """Return the entries of the audit log, the oldest first."""
    return list(append_only_log.read(paths.audit()))


def redate(number: int, days: int) -> None:
    """Change the times in the entries about a version of `notes`, and in its tag, as if the clock had been wrong."""

    def redated(time: object) -> str:
        return (datetime.fromisoformat(str(time)) + timedelta(days)).isoformat(timespec="milliseconds")

    entries, version = audit_entries(), find_version(number)
    changed = [entry | ({"time": redated(entry["time"])} if entry["version"] == number else {}) for entry in entries]
    paths.audit().write_text("".join(atomic_files.canonical_json(entry) + "\n" for entry in changed))
    if since := version.tags.get("champion_since"):
        Registry().tag(version, {"champion_since": redated(since)})


def flip_bit(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def find_version(number_or_alias: int | str = "champion") -> Version:
    """Return a version of `notes` as it is registered now; by default, the champion."""
    registered_version = model_versions.find(NAME, number_or_alias)
    assert registered_version is not None
    return registered_version


def pictures_champion(store: "Store", height: int = 28, width: int = 28, evaluated: bool = False) -> Version:
    """Register a version of `tones` for images of this size, with random weights, and make it champion."""
    network = networks.network([height * width, 8, 3], ["relu", "softmax"], scale=1 / 255)
    encoder: Encoder = ImageEncoder(ImageGeometry(height, width, 20, (height / 2, width / 2)))
    if evaluated:  # evaluations need the encoder of the data
        encoder = encoders.of_dataset(params().datasets["tones"].reader, paths.vectorized("tones"))
    return _champion(store, "tones", "Tones", ("dark", "gray", "light"), network, encoder, evaluated)


GRADES = {  # a table whose labels JavaScript would put in numeric order if they were keys of an object
    "title": "Grades",
    "task": "multiclass",
    "labels": ["1", "10", "2"],
    "files": {"rows": {}},
    "reader": {
        "kind": "table",
        "file": "rows",
        "target": ["grade"],
        "classes": ["1", "10", "2"],
        "numeric": ["hours"],
        "categorical": ["school"],
    },
}


def with_grades() -> Params:
    """Return the params of the small workspace, with the `grades` dataset added."""
    return params(datasets=_datasets_with_grades())


def _datasets_with_grades() -> dict[str, Any]:
    plain = values()["datasets"]
    return {**plain, "grades": plain["tones"] | GRADES}


def grades_champion(store: "Store") -> Version:
    """Add `grades` to params.yaml, register a version of it, and make it champion.

    It predicts 10 for many hours, 2 for few hours, and 1 for the school `north`.
    """
    write_params(paths.params(), values(datasets=_datasets_with_grades()))
    kernel = np.array([[0, 3, -3], [9, 0, 0], [0, 0, 0]], np.float32)
    network = Network(1.0, (Layer(kernel, np.zeros(3, np.float32), "softmax"),))
    encoder = RowEncoder(Columns((("hours", 5.0, 2.0),), (("school", ("north", "south")),), grouped=(), dates=()))
    return _champion(store, "grades", "Grades", ("1", "10", "2"), network, encoder)


def _champion(
    store: "Store",
    name: str,
    title: str,
    labels: tuple[str, ...],
    network: Network,
    encoder: Encoder,
    evaluated: bool = False,
) -> Version:
    run = store.start(RunTags(name, "original", "fair", "final", "f", "d", 0), "original final 0")
    store.finish(run, metrics={"test_accuracy": 0.9})
    final = store.find_runs(name, role="final")[0]
    weights_digest = network.weights_digest()
    description = Description(name, title, labels, "original", 0, 2, TRAIN, final.run_id, "f", "d", weights_digest)
    registry = Registry()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "served"
        digest = bundle.write(folder, network_files.to_files(network), description, encoder, "served")
        new_version = registry.register(name, final.run_id, {"served": folder}, {"digest": digest, "variants": "{}"})
        if evaluated:
            split = holdout_split.of_today(name, params().datasets[name])
            files = network_files.to_files(network) | {
                bundle.TRAINING_SAMPLES: bundle.to_content(split.training_samples)
            }
            digest = bundle.write(folder.with_name("0"), files, description, encoder, "holdout_models/0")
            registry.add(new_version, folder.with_name("0"), "holdout_models/0")
            tags = {"holdout_models": [[0, digest]], "evaluation": METRICS}
            registry.tag(new_version, {key: atomic_files.canonical_json(value) for key, value in tags.items()})
    registry.set_alias(new_version, "champion")
    return new_version
