"""Read raw files into splits. A reader is a module with `read(config, files) -> Reading`; params.yaml selects it."""

import hashlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import RandomSplitReader, Reader
from feedforward.core.errors import DataError, ParamsError
from feedforward.data.splits import Split

# The module for each `reader.kind`, imported only when needed, because importing pyarrow takes a third of a second.
READERS = {
    "idx": "feedforward.data.readers.idx",
    "labeled_text": "feedforward.data.readers.labeled_text",
    "image_folder": "feedforward.data.readers.image_folder",
    "table": "feedforward.data.readers.table",
}
LONGEST_NAME = 60  # characters of a column's name


@dataclass(frozen=True)
class Part:
    """One split and the properties of its raw samples, row by row.

    raw_lengths: bytes, int64, shape (samples,). digests: SHA-256 of the raw bytes, uint8, shape (samples, 32).
    """

    name: Literal["train", "test"]
    split: Split
    raw_lengths: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Reading:
    """The result of a reader. The parts are produced one at a time, to save memory.

    vocabulary: the words that have a column, by frequency rank; None if the features are not words.
    facts: additional entries for the manifest (JSON values). files: additional files for the encoder, by name.
    """

    parts: Iterator[Part]
    vocabulary: list[str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def read(config: Reader, files: Mapping[str, Path]) -> Reading:
    """Read a dataset with the reader that `config.kind` names; `files` maps keys to verified files.

    Raises:
        DataError: a file is missing, damaged or not as `config` describes it.
    """
    module = importlib.import_module(READERS[config.kind])
    reading: Reading = module.read(config, files)
    return reading


def order(samples: int, shuffle_seed: int | None) -> npt.NDArray[np.int64]:
    """The order of samples: file order, or a permutation drawn with `shuffle_seed`."""
    if shuffle_seed is None:
        return np.arange(samples)
    return np.random.default_rng(shuffle_seed).permutation(samples)


def draw_test_split(
    digests: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.generic],
    config: RandomSplitReader,
    copies_together: bool = True,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw a test split from data without one; return the row numbers of both splits, each in increasing order.

    A hash of each sample and `split_seed` decides which samples are drawn, so that a sample stays in its split when
    others are added. Small classes are an exception: if the hash puts a whole class into one split, one of its samples
    is moved to the other split, and it may move back when samples of its class are added. The only sample of a class is
    in train; if all classes have only one, a sample is moved to test. digests: see `Part`.
    copies_together: whether equal samples with the same label are in the same split; if they make up more than
    `test_share` of their class, this is the training split.

    Raises:
        DataError: there are fewer than two samples.
    """
    if len(digests) < 2:
        raise DataError(f"at least two samples are needed to draw a test split, got {len(digests)}")
    keys = _keys(digests, config.split_seed, copies_together)
    is_test = keys < np.uint64(config.test_share * 2**64)
    strata = labels if labels.ndim == 1 and labels.dtype.kind != "f" else np.zeros(len(keys), np.uint8)
    for label in np.unique(strata):
        rows = np.flatnonzero(strata == label)
        groups, group_of_row, sizes = np.unique(keys[rows], return_inverse=True, return_counts=True)
        is_test_group = is_test[rows[np.unique(group_of_row, return_index=True)[1]]]
        is_test_group &= sizes <= max(1, config.test_share * len(rows))  # a text that dominates a class is trained on
        if len(groups) > 1:
            is_test_group[sizes.argmin()] |= not is_test_group.any()
            is_test_group[-1] &= not is_test_group.all()
        else:
            is_test_group[:] = False
        is_test[rows] = is_test_group[group_of_row]
    if not is_test.any():  # each class has only one sample, or copies of one
        is_test[keys.argmin()] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _keys(digests: npt.NDArray[np.uint8], seed: int, copies_together: bool) -> npt.NDArray[np.uint64]:
    """A number per sample, uniform over uint64; the same for all copies of a sample if `copies_together`."""
    prefix, copies = seed.to_bytes(8, "big"), dict[bytes, int]()
    keys = np.empty(len(digests), np.uint64)
    for row, digest in enumerate(map(bytes, digests)):
        copies[digest] = copy = 0 if copies_together else copies.get(digest, -1) + 1
        hashed = hashlib.sha256(prefix + digest + copy.to_bytes(8, "big")).digest()
        keys[row] = int.from_bytes(hashed[:8], "big")
    return keys


def content_digests(contents: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """The SHA-256 of each content: uint8, shape (contents, 32)."""
    joined = b"".join(hashlib.sha256(content).digest() for content in contents)
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def image_part(name: Literal["train", "test"], pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.generic]) -> Part:
    """A split of images. pixels: shape (images, pixels).

    The raw bytes of an image are its pixels as the network receives them, even for images that users submit.
    """
    lengths = np.full(len(pixels), pixels.shape[1], np.int64)
    return Part(name, Split(pixels, labels), lengths, content_digests(row.tobytes() for row in pixels))


def label_of_path(path: str, folder: str, classes: Mapping[str, int]) -> int:
    """The class number of a file below `folder`/CLASS, -1 for others. An empty `folder` is the archive's top level."""
    prefix = f"{folder}/" if folder else ""
    name, slash, _ = path.removeprefix(prefix).partition("/") if path.startswith(prefix) else ("", "", "")
    return classes.get(name, -1) if slash else -1


def samples(config: Reader, files: Mapping[str, Path], rows: Sequence[int]) -> list[str | npt.NDArray[np.uint8]]:
    """The raw test samples in the given rows, for display: texts, or gray pixels of shape (height, width).

    Raises:
        DataError: a file is missing or damaged. ParamsError: see `check_rows`.
    """
    result: list[str | npt.NDArray[np.uint8]] = importlib.import_module(READERS[config.kind]).samples(
        config, files, rows
    )
    return result


def check_rows(rows: Sequence[int], samples: int) -> None:
    """Check row numbers of a split with this number of samples.

    Raises:
        ParamsError: there is no such row.
    """
    if missing := [row for row in rows if not 0 <= row < samples]:
        raise ParamsError(
            [f"row {missing[0]}: must be from 0 to {samples - 1}, because there are {samples} test samples"]
        )


def column_names(config: Reader, vectorized: Path) -> Callable[[int], str]:
    """Column number → name of the feature, for display; `vectorized` is the folder of the vectorized dataset.

    A word can be as long as a text, because it ends only at a space or filter character; long names are shortened.
    """
    names: Callable[[int], str] = importlib.import_module(READERS[config.kind]).column_names(vectorized)

    def short_name(column: int) -> str:
        name = names(column)
        return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"

    return short_name
