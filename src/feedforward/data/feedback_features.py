"""Users' samples as features: encoded as training encodes them, identified by them, joined with the training split."""

import base64
import binascii
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core import paths
from feedforward.data import manifest as manifest_file
from feedforward.data.readers.reading import Part
from feedforward.data.splits import Features, MultiHot, Split

if TYPE_CHECKING:
    from feedforward.data.readers.text_encoder import TextEncoder


@dataclass(frozen=True)
class Encodings:
    """What encoding has shown so far, for the vectorized data with this digest.

    samples: digest of a sample → SHA-256 of its features, and how many of them are not zero. rows: split → SHA-256 of
    the features of its rows.
    """

    data_digest: str
    samples: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    rows: dict[str, set[bytes]] = field(default_factory=dict)


class Cache:
    """Keeps encodings until the dataset is vectorized again, because encoding takes a long time."""

    def __init__(self) -> None:
        self._encodings = Encodings("")

    def of(self, name: str, manifest: Mapping[str, Any]) -> Encodings:
        """The encodings for a vectorized dataset; raises as `manifest.load_split` does."""
        if (data_digest := str(manifest["data_digest"])) != self._encodings.data_digest:
            splits = {part: manifest_file.load_split(name, part, manifest) for part in ("train", "test")}
            rows = {part: set(_row_digests(split.features)) for part, split in splits.items()}
            self._encodings = Encodings(data_digest, rows=rows)
        return self._encodings


def encoded(entry: Mapping[str, Any], encoder: "TextEncoder | None", encodings: Encodings) -> tuple[bytes, int]:
    """SHA-256 of the features of an undamaged entry, and how many of them are not zero."""
    if (known := encodings.samples.get(entry["digest"])) is None:
        features = _features([entry], encoder)
        [digest] = _row_digests(features)
        nonzero = len(features.indices) if isinstance(features, MultiHot) else int(np.count_nonzero(features))
        known = encodings.samples[entry["digest"]] = digest, nonzero
    return known


def _row_digests(features: Features) -> Iterator[bytes]:
    """SHA-256 of each row."""
    rows: Iterable[npt.NDArray[np.generic]]
    if isinstance(features, MultiHot):
        rows = (features.indices[start:stop] for start, stop in itertools.pairwise(features.indptr))
    else:
        rows = features
    return (hashlib.sha256(row.tobytes()).digest() for row in rows)


def raw_bytes(entry: Mapping[str, Any], is_text: bool) -> bytes | None:
    """The bytes that the digest refers to; None if they are missing or damaged."""
    content = entry.get("text" if is_text else "pixels")
    if not isinstance(content, str):
        return None
    if is_text:
        return content.encode("utf-8", "replace")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return None


def encoder_of(name: str, dataset: Dataset) -> "TextEncoder | None":
    """The encoder of a text dataset; None for images, which arrive in the form that the network takes."""
    if dataset.reader.kind != "labeled_text":
        return None
    from feedforward.data.readers import tokenizer
    from feedforward.data.readers.text_encoder import VOCABULARY, TextEncoder

    return TextEncoder(tokenizer.load_vocabulary(paths.vectorized(name) / VOCABULARY, dataset.reader.num_words))


def part(entries: Sequence[Mapping[str, Any]], dataset: Dataset, encoder: "TextEncoder | None") -> Part:
    """Encode entries, at least one, as a part of the training split. encoder: see `encoder_of`."""
    raws = [raw_bytes(entry, encoder is not None) or b"" for entry in entries]
    features = _features(entries, encoder)
    dtype = np.min_scalar_type(len(dataset.labels) - 1)
    labels = np.array([dataset.labels.index(entry["label"]) for entry in entries], dtype)
    digests = np.frombuffer(bytes.fromhex("".join(entry["digest"] for entry in entries)), np.uint8).reshape(-1, 32)
    return Part("train", Split(features, labels), np.array([len(raw) for raw in raws], np.int64), digests)


def _features(entries: Sequence[Mapping[str, Any]], encoder: "TextEncoder | None") -> Features:
    if encoder is not None:
        return encoder.encode([entry["text"] for entry in entries])
    return np.stack([np.frombuffer(raw_bytes(entry, is_text=False) or b"", np.uint8) for entry in entries])


def has_size(entry: Mapping[str, Any], pixels: int) -> bool:
    """Whether an image that was collected has this number of pixels."""
    return len(raw_bytes(entry, is_text=False) or b"") == pixels


def join(raw: Part, collected: Part, held_out: str) -> Part:
    """Join the parts so that the fixed validation split does not change.

    held_out: which samples of the training split it consists of, `first` or `last`; `collected` goes to the other end.
    """
    parts = [raw, collected] if held_out == "first" else [collected, raw]
    splits = [item.split for item in parts]
    labels = np.concatenate([split.labels for split in splits])
    lengths = np.concatenate([item.raw_lengths for item in parts])
    digests = np.concatenate([item.digests for item in parts])
    return Part(raw.name, Split(_stack([split.features for split in splits]), labels), lengths, digests)


def _stack(parts: Sequence[Features]) -> Features:
    dense: list[npt.NDArray[np.generic]] = [features for features in parts if not isinstance(features, MultiHot)]
    if dense:
        return np.concatenate(dense)
    sparse = [features for features in parts if isinstance(features, MultiHot)]
    lengths = np.concatenate([np.diff(rows.indptr) for rows in sparse])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return MultiHot(indptr, np.concatenate([rows.indices for rows in sparse]), sparse[0].columns)
