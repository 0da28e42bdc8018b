"""Two small synthetic datasets: a dense one with three classes and a multi-hot one with two."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from feedforward.config.schema import Params
from feedforward.core import atomic_files
from feedforward.data.splits import Features, MultiHot, Split

PIXELS = 12
WORDS = 700  # more columns than the head of the sparse layer, so that its tail is used
TRAIN, TEST, HELD_OUT = 90, 30, 24

_FOLDERS = ["train/sad", "train/glad", "test/sad", "test/glad"]
_EXPECTATIONS = {
    "train_samples": [1, 1000],
    "test_samples": [1, 1000],
    "class_share": [0, 1],
    "nonzero_features": [0, 1000],
    "value": [0, 255],
    "raw_length": [1, 1000],
    "duplicates": 0,
    "overlap": 0,
}


def values(**changes: Any) -> dict[str, Any]:
    """Return a small params.yaml as plain values; `changes` replace top-level keys."""
    plain: dict[str, Any] = {
        "seeds": 2,
        "pack_units": 32,
        "variants": {
            "original": {},
            "smaller": {"size": "small"},
            "larger": {"size": "large"},
            "l2": {"l2": 0.01},
            "dropout": {"dropout_rate": 0.5},
        },
        "datasets": {
            "tones": {
                "title": "Small gray pictures",
                "task": "multiclass",
                "labels": ["dark", "gray", "light"],
                "files": {"features": {}, "labels": {}},
                "reader": {
                    "kind": "idx",
                    "train": {"features": "features", "labels": "labels"},
                    "test": {"features": "features", "labels": "labels"},
                },
                "expectations": _EXPECTATIONS,
                "network": {"sizes": {"base": [16], "small": [4], "large": [40]}, "scale": 255},
                "training": {
                    "epochs": 3,
                    "batch_size": 20,
                    "validation": {"take": "last", "samples": HELD_OUT},
                    "final": {"variant": "original", "epochs": 2},
                    "lecture": {"variants": ["original"], "validated_on_test": ["original"]},
                },
            },
            "notes": {
                "title": "Small texts",
                "task": "binary",
                "labels": ["sad", "glad"],
                "files": {"texts": {"archive": "tar", "folders": _FOLDERS}},
                "reader": {
                    "kind": "labeled_text",
                    "file": "texts",
                    "train": "train",
                    "test": "test",
                    "classes": ["sad", "glad"],
                    "num_words": WORDS,
                },
                "expectations": _EXPECTATIONS,
                "network": {"sizes": {"base": [16, 16], "small": [4, 4], "large": [40, 40]}},
                "training": {
                    "epochs": 3,
                    "batch_size": 20,
                    "validation": {"take": "first", "samples": HELD_OUT},
                    "final": {"variant": "original", "epochs": 2},
                    "lecture": {"variants": ["original", "l2"], "validated_on_test": ["l2"]},
                },
            },
        },
    }
    return plain | changes


def write_params(path: Path, plain: Mapping[str, Any]) -> Path:
    """Write values as YAML, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(dict(plain), file)
    return path


def params(**changes: Any) -> Params:
    """Return the same values as Params."""
    return Params.model_validate_json(json.dumps(values(**changes)))


def params_with(path: str, value: Any) -> Params:
    """Return the small params with a different value at `path`, which contains the keys, separated by slashes."""
    plain = json.loads(json.dumps(values()))  # a deep copy, because both datasets share some values
    entry = plain
    *parents, last = path.split("/")
    for key in parents:
        entry = entry.setdefault(key, {})
    entry[last] = value
    return Params.model_validate_json(json.dumps(plain))


def multihot(samples: int, seed: int, columns: int = WORDS) -> MultiHot:
    """Return rows like those of texts: some words are frequent, most are rare, and some rows are empty."""
    probability = np.outer(np.arange(samples) % 9 > 0, 1 / (1 + np.arange(columns) / 8))
    return from_dense(np.random.default_rng(seed).random((samples, columns)) < probability)


def from_dense(matrix: npt.NDArray[Any]) -> MultiHot:
    """Convert a dense matrix of zeros and ones to multi-hot rows."""
    rows, columns = np.nonzero(matrix)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))]).astype(np.int64)
    return MultiHot(indptr, columns.astype(np.uint16), matrix.shape[1])


def split(name: str, samples: int = TRAIN, seed: int = 0) -> Split:
    """Return a split of `tones` (uint8) or `notes` (multi-hot) in which the labels depend on the features."""
    features: Features
    if name == "tones":
        labels = np.random.default_rng(seed).integers(0, 3, samples)
        noise = np.random.default_rng(seed + 1).integers(0, 90, (samples, PIXELS))
        return Split((labels[:, None] * 80 + noise).astype(np.uint8), labels.astype(np.uint8))
    features = multihot(samples, seed)
    labels = (features.dense()[:, 5:25].sum(1) > 7).astype(np.uint8)
    return Split(features, labels)


def dense(features: Features) -> npt.NDArray[np.float32]:
    """Return the features as a plain Keras script would use them."""
    return features.dense() if isinstance(features, MultiHot) else np.asarray(features, np.float32)


def write_workspace(root: Path, **changes: Any) -> Path:
    """Write params.yaml with `changes`, and both datasets, under `root`, and return `root`."""
    write_params(root / "params.yaml", values(**changes))
    write_vectorized(root)
    return root


def write_vectorized(root: Path) -> None:
    """Write both datasets under `root`, as `vectorize` and `validate` do."""
    for name in ("tones", "notes"):
        folder = root / "data" / "vectorized" / name
        train, test = split(name, TRAIN), split(name, TEST, seed=7)
        train.save(folder / "train")
        test.save(folder / "test")
        digests = {"train": train.digest(), "test": test.digest(), "vocabulary": None}
        manifest = {
            **digests,
            "data_digest": atomic_files.digest(digests),
            "samples": {"train": TRAIN, "test": TEST},
            "features": train.features.shape[1],
            **({"height": 1, "width": PIXELS} if name == "tones" else {}),
        }
        atomic_files.write_json(folder / "manifest.json", manifest)
        write_profile(folder, train.labels, test.labels)
        write_validation(root, name, str(manifest["data_digest"]))


def write_validation(root: Path, name: str, data_digest: str) -> None:
    """Write that a dataset has passed validation, as `validate` does."""
    expectations = params().datasets[name].model_dump(mode="json")["expectations"]
    summary = {
        "success": True,
        "data_digest": data_digest,
        "expectations": expectations,
        "samples": {"train": TRAIN, "test": TEST},
        "checks": [],
    }
    atomic_files.write_json(root / "reports" / "validation" / name / "summary.json", summary)


def write_profile(folder: Path, train: npt.NDArray[Any], test: npt.NDArray[Any]) -> None:
    """Write a profile with the splits and with a digest of each sample."""
    parts = ["train"] * len(train) + ["test"] * len(test)
    digests = [hashlib.sha256(f"{folder.name} {k}".encode()).hexdigest() for k in range(len(parts))]
    pq.write_table(pa.table({"split": parts, "digest": digests}), folder / "profile.parquet")
