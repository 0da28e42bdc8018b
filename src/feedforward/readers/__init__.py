"""Readers: raw files → Split. Each is a module with `read(config, files) -> Reading`; params.yaml names its kind."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from feedforward.params import Reader
from feedforward.splits import Split

# Module of each `reader.kind`; imported when a data set asks for it, because pyarrow takes a third of a second.
READERS = {
    "idx": "feedforward.readers.idx",
    "labelled_text": "feedforward.readers.text",
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
    facts: what else the manifest should tell (JSON values).
    """

    parts: Iterator[Part]
    vocabulary: list[str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


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
