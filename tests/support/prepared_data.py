"""The two datasets of params.yaml, with small files instead of the real ones, fetched and vectorized as usual."""

import base64
import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from raw_files import REVIEWS, idx, reviews_file, sha256, tar_gz

from feedforward.config.schema import Dataset, load_params
from feedforward.core import append_only_log, paths
from feedforward.data import preparation

CHECKOUT = Path(__file__).parents[2]
PARAMS = load_params(CHECKOUT / "params.yaml")


def texts(**reader: object):
    """Return the real text dataset's entry, changed to use a small file. reader: further changes to the reader."""
    dataset = PARAMS.dataset("imdb")
    changes = {"file": "set.tar.gz", "train": "set/train", "test": "set/test", "num_words": 12, **reader}
    files = {"set.tar.gz": reviews_file()}
    return dataset.model_copy(update={"files": files, "reader": dataset.reader.model_copy(update=changes)})


def images():
    """Return the real image dataset's entry, changed to take small files with the same names from the mirror."""
    dataset = PARAMS.dataset("mnist")
    files = {key: file.model_copy(update={"sha256": None, "urls": ()}) for key, file in dataset.files.items()}
    return dataset.model_copy(update={"files": files})


def put_texts(root, reviews=REVIEWS):
    """Put the file of the text dataset into the mirror."""
    (root / "mirror" / "set.tar.gz").write_bytes(tar_gz(reviews))


def put_images(root, *size):
    """Put random images, of 4 × 4 pixels unless a size is given, and random labels into the mirror."""
    rng = np.random.default_rng(1)
    for key in images().files:
        samples = 30 if "train" in key else 10
        shape = (samples, *(size or (4, 4))) if "images" in key else (samples,)
        array = rng.integers(0, 256 if "images" in key else 10, shape)
        (root / "mirror" / key).write_bytes(gzip.compress(idx(array)))


def prepare(name, dataset):
    """Fetch and vectorize a dataset; return the folder of the vectorized data."""
    preparation.fetch(name, dataset, PARAMS.model_copy(update={"mirrors": ("mirror",)}))
    preparation.vectorize(name, dataset)
    return paths.vectorized(name)


def file_digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file in a folder and its subfolders, by path."""
    return {str(path.relative_to(folder)): sha256(path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def store_correction(
    name: str, label: str, text: str | None = None, pixels: np.ndarray | None = None, **changes: Any
) -> None:
    """Store a labeled sample as the service does when a user corrects a label."""
    raw = text.encode() if text is not None else pixels.tobytes()
    content = {"text": text} if text is not None else {"pixels": base64.b64encode(raw).decode()}
    entry = {"label": label, "digest": hashlib.sha256(raw).hexdigest(), "version": 1, "answer": "x", **content}
    append_only_log.append(paths.incoming(name), {**entry, **changes})


def reviews() -> Dataset:
    """Return the text dataset with bounds that small samples from users can meet."""
    dataset = texts(shuffle_seed=None)
    bounds = dataset.expectations.model_copy(update={"raw_length": (3, 50), "nonzero_features": (2, 100)})
    return dataset.model_copy(update={"expectations": bounds})
