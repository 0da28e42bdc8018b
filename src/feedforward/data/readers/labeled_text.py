"""Reader for labeled texts, in class folders (packed into one Parquet file) or in columns of a table.

The features are multi-hot rows; see `tokenizer`.
"""

import functools
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import TextReader
from feedforward.core import processes
from feedforward.core.errors import DataError
from feedforward.data import collected_files
from feedforward.data.readers import column_values, encodings, table_file, tokenizer
from feedforward.data.readers.class_labels import class_numbers, normalized_classes, warn_unlabeled
from feedforward.data.readers.reading import (
    Part,
    Reading,
    check_rows,
    content_digests,
    draw_test_split,
    label_of_path,
    order,
)
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.data.splits import MultiHot, Split

CHUNK = 4096  # rows of a table per chunk

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chunk:
    """Some texts of a split, with their labels and names (of files, or positions in a table such as "line 3")."""

    names: list[str]
    texts: list[bytes]
    labels: npt.NDArray[np.generic]


@dataclass(frozen=True)
class EncodedChunk:
    """A chunk as rows of features, and properties of its texts (see `Part`).

    windows_1252: names of texts that are in neither UTF-8, UTF-16 nor UTF-32, and are read as Windows-1252.
    """

    features: MultiHot
    labels: npt.NDArray[np.generic]
    raw_lengths: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]
    windows_1252: list[str]


Chunks = Callable[[], Iterator[Chunk]]  # may be called several times
Allocate = Callable[[int], npt.NDArray[np.uint16]]  # returns an array for that number of indices


def read(config: TextReader, files: Mapping[str, Path]) -> Reading:
    """Read both splits; the vocabulary comes from the training texts alone.

    Texts in folders are read a few megabytes at a time; columns of a table are loaded as a whole. Training texts are
    read once to count words and once to encode them (and once to draw a test split, if necessary); keeping the words
    between two passes would save a fifth of the time and double the memory.

    Raises:
        DataError: a file is missing or damaged, does not match `config`, or has no text for a split.
    """
    train, test = splits(config, files)
    counts = tokenizer.total(processes.map_in_order(lambda chunk: tokenizer.count(chunk.texts, config.ngrams), train()))
    vocabulary = tokenizer.rank(counts, config.num_words)

    def parts() -> Iterator[Part]:
        folder = files[config.file].parent
        yield _part("train", train, config, folder, vocabulary)
        yield _part("test", test, config, folder, vocabulary)

    return Reading(parts(), list(vocabulary.words), tokenizer.facts(counts))


def encode_part(
    config: TextReader, files: Mapping[str, Path], name: Literal["train", "test"], encoder: TextEncoder
) -> Part:
    """Read one split as `read` does, but with the vocabulary of `encoder`; raises as `read` does."""
    train, test = splits(config, files)
    adapted = config.model_copy(update={"num_words": encoder.feature_count})
    return _part(name, train if name == "train" else test, adapted, files[config.file].parent, encoder.vocabulary)


def _part(
    name: Literal["train", "test"], chunks: Chunks, config: TextReader, folder: Path, vocabulary: tokenizer.Vocabulary
) -> Part:
    encode_chunk = functools.partial(encode, vocabulary=vocabulary)
    return assemble(name, processes.map_in_order(encode_chunk, chunks()), config, folder)


def samples(config: TextReader, files: Mapping[str, Path], rows: Sequence[int]) -> list[str]:
    """The test texts in the given rows."""
    requested, texts, start = set(rows), {}, 0
    for chunk in splits(config, files)[1]():
        for row in requested & set(range(start, start + len(chunk.texts))):
            texts[row] = tokenizer.decode(chunk.texts[row - start])
        start += len(chunk.texts)
    check_rows(rows, start)
    return [texts[row] for row in rows]


def column_names(vectorized: Path) -> Callable[[int], str]:
    """Names of the feature columns: words, pairs, and Keras's two markers (start of a text, dropped words)."""
    words = (vectorized / "vocabulary.txt").read_bytes().decode().split("\n")[:-1]
    names = dict(enumerate(words, start=tokenizer.RANK_OFFSET + 1))
    names |= {tokenizer.START: "(start)", tokenizer.DROPPED: "(dropped words)"}
    return lambda column: names.get(column, "(unused)")


def splits(config: TextReader, files: Mapping[str, Path]) -> tuple[Chunks, Chunks]:
    """Training and test texts: from two folders or files, or from a single one, from which the test texts are drawn."""

    def chunks_of(file: str, folder: str | None) -> Chunks:
        if config.text is not None:
            return functools.partial(_read_columns, config, files[file])
        return functools.partial(_read_folders, files[file], folder or "", config.classes)

    chunks = chunks_of(config.file, config.train)
    if config.test is not None or config.test_file is not None:
        return chunks, chunks_of(config.test_file or config.file, config.test)
    digests, labels = zip(*((content_digests(chunk.texts), chunk.labels) for chunk in chunks()), strict=True)
    train, test = draw_test_split(np.concatenate(digests), np.concatenate(labels), config)
    return functools.partial(_select_rows, chunks, train), functools.partial(_select_rows, chunks, test)


def _select_rows(chunks: Chunks, row_numbers: npt.NDArray[np.int64]) -> Iterator[Chunk]:
    """Yield the texts with these row numbers, which must be in increasing order."""
    start = 0
    for chunk in chunks():
        rows = row_numbers[(row_numbers >= start) & (row_numbers < start + len(chunk.texts))] - start
        start += len(chunk.texts)
        if len(rows):
            yield Chunk([chunk.names[k] for k in rows], [chunk.texts[k] for k in rows], chunk.labels[rows])


def _read_columns(config: TextReader, path: Path) -> Iterator[Chunk]:
    """Yield the labeled texts of a CSV, JSON lines or Parquet file.

    Raises:
        DataError: the file cannot be read, has no rows, lacks a column, or has a label that is not one of the classes.
    """
    assert config.text is not None
    assert config.label is not None
    table = table_file.read(path, (config.text, config.label))
    where = f"{path}: column {config.label!r}"
    if not table.row_count:
        raise DataError(f"{path}: contains no rows; check the file")
    labels = column_values.categories(table.columns[config.label], missing=(*config.missing, *config.excluded_classes))
    labeled_rows = np.flatnonzero(warn_unlabeled(labels != "", where))
    numbers = class_numbers(labels, normalized_classes(config, path), where, table.position)[labeled_rows]
    texts = table.columns[config.text].take(labeled_rows)
    for start in range(0, len(labeled_rows), CHUNK):
        chunk = texts.slice(start, CHUNK).to_pylist()
        names = [table.position(row) for row in labeled_rows[start : start + CHUNK]]
        yield Chunk(names, [column_values.cell_text(text).encode() for text in chunk], numbers[start : start + CHUNK])


def _read_folders(path: Path, split: str, classes: Sequence[str]) -> Iterator[Chunk]:
    """Yield the texts in the folders `split`/CLASS and their subfolders, in the order of the file.

    Raises:
        DataError: the file is missing or damaged, or has no such text.
    """
    codes = {name: code for code, name in enumerate(classes)}
    label_of = functools.cache(lambda folder: label_of_path(f"{folder}/", split, codes))
    dtype = np.min_scalar_type(len(classes) - 1)
    is_empty = True
    for names, texts in collected_files.read(path):
        labels = np.array([label_of(name.rpartition("/")[0]) for name in names])
        keep = np.flatnonzero(labels >= 0)
        if len(keep):
            is_empty = False
            yield Chunk([names[row] for row in keep], [texts[row] for row in keep], labels[keep].astype(dtype))
    if is_empty:
        folders = ", ".join(f"{split}/{name}" if split else name for name in classes)
        raise DataError(f"{path}: has no text in the class folders {folders}; check `reader`")


def encode(chunk: Chunk, vocabulary: tokenizer.Vocabulary) -> EncodedChunk:
    """Encode a chunk; the features of a text do not depend on the other texts in the chunk."""
    return EncodedChunk(
        tokenizer.encode(chunk.texts, vocabulary),
        chunk.labels,
        np.array([len(text) for text in chunk.texts], np.int64),
        content_digests(chunk.texts),
        [name for name, text in zip(chunk.names, chunk.texts, strict=True) if not _is_unicode(text)],
    )


def _in_memory(indices: int) -> npt.NDArray[np.uint16]:
    return np.empty(indices, np.uint16)


def assemble(
    name: Literal["train", "test"],
    encoded: Iterable[EncodedChunk],
    config: TextReader,
    folder: Path,
    allocate: Allocate = _in_memory,
) -> Part:
    """Assemble a split from its chunks, which must be in the order of the raw data.

    config: provides the shuffle seed and the number of columns. folder: for an unnamed temporary file, so that no row
    is in memory twice. allocate: provides the memory for the indices.
    """
    row_lengths, labels, lengths, digests = [], [], [], []
    windows_1252: list[str] = []
    with tempfile.TemporaryFile(dir=folder) as rows:
        for chunk in encoded:
            rows.write(chunk.features.indices.data)
            row_lengths.append(np.diff(chunk.features.indptr))
            labels.append(chunk.labels)
            lengths.append(chunk.raw_lengths)
            digests.append(chunk.digests)
            windows_1252 += chunk.windows_1252
        row_order = order(sum(map(len, labels)), config.shuffle_seed if name == "train" else None)
        features = _reorder(rows, row_lengths, row_order, config.num_words, allocate)
    if windows_1252:
        log.warning(
            "%s: %d texts are not UTF-8 (the first: %s); they are read as Windows-1252",
            name,
            len(windows_1252),
            windows_1252[0],
        )
    return Part(
        name,
        Split(features, np.concatenate(labels)[row_order]),
        np.concatenate(lengths)[row_order],
        np.concatenate(digests)[row_order],
    )


def _reorder(
    rows: IO[bytes],
    row_lengths: list[npt.NDArray[np.int64]],
    row_order: npt.NDArray[np.int64],
    columns: int,
    allocate: Allocate,
) -> MultiHot:
    """The rows in `row_order`. rows: a file with their indices. row_lengths: each row's number of indices, by chunk."""
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(row_lengths)[row_order])])
    positions = np.empty_like(row_order)
    positions[row_order] = indptr[:-1]
    indices = allocate(int(indptr[-1]))
    first = 0
    rows.seek(0)
    for lengths in row_lengths:
        chunk = np.frombuffer(rows.read(int(lengths.sum()) * indices.itemsize), indices.dtype)
        shift = positions[first : first + len(lengths)] - (np.cumsum(lengths) - lengths)
        indices[np.arange(len(chunk)) + np.repeat(shift, lengths)] = chunk
        first += len(lengths)
    return MultiHot(indptr, indices, columns)


def _is_unicode(text: bytes) -> bool:
    try:
        return text.isascii() or encodings.detect_wide(text) is not None or bool(text.decode()) or True
    except UnicodeDecodeError:
        return False
