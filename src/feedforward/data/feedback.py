"""Users' labelled samples on their way into training: checked, each once, kept as a snapshot, joined to the split.

The service appends to `paths.incoming`; `take` adds what is sound to `paths.collected`, which DVC keeps and vectorize
reads. A sample is sound if its label and digest are right, it lies within the bounds that the data set's expectations
set for one sample, nobody gave it another label, and it stands in neither split: no test sample is ever trained on.
"""

import base64
import binascii
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core import append_only_log, atomic_files, paths
from feedforward.data.readers.reading import Part
from feedforward.data.splits import Features, MultiHot, Split

if TYPE_CHECKING:
    from feedforward.data.readers.text_encoder import TextEncoder

HEAD = {"format": 1}  # first line of the snapshot: DVC warns of an empty file
KEPT = ("label", "digest", "text", "pixels")  # of an entry; neither when it came nor what was answered


@dataclass(frozen=True)
class Intake:
    """What has come in. new: sound samples that no training has seen; refused: how many others, by reason."""

    new: list[dict[str, Any]]
    refused: dict[str, int]


def read(name: str) -> list[dict[str, Any]]:
    """The samples of the snapshot, in the order in which they were taken in."""
    return [entry for entry in append_only_log.read(paths.collected(name)) if "digest" in entry]


def take(name: str, dataset: Dataset, collect: bool) -> int:
    """Add what is new and sound to the snapshot, which is there afterwards; how many were added.

    Without `collect`, or where the data set is not vectorized yet, nothing is.
    """
    kept = read(name)
    new = examine(name, dataset).new if collect and (paths.vectorized(name) / "manifest.json").is_file() else []
    if new or not paths.collected(name).is_file():
        lines = "".join(f"{atomic_files.canonical_json(entry)}\n" for entry in [HEAD, *kept, *new])
        atomic_files.write_text(paths.collected(name), lines, "collect")
    return len(new)


def examine(name: str, dataset: Dataset) -> Intake:
    """Hold the incoming samples against the data set as it is vectorized."""
    entries = list(append_only_log.read(paths.incoming(name)))
    if not entries:
        return Intake([], {})
    labels: dict[str, set[Any]] = {}
    for entry in entries:
        labels.setdefault(str(entry.get("digest")), set()).add(str(entry.get("label")))
    kept, known = {entry["digest"] for entry in read(name)}, _known(name)
    features = int(atomic_files.read_json(paths.vectorized(name) / "manifest.json")["features"])
    encoder = encoder_of(name, dataset)
    sound: dict[str, dict[str, Any]] = {}
    refused: Counter[str] = Counter()
    for entry in entries:
        digest = str(entry.get("digest"))
        if digest in kept or digest in sound:
            continue
        problem = _problem(entry, dataset, encoder, features)
        if problem is None and len(labels[digest]) > 1:
            problem = "given two labels"
        if problem is None and digest in known:
            problem = "in the data already"
        if problem is None:
            sound[digest] = {key: entry[key] for key in KEPT if key in entry}
        else:
            refused[problem] += 1
    return Intake(list(sound.values()), dict(sorted(refused.items())))


def _problem(entry: Mapping[str, Any], dataset: Dataset, encoder: "TextEncoder | None", features: int) -> str | None:
    """What is wrong with an entry of itself."""
    if entry.get("label") not in dataset.labels:
        return "unknown label"
    raw = _raw(entry, encoder is not None)
    if raw is None or hashlib.sha256(raw).hexdigest() != entry.get("digest"):
        return "damaged"
    bounds = dataset.expectations
    if encoder is None and len(raw) != features:
        return "of another size"
    ones = len(encoder.encode([entry["text"]]).indices) if encoder else int(np.count_nonzero(np.frombuffer(raw, "u1")))
    if bounds is None:
        return None
    if (
        not bounds.raw_length[0] <= len(raw) <= bounds.raw_length[1]
        or not bounds.nonzero_features[0] <= ones <= bounds.nonzero_features[1]
    ):
        return "too short or too long"
    return None


def _raw(entry: Mapping[str, Any], is_text: bool) -> bytes | None:
    """The bytes of which the digest is; None if there are none."""
    content = entry.get("text" if is_text else "pixels")
    if not isinstance(content, str):
        return None
    if is_text:
        return content.encode("utf-8", "replace")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return None


def _known(name: str) -> set[str]:
    """Digests of the raw samples of both splits."""
    import pyarrow.parquet as pq

    return set(pq.read_table(paths.vectorized(name) / "profile.parquet", columns=["digest"])["digest"].to_pylist())


def encoder_of(name: str, dataset: Dataset) -> "TextEncoder | None":
    """What encodes texts as they are vectorized; None for pictures, which come as the network gets them."""
    if dataset.reader.kind != "labeled_text":
        return None
    from feedforward.data.readers import (
        tokenizer,  # pyarrow takes a third of a second, which only who collects texts pays
    )
    from feedforward.data.readers.text_encoder import VOCABULARY, TextEncoder

    return TextEncoder(tokenizer.load_vocabulary(paths.vectorized(name) / VOCABULARY, dataset.reader.num_words))


# --- into the split --------------------------------------------------------------------------


def part(entries: Sequence[Mapping[str, Any]], dataset: Dataset, encoder: "TextEncoder | None") -> Part:
    """Entries, at least one, as a part of the training split; words keep the columns that the raw data gave them."""
    raws = [_raw(entry, encoder is not None) or b"" for entry in entries]
    features: Features
    if encoder is None:
        features = np.stack([np.frombuffer(raw, np.uint8) for raw in raws])
    else:
        features = encoder.encode([entry["text"] for entry in entries])
    labels = np.array([dataset.labels.index(entry["label"]) for entry in entries], np.uint8)
    digests = np.frombuffer(bytes.fromhex("".join(entry["digest"] for entry in entries)), np.uint8).reshape(-1, 32)
    return Part("train", Split(features, labels), np.array([len(raw) for raw in raws], np.int64), digests)


def join(raw: Part, taken: Part, held_out: str) -> Part:
    """Both parts as one; `taken` stands where no sample is held out (`first` or `last` are), so that these stay."""
    parts = [raw, taken] if held_out == "first" else [taken, raw]
    splits = [each.split for each in parts]
    labels = np.concatenate([split.labels for split in splits])
    lengths = np.concatenate([each.raw_lengths for each in parts])
    digests = np.concatenate([each.digests for each in parts])
    return Part(raw.name, Split(_stacked([split.features for split in splits]), labels), lengths, digests)


def _stacked(parts: Sequence[Features]) -> Features:
    dense: list[npt.NDArray[np.generic]] = [each for each in parts if not isinstance(each, MultiHot)]
    if dense:
        return np.concatenate(dense)
    sparse = [each for each in parts if isinstance(each, MultiHot)]
    lengths = np.concatenate([np.diff(each.indptr) for each in sparse])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return MultiHot(indptr, np.concatenate([each.indices for each in sparse]), sparse[0].columns)
