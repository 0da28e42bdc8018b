"""Labelled texts from a tar (kept as Parquet): features are multi-hot words; see `words`."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward import members
from feedforward.errors import DataError
from feedforward.params import TextReader
from feedforward.readers import Part, Reading, order, words
from feedforward.splits import MultiHot, Split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chunk:
    """Some texts of a split, with the names of their files and their labels."""

    names: list[str]
    texts: list[bytes]
    labels: npt.NDArray[np.uint8]


def read(config: TextReader, files: Mapping[str, Path]) -> Reading:
    """Read both splits; the vocabulary comes from the training texts alone.

    Texts are read some megabytes at a time, those of training twice: to count and to encode. Keeping their words
    in between would save a fifth of the time and cost as much memory again as the rows.

    Raises:
        DataError: the file is missing, damaged, or holds no text of a split.
    """
    path = files[config.file]
    counts = words.count(text for chunk in _chunks(path, config.train, config.classes) for text in chunk.texts)
    vocabulary = words.rank(counts, config.num_words)

    def parts() -> Iterator[Part]:
        yield _part("train", _chunks(path, config.train, config.classes), vocabulary, config.shuffle_seed)
        yield _part("test", _chunks(path, config.test, config.classes), vocabulary, None)

    return Reading(parts(), list(vocabulary.words), {"distinct_words": len(counts)})


def samples(config: TextReader, files: Mapping[str, Path], rows: Sequence[int]) -> list[str]:
    """Test texts of those rows; bytes that are not UTF-8 are replaced."""
    wanted, found, start = set(rows), {}, 0
    for chunk in _chunks(files[config.file], config.test, config.classes):
        for row in wanted & set(range(start, start + len(chunk.texts))):
            found[row] = chunk.texts[row - start].decode("utf-8", "replace")
        start += len(chunk.texts)
    return [found[row] for row in rows]


def column_names(vectorized: Path) -> Callable[[int], str]:
    """Words, and Keras's two signs: that a text begins, and that words were dropped."""
    known = (vectorized / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    signs = {words.START: "(start)", words.DROPPED: "(dropped words)"}
    return lambda column: signs[column] if column in signs else known[column - words.RANK_OFFSET - 1]


def _chunks(path: Path, split: str, classes: Sequence[str]) -> Iterator[Chunk]:
    """The texts directly in the folders `split`/class, in the order of the file.

    Raises:
        DataError: the file is missing or damaged, or holds no such text.
    """
    label_of = {f"{split}/{name}": label for label, name in enumerate(classes)}
    found = False
    for names, texts in members.read(path):
        labels = np.array([label_of.get(name.rpartition("/")[0], -1) for name in names])
        keep = np.flatnonzero(labels >= 0)
        if len(keep):
            found = True
            yield Chunk([names[row] for row in keep], [texts[row] for row in keep], labels[keep].astype(np.uint8))
    if not found:
        raise DataError(f"{path}: no text in {' or '.join(label_of)}; check `reader` in params.yaml")


def _part(
    name: Literal["train", "test"],
    chunks: Iterator[Chunk],
    vocabulary: words.Vocabulary,
    shuffle_seed: int | None,
) -> Part:
    rows: list[MultiHot] = []
    labels, lengths, digests, not_utf8 = [], [], [], []
    for chunk in chunks:
        rows.append(words.encode(chunk.texts, vocabulary))
        labels.append(chunk.labels)
        lengths.append(np.array([len(text) for text in chunk.texts], np.int64))
        digests.append(b"".join(hashlib.sha256(text).digest() for text in chunk.texts))
        not_utf8 += [name for name, text in zip(chunk.names, chunk.texts, strict=True) if not _is_utf8(text)]
    if not_utf8:
        log.warning(
            "%s: %d texts are not UTF-8, the first is %s; bad bytes are replaced", name, len(not_utf8), not_utf8[0]
        )
    wanted = order(sum(map(len, labels)), shuffle_seed)
    return Part(
        name,
        Split(_arranged(rows, wanted, vocabulary.columns), np.concatenate(labels)[wanted]),
        np.concatenate(lengths)[wanted],
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)[wanted],
    )


def _arranged(parts: list[MultiHot], wanted: npt.NDArray[np.int64], columns: int) -> MultiHot:
    """The rows of all parts in the order `wanted`. Parts are let go as they are copied, to hold the rows once."""
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    indptr = np.concatenate([[0], np.cumsum(lengths[wanted])])
    places = np.empty_like(wanted)
    places[wanted] = indptr[:-1]
    indices = np.empty(indptr[-1], np.uint16)
    first = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        shift = places[first : first + len(part)] - part.indptr[:-1]
        indices[np.arange(len(part.indices)) + np.repeat(shift, np.diff(part.indptr))] = part.indices
        first += len(part)
    return MultiHot(indptr, indices, columns)


def _is_utf8(text: bytes) -> bool:
    try:
        return text.isascii() or bool(text.decode()) or True
    except UnicodeDecodeError:
        return False
