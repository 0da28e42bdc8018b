"""Readers: raw files → Split. Each is a module with `read(config, files) -> Reading`; params.yaml names its kind."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def drawn(samples: int, config: Drawn) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of training and test, both rising, where the data come as one.

    Raises:
        DataError: too few to have both.
    """
    rows = np.random.default_rng(config.split_seed).permutation(samples)
    count = max(1, round(config.test_share * samples))
    if count >= samples:
        raise DataError(f"{samples} samples are too few to draw a share of {config.test_share:g} for the test")
    return np.sort(rows[count:]), np.sort(rows[:count])


def folder_labels(folder: str, classes: Sequence[str]) -> dict[str, int]:
    """The class number of each class folder beneath `folder` (empty: the top)."""
    return {f"{folder}/{name}" if folder else name: label for label, name in enumerate(classes)}


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
