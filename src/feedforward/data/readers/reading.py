"""Readers: raw files → Split. Each is a module with `read(config, files) -> Reading`; params.yaml names its kind."""

import hashlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Drawn, Reader
from feedforward.core.errors import DataError
from feedforward.data.splits import Split

# Module of each `reader.kind`; imported when a data set asks for it, because pyarrow takes a third of a second.
READERS = {
    "idx": "feedforward.data.readers.idx",
    "labeled_text": "feedforward.data.readers.labeled_text",
    "image_folder": "feedforward.data.readers.image_folder",
    "table": "feedforward.data.readers.table",
}


@dataclass(frozen=True)
class Part:
    """One split and what is known of its raw samples, row for row.

    raw_lengths: int64, (samples,), bytes. digests: uint8, (samples, 32), SHA-256 of the raw bytes.
    """

    name: Literal["train", "test"]
    split: Split
    raw_lengths: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Reading:
    """What a reader makes of the raw files: the parts one after the other, so that one at a time is in memory.

    vocabulary: the words that have a column, by frequency rank; None where features are not words.
    facts: what else the manifest should tell (JSON values). files: what else the encoder needs, by name.
    """

    parts: Iterator[Part]
    vocabulary: list[str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def read(config: Reader, files: Mapping[str, Path]) -> Reading:
    """Read a data set with the reader that `config.kind` names; `files` maps a file's key to its verified bytes.

    Raises:
        DataError: a file is missing, damaged or not what `config` says.
    """
    module = importlib.import_module(READERS[config.kind])
    reading: Reading = module.read(config, files)
    return reading


def order(samples: int, shuffle_seed: int | None) -> npt.NDArray[np.int64]:
    """Order of the training samples: as they come, or the permutation of that seed."""
    if shuffle_seed is None:
        return np.arange(samples)
    return np.random.default_rng(shuffle_seed).permutation(samples)


def drawn(
    digests: npt.NDArray[np.uint8], labels: npt.NDArray[np.generic], config: Drawn
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of training and test, both in rising order, where the data come as one part.

    A hash of the sample and `split_seed` decides, so that a sample stays in its part when others are added. Each class
    with two samples or more has at least one in either part. digests: see `Part`.

    Raises:
        DataError: fewer than two samples.
    """
    if len(digests) < 2:
        raise DataError(f"{len(digests)} samples are too few to draw a share of {config.test_share:g} for the test")
    keys = _keys(digests, config.split_seed)
    is_test = keys < np.uint64(config.test_share * 2**64)
    strata = labels if labels.ndim == 1 and labels.dtype.kind != "f" else np.zeros(len(keys), np.uint8)
    for label in np.unique(strata):
        rows = np.flatnonzero(strata == label)
        if len(rows) > 1 or len(rows) == len(keys):
            is_test[rows[keys[rows].argmin()]] = True
            is_test[rows[keys[rows].argmax()]] = False
        else:
            is_test[rows] = False
    if not is_test.any():  # every class has one sample
        is_test[keys.argmin()] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _keys(digests: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint64]:
    """A number per sample, evenly distributed over uint64; equal samples are numbered, so that they differ."""
    prefix, copies = seed.to_bytes(8, "big"), dict[bytes, int]()
    keys = np.empty(len(digests), np.uint64)
    for row, digest in enumerate(map(bytes, digests)):
        copies[digest] = copy = copies.get(digest, -1) + 1
        hashed = hashlib.sha256(prefix + digest + copy.to_bytes(8, "big")).digest()
        keys[row] = int.from_bytes(hashed[:8], "big")
    return keys


def content_digests(contents: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """SHA-256 of each, (contents, 32)."""
    joined = b"".join(hashlib.sha256(content).digest() for content in contents)
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def label_of_path(path: str, folder: str, classes: Mapping[str, int]) -> int:
    """The class number of a file below `folder`/CLASS, however deep; -1 if there is none. `folder` empty: the top."""
    prefix = f"{folder}/" if folder else ""
    name, slash, _ = path.removeprefix(prefix).partition("/") if path.startswith(prefix) else ("", "", "")
    return classes.get(name, -1) if slash else -1


def samples(config: Reader, files: Mapping[str, Path], rows: Sequence[int]) -> list[str | npt.NDArray[np.uint8]]:
    """The raw test samples of those rows, as people see them: a text, or gray pixels (height, width).

    Raises:
        DataError: a file is missing or damaged.
    """
    found: list[str | npt.NDArray[np.uint8]] = importlib.import_module(READERS[config.kind]).samples(
        config, files, rows
    )
    return found


def column_names(config: Reader, vectorized: Path) -> Callable[[int], str]:
    """What a column of the features is called; `vectorized` is the folder of the vectorized data set."""
    names: Callable[[int], str] = importlib.import_module(READERS[config.kind]).column_names(vectorized)
    return names
