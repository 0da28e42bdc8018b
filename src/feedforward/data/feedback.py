"""Labeled samples that users submitted: validated, deduplicated, stored in a snapshot, and added to the training split.

The service appends samples to `paths.incoming`. `take` adds the valid ones that nobody has rejected (or, with
`retraining.review`, that somebody has accepted) to `paths.collected`, which DVC tracks and `vectorize` reads. A sample
is valid if its label is known and its digest correct, it is within the bounds that the dataset's expectations set for
each sample, nobody has given it a different label (unless decisions settle which one is right), and it is in neither
split, so no test sample is used for training. A decision against a sample of the snapshot removes it at once
(`withdraw`), so that DVC sees a changed file.
"""

import base64
import binascii
import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Dataset
from feedforward.core import append_only_log, atomic_files, locks, paths
from feedforward.core.errors import DataError
from feedforward.data import feedback_decisions
from feedforward.data import manifest as manifest_file
from feedforward.data.feedback_decisions import ACCEPTED, Decision, sample_id
from feedforward.data.readers.reading import Part
from feedforward.data.splits import Features, MultiHot, Split

if TYPE_CHECKING:
    from feedforward.data.readers.text_encoder import TextEncoder

FIRST_LINE = {"format": 1}  # first line of the snapshot, because DVC warns about empty files
WITHDRAWN = "withdrawn"  # key of the line in which `withdraw` lists samples that it removed; `take` removes the line
TWO_LABELS = "given two labels"
STORED_FIELDS = ("label", "digest", "text", "pixels")  # fields of an entry that the snapshot keeps


@dataclass(frozen=True)
class Sample:
    """A sample as a user submitted it. problem: why training cannot use it. used: whether the snapshot contains it."""

    id: str
    entry: Mapping[str, Any]
    problem: str | None
    decision: Decision | None
    used: bool

    def is_wanted(self, review: bool) -> bool:
        """Whether the sample should be used for training. review: whether somebody must have accepted it."""
        return feedback_decisions.is_wanted(self.decision, review)


class Counts:
    """A cache: digest of a sample → its number of non-zero features. Counting them requires encoding the sample."""

    def __init__(self) -> None:
        self._data_digest, self._by_digest = "", dict[str, int]()

    def of(self, data_digest: str) -> dict[str, int]:
        """The cached counts for the vectorized data with this digest; a new digest empties the cache."""
        if data_digest != self._data_digest:
            self._data_digest, self._by_digest = data_digest, {}
        return self._by_digest


@dataclass(frozen=True)
class Intake:
    """How the snapshot should change. new: samples to add. refused: reason → number of samples that are not added.

    waiting: number of valid samples that are not added because nobody has accepted them yet. withdrawn: IDs of samples
    to remove, because training no longer wants them, and of those that `withdraw` has removed.
    """

    new: list[dict[str, Any]]
    refused: dict[str, int]
    waiting: int = 0
    withdrawn: frozenset[str] = frozenset()


def read(name: str) -> list[dict[str, Any]]:
    """The samples of the snapshot, in the order in which they were added.

    Raises:
        DataError: a sample was changed.
    """
    entries = [entry for entry in append_only_log.read(paths.collected(name)) if "digest" in entry]
    for entry in entries:
        raw = _raw_bytes(entry, "text" in entry)
        if raw is None or hashlib.sha256(raw).hexdigest() != entry["digest"] or not isinstance(entry.get("label"), str):
            raise DataError(f"{paths.collected(name)}: a sample was changed; restore the file with `dvc checkout`")
    return entries


def usable(name: str, dataset: Dataset) -> list[dict[str, Any]]:
    """The samples of the snapshot whose label the dataset has; raises as `read` does."""
    return [entry for entry in read(name) if entry["label"] in dataset.labels]


def take(name: str, dataset: Dataset, collect: bool, review: bool = False) -> int:
    """Add new, valid samples to the snapshot, and remove those that are no longer wanted; return the number added.

    The snapshot is created if it does not exist. Without `collect`, an existing snapshot does not change; before the
    dataset is vectorized, nothing is added. review: only samples that somebody has accepted are wanted.

    Raises:
        DataError: a sample of the snapshot was changed, or a file of the vectorized dataset cannot be read.
        Busy: see `locked`.
    """
    if not collect:
        if not paths.collected(name).is_file():
            _write(name, [])
        return 0
    with locked(name):
        if (paths.vectorized(name) / "manifest.json").is_file():
            intake = examine(name, dataset, review)
        else:
            intake = Intake([], {}, withdrawn=_removed(name) | _unwanted(name, review))
        if intake.new or intake.withdrawn or not paths.collected(name).is_file():
            kept = [entry for entry in read(name) if sample_id(entry) not in intake.withdrawn]
            _write(name, [*kept, *intake.new])
    return len(intake.new)


def withdraw(name: str, review: bool = False) -> None:
    """Remove from the snapshot the samples that decisions rule out. The caller holds `locked(name)`.

    A line about them remains, so that the file differs from everything that `take` writes. Otherwise, if samples were
    removed after `vectorize` had read them but before DVC recorded the file's digest, DVC would consider the vectorized
    data, which contain these samples, to be up to date.
    """
    if unwanted := _unwanted(name, review):
        kept = [entry for entry in read(name) if sample_id(entry) not in unwanted]
        _write(name, [*kept, {WITHDRAWN: sorted(unwanted | _removed(name))}])


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep other processes from changing the snapshot, and from deciding on its samples, during the block.

    Raises:
        Busy: another process held the lock for locks.SHORT seconds.
    """
    lock = paths.reviews(name).with_name(f".{name}.snapshot.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locks.holding(lock):
        yield


def _write(name: str, entries: Sequence[Mapping[str, Any]]) -> None:
    lines = "".join(f"{atomic_files.canonical_json(entry)}\n" for entry in [FIRST_LINE, *entries])
    atomic_files.write_text(paths.collected(name), lines, "collect")


def _removed(name: str) -> frozenset[str]:
    """IDs of the samples that `withdraw` has removed since the last `take`."""
    lines = (entry.get(WITHDRAWN) for entry in append_only_log.read(paths.collected(name)))
    return frozenset(str(id_) for ids in lines if isinstance(ids, list) for id_ in ids)


def _unwanted(name: str, review: bool) -> frozenset[str]:
    """IDs of the samples of the snapshot that decisions rule out.

    A sample is ruled out if it was rejected, if a required acceptance is missing (`review`), or if another label was
    accepted for the same content.
    """
    snapshot = {sample_id(entry): entry for entry in read(name)}
    decisions = feedback_decisions.read(name) if snapshot else {}
    labels = _labels(snapshot | _incoming(name), decisions) if decisions else {}

    def is_unwanted(id_: str, entry: Mapping[str, Any]) -> bool:
        candidates, is_decided = labels.get(str(entry["digest"]), (set(), False))
        other_label = is_decided and candidates != {str(entry["label"])}
        return other_label or not feedback_decisions.is_wanted(decisions.get(id_), review)

    return frozenset(id_ for id_, entry in snapshot.items() if is_unwanted(id_, entry))


def _incoming(name: str) -> dict[str, dict[str, Any]]:
    return {sample_id(entry): entry for entry in append_only_log.read(paths.incoming(name))}


def examine(name: str, dataset: Dataset, review: bool = False) -> Intake:
    """Validate the incoming samples against the vectorized dataset, and apply the decisions about them."""
    new: list[dict[str, Any]] = []
    refused: Counter[str] = Counter()
    waiting, withdrawn = 0, set()
    for sample in samples(name, dataset):
        if sample.used:
            if sample.problem or not sample.is_wanted(review):
                withdrawn.add(sample.id)
        elif sample.decision is not None and sample.decision.verdict != ACCEPTED:
            refused["rejected"] += 1
        elif sample.problem:
            refused[sample.problem] += 1
        elif sample.is_wanted(review):
            new.append({key: sample.entry[key] for key in STORED_FIELDS if key in sample.entry})
        else:
            waiting += 1
    return Intake(new, dict(sorted(refused.items())), waiting, _removed(name) | withdrawn)


def samples(name: str, dataset: Dataset, counts: Counts | None = None) -> list[Sample]:
    """The samples in the incoming file and the snapshot, oldest first, without repeats of content and label.

    counts: a cache, for callers that call this function repeatedly.
    """
    snapshot = read(name)
    entries = {sample_id(entry): entry for entry in snapshot} | _incoming(name)
    if not entries:
        return []
    used, decisions = {sample_id(entry) for entry in snapshot}, feedback_decisions.read(name)
    labels = _labels(entries, decisions)
    vectorized = _vectorized_digests(name) - {entry["digest"] for entry in snapshot}
    manifest = manifest_file.load(name)
    nonzero_counts = (counts or Counts()).of(str(manifest["data_digest"]))
    features, encoder = int(manifest["features"]), encoder_of(name, dataset)
    examined = []
    for id_, entry in entries.items():
        digest, decision = str(entry.get("digest")), decisions.get(id_)
        candidates, is_decided = labels.get(digest, (set(), False))
        problem = None if id_ in used else _problem(entry, dataset, encoder, features, nonzero_counts)
        if problem is None and (id_ not in used or is_decided) and candidates != {str(entry.get("label"))}:
            problem = TWO_LABELS
        if problem is None and digest in vectorized:
            problem = "already in the data"
        examined.append(Sample(id_, entry, problem, decision, id_ in used))
    return examined


def _labels(
    entries: Mapping[str, Mapping[str, Any]], decisions: Mapping[str, Decision]
) -> dict[str, tuple[set[str], bool]]:
    """Digest → (its accepted labels, True), or (its undecided labels, False) if none of its labels is accepted."""
    accepted: dict[str, set[str]] = {}
    undecided: dict[str, set[str]] = {}
    for id_, entry in entries.items():
        decision = decisions.get(id_)
        if decision is None or decision.verdict == ACCEPTED:
            group = undecided if decision is None else accepted
            group.setdefault(str(entry.get("digest")), set()).add(str(entry.get("label")))
    return {digest: (labels, False) for digest, labels in undecided.items()} | {
        digest: (labels, True) for digest, labels in accepted.items()
    }


def _problem(
    entry: Mapping[str, Any],
    dataset: Dataset,
    encoder: "TextEncoder | None",
    features: int,
    nonzero_counts: dict[str, int],
) -> str | None:
    """Why an entry is invalid, regardless of all other samples; None if it is valid. nonzero_counts: see Counts."""
    if entry.get("label") not in dataset.labels:
        return "unknown label"
    raw = _raw_bytes(entry, encoder is not None)
    if raw is None or hashlib.sha256(raw).hexdigest() != entry.get("digest"):
        return "damaged"
    bounds = dataset.expectations
    if encoder is None and len(raw) != features:
        return "wrong size"
    if bounds is None:
        return None
    if not bounds.raw_length[0] <= len(raw) <= bounds.raw_length[1]:
        return "too short or too long"
    if (ones := nonzero_counts.get(entry["digest"])) is None:
        encoded = encoder.encode([entry["text"]]).indices if encoder else np.flatnonzero(np.frombuffer(raw, "u1"))
        ones = nonzero_counts[entry["digest"]] = len(encoded)
    if bounds.nonzero_features[0] <= ones <= bounds.nonzero_features[1]:
        return None
    return "too short or too long" if encoder else "too few or too many non-zero pixels"


def _raw_bytes(entry: Mapping[str, Any], is_text: bool) -> bytes | None:
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


def _vectorized_digests(name: str) -> set[str]:
    """The digests of the raw samples in both splits."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = paths.vectorized(name) / "profile.parquet"
    try:
        return set(pq.read_table(path, columns=["digest"])["digest"].to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}); run `dvc repro vectorize`") from None


def encoder_of(name: str, dataset: Dataset) -> "TextEncoder | None":
    """The encoder of a text dataset; None for images, which arrive in the form that the network takes."""
    if dataset.reader.kind != "labeled_text":
        return None
    from feedforward.data.readers import tokenizer
    from feedforward.data.readers.text_encoder import VOCABULARY, TextEncoder

    return TextEncoder(tokenizer.load_vocabulary(paths.vectorized(name) / VOCABULARY, dataset.reader.num_words))


# --- joining with the training split -------------------------------------------------------------


def part(entries: Sequence[Mapping[str, Any]], dataset: Dataset, encoder: "TextEncoder | None") -> Part:
    """Encode entries, at least one, as a part of the training split. encoder: see `encoder_of`."""
    raws = [_raw_bytes(entry, encoder is not None) or b"" for entry in entries]
    features: Features
    if encoder is None:
        features = np.stack([np.frombuffer(raw, np.uint8) for raw in raws])
    else:
        features = encoder.encode([entry["text"] for entry in entries])
    labels = np.array([dataset.labels.index(entry["label"]) for entry in entries], np.uint8)
    digests = np.frombuffer(bytes.fromhex("".join(entry["digest"] for entry in entries)), np.uint8).reshape(-1, 32)
    return Part("train", Split(features, labels), np.array([len(raw) for raw in raws], np.int64), digests)


def has_size(entry: Mapping[str, Any], pixels: int) -> bool:
    """Whether an image that was collected has this number of pixels."""
    return len(_raw_bytes(entry, is_text=False) or b"") == pixels


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
