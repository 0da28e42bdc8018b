"""Versions of the small data set `notes` that were registered and examined, without a minute of training each."""

import dataclasses
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import keras_files
import numpy as np
from small_data import HELD_OUT, TRAIN, WORDS

from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.data.readers import tokenizer
from feedforward.data.readers.encoders import ImageEncoder, TextEncoder
from feedforward.data.readers.image_preprocessing import Framing
from feedforward.experiments import plan
from feedforward.models import numpy_network
from feedforward.promotion import bundle
from feedforward.promotion.bundle import Description
from feedforward.tracking import Found, RunTags, model_versions
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

NAME = "notes"
ENCODER = TextEncoder(tokenizer.Vocabulary(tuple(f"word{k}" for k in range(WORDS - tokenizer.RANK_OFFSET - 1)), WORDS))
FIGURES = {"latency_ms": 0.1, "bytes": 1000.0, "seen_accuracy": 1.0}


def model(strength: float) -> bytes:
    """A network that knows how `notes` are labelled; the stronger, the surer of it. 0: it knows nothing."""
    buffer = io.BytesIO(keras_files.weights([WORDS, 1]))
    with h5py.File(buffer, "r+") as file:
        kernel = np.zeros((WORDS, 1), np.float32)
        kernel[5:25] = strength
        file["layers/dense/vars/0"][...] = kernel
        file["layers/dense/vars/1"][...] = -7.5 * strength
    return keras_files.model([WORDS, 1], ["sigmoid"], weights=buffer.getvalue())


def vocabulary() -> None:
    """What vectorize leaves beside the splits."""
    content = ENCODER.files()["vocabulary.txt"]
    (paths.vectorized(NAME) / "vocabulary.txt").write_bytes(content)


def final_run(store: "Store", params: Params, seed: int = 0, **metrics: float) -> Found:
    """A finished final run without a model."""
    [pack] = [pack for pack in plan.plan(params, "fair", [NAME], ["original"], [seed]) if pack.role == "final"]
    tags = RunTags(NAME, "original", "fair", "final", pack.fingerprints[0], pack.data_digest, seed)
    store.finish(
        store.start(tags, f"original final {seed}"),
        metrics={"test_accuracy": 0.9, "test_loss": 0.3, **metrics},
        params=pack.parameters | {"variant": "original", "dataset": NAME, "seed": seed},
    )
    return store.find_runs(NAME, role="final", seed=str(seed))[0]


def version(
    registry: Registry,
    run: Found,
    strength: float,
    examined: bool = True,
    variants: Mapping[str, float] | None = None,
    **figures: float,
) -> Version:
    """A version whose network and witness have that strength, and variants beside it theirs."""
    content = model(strength)
    described = Description(
        dataset=NAME,
        title="Small texts",
        labels=("sad", "glad"),
        variant="original",
        seed=int(run.tags["seed"]),
        epochs=2,
        samples=TRAIN,
        run_id=run.run_id,
        fingerprint=run.tags["fingerprint"],
        data_digest=run.tags["data_digest"],
        weights_digest=numpy_network.read(content).weights_digest(),
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        digest = bundle.write(folder / "served", content, described, ENCODER)
        folders, others = {"served": folder / "served"}, {}
        for name, own in (variants or {}).items():
            folders[f"variants/{name}"] = folder / name
            told = dataclasses.replace(
                described, variant=name, weights_digest=numpy_network.read(model(own)).weights_digest()
            )
            others[name] = bundle.write(folder / name, model(own), told, ENCODER)
        tags = {"digest": digest, "variants": atomic_files.canonical_json(others)}
        made = registry.register(NAME, run.run_id, folders, tags)
        if not examined:
            return made
        witness = dataclasses.replace(described, samples=TRAIN - HELD_OUT)
        witness_digest = bundle.write(folder / "witness", content, witness, ENCODER)
        tags = {
            "witnesses": atomic_files.canonical_json([[witness.seed, witness_digest]]),
            "examination": atomic_files.canonical_json({**FIGURES, **figures}),
        }
        registry.add(made, folder / "witness", f"witnesses/{witness.seed}")
        registry.tag(made, tags)
    found = model_versions.find(NAME, made.number)
    assert found is not None
    assert json.loads(found.tags["examination"])["bytes"] == 1000
    return found


def champion(store: "Store", params: Params, strength: float = 1.0, **variants: float) -> Version:
    """A version that is champion."""
    registry = Registry()
    made = version(registry, final_run(store, params), strength, examined=False, variants=variants)
    registry.set_alias(made, "champion")
    found = model_versions.find(NAME)
    assert found is not None
    return found


def pictures_champion(store: "Store") -> Version:
    """A version of `tones` that takes pictures of 28 × 28 pixels, and is champion; it knows nothing."""
    content = keras_files.model([784, 8, 3], ["relu", "softmax"], scale=1 / 255)
    run = store.start(RunTags("tones", "original", "fair", "final", "f", "d", 0), "original final 0")
    store.finish(run, metrics={"test_accuracy": 0.9})
    [found] = store.find_runs("tones", role="final")
    labels = ("dark", "grey", "light")
    told = Description("tones", "Tones", labels, "original", 0, 2, 90, found.run_id, "f", "d", "")
    told = dataclasses.replace(told, weights_digest=numpy_network.read(content).weights_digest())
    registry = Registry()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "served"
        digest = bundle.write(folder, content, told, ImageEncoder(Framing(28, 28, 20, (14.0, 14.0))))
        made = registry.register("tones", found.run_id, {"served": folder}, {"digest": digest, "variants": "{}"})
    registry.set_alias(made, "champion")
    return made
