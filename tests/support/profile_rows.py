"""A small valid profile of vectorized data, which tests change."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from feedforward.config.schema import Dataset

SAMPLES = {"train": 40, "test": 20}


def dataset(**bounds: object) -> Dataset:
    """Return a binary dataset whose expectations are met by `rows()`."""
    expectations = {
        "train_samples": (40, 40), "test_samples": (10, 30), "class_share": (0.4, 0.6), "nonzero_features": (1, 50),
        "value": (0.0, 1.0), "raw_length": (5, 200), "empty": 0, "duplicates": 0, "overlap": 0, **bounds,
    }  # fmt: skip
    return Dataset.model_validate({
        "title": "Some <i>texts</i>",
        "task": "binary",
        "labels": ("negative", "positive"),
        "files": {"texts": {}},
        "reader": {
            "kind": "labeled_text", "file": "texts", "train": "train", "test": "test", "classes": ("neg", "pos"),
            "num_words": 60,
        },
        "expectations": expectations,
        "network": {"sizes": {"base": (4,)}},
        "training": {
            "epochs": 1, "batch_size": 1, "validation": {"take": "first", "samples": 1},
            "final": {"variant": "original", "epochs": 1},
        },
    })  # fmt: skip


def digest(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def rows() -> pd.DataFrame:
    """Return a profile with one row per sample, balanced labels and no duplicates."""
    total = sum(SAMPLES.values())
    index = np.arange(total)
    return pd.DataFrame(
        {
            "split": np.repeat(list(SAMPLES), list(SAMPLES.values())),
            "label": index % 2,
            "raw_length": 10 + index,
            "ones": 1 + index % 30,
            "minimum": 0.0,
            "maximum": 1.0,
            "digest": [digest(i) for i in index],
        }
    )


def save(table: pd.DataFrame, folder: Path, **changes: object) -> Path:
    """Write the profile and its manifest, as `vectorize` does. changes: to entries of the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "profile.parquet")
    samples = {split: int((table["split"] == split).sum()) if "split" in table else 0 for split in SAMPLES}
    manifest = {"data_digest": digest("data"), "features": 60, "samples": samples, **changes}
    (folder / "manifest.json").write_text(json.dumps(manifest, sort_keys=True))
    return folder
