"""Labeled samples that users submitted: validated, deduplicated, stored in a snapshot, and added to the training split.

The service appends samples to `paths.incoming`. `take` adds the valid ones that nobody has rejected (or, with
`retraining.review`, that somebody has accepted) to `paths.collected`, which DVC tracks and `vectorize` reads. A sample
is valid if its label is known and its digest correct, it is within the bounds that the dataset's expectations set for
each sample, nobody has given it a different label (unless decisions settle which one is right), it does not repeat
another sample, and no row of either split has its features, so no test sample is used for training. Two texts with the
same words are the same sample, even if case, punctuation or spaces differ. A decision against a sample of the snapshot
removes it at once (`withdraw`), so that DVC sees a changed file.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feedforward.config.schema import Dataset
from feedforward.core import append_only_log, atomic_files, locks, paths
from feedforward.core.errors import DataError
from feedforward.data import feedback_decisions, feedback_features
from feedforward.data import manifest as manifest_file
from feedforward.data.feedback_decisions import ACCEPTED, Decision, sample_id
from feedforward.data.feedback_features import Cache, Encodings

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
        raw = feedback_features.raw_bytes(entry, "text" in entry)
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
        candidates, is_decided = labels.get(id_, (set(), False))
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
        elif _is_rejected(sample.decision):
            refused["rejected"] += 1
        elif sample.problem:
            refused[sample.problem] += 1
        elif sample.is_wanted(review):
            new.append({key: sample.entry[key] for key in STORED_FIELDS if key in sample.entry})
        else:
            waiting += 1
    return Intake(new, dict(sorted(refused.items())), waiting, _removed(name) | withdrawn)


def samples(name: str, dataset: Dataset, cache: Cache | None = None) -> list[Sample]:
    """The samples in the incoming file and the snapshot, oldest first, without exact repeats.

    cache: for callers that call this function repeatedly.
    """
    snapshot = read(name)
    entries = {sample_id(entry): entry for entry in snapshot} | _incoming(name)
    if not entries:
        return []
    used, decisions = {sample_id(entry) for entry in snapshot}, feedback_decisions.read(name)
    labels, repeats = _labels(entries, decisions), _repeats(entries, decisions)
    manifest = manifest_file.load(name)
    encodings, encoder = (cache or Cache()).of(name, manifest), feedback_features.encoder_of(name, dataset)
    collected = {feedback_features.encoded(entry, encoder, encodings)[0] for entry in snapshot}
    examined = []
    for id_, entry in entries.items():
        (candidates, is_decided), decision = labels[id_], decisions.get(id_)
        problem = None if id_ in used else _problem(entry, dataset, encoder, int(manifest["features"]), encodings)
        has_other_label = (id_ not in used or is_decided) and candidates != {str(entry.get("label"))}
        if problem is None and has_other_label and not _is_rejected(decision):
            problem = TWO_LABELS
        if problem is None and id_ in repeats:
            problem = "already submitted"
        if problem is None:
            digest = feedback_features.encoded(entry, encoder, encodings)[0]
            if digest in encodings.rows["test"] or (digest in encodings.rows["train"] and digest not in collected):
                problem = "already in the data"
        examined.append(Sample(id_, entry, problem, decision, id_ in used))
    return examined


def _labels(
    entries: Mapping[str, Mapping[str, Any]], decisions: Mapping[str, Decision]
) -> dict[str, tuple[set[str], bool]]:
    """ID → (accepted labels of its content, True), or (undecided labels, False) if no label is accepted."""
    labels: dict[str, tuple[set[str], bool]] = {}
    for ids in _by_content(entries):
        accepted = [id_ for id_ in ids if _is_accepted(decisions.get(id_))]
        candidates = {str(entries[id_].get("label")) for id_ in accepted or set(ids) - decisions.keys()}
        labels |= dict.fromkeys(ids, (candidates, bool(accepted)))
    return labels


def _repeats(entries: Mapping[str, Mapping[str, Any]], decisions: Mapping[str, Decision]) -> set[str]:
    """IDs of samples with the content and label of another: the first accepted one or, if there is none, the first."""
    repeats: set[str] = set()
    for ids in _by_content(entries):
        accepted_first = sorted(ids, key=lambda id_: not _is_accepted(decisions.get(id_)))
        firsts = {str(entries[id_].get("label")): id_ for id_ in reversed(accepted_first)}
        repeats |= set(ids) - set(firsts.values())
    return repeats


def _is_accepted(decision: Decision | None) -> bool:
    return decision is not None and decision.verdict == ACCEPTED


def _is_rejected(decision: Decision | None) -> bool:
    return decision is not None and decision.verdict != ACCEPTED


def _by_content(entries: Mapping[str, Mapping[str, Any]]) -> Iterable[list[str]]:
    """The IDs of entries in groups with the same content: the same words, or the same image."""
    from feedforward.data.readers.text_encoder import TextEncoder

    groups: dict[str, list[str]] = {}
    for id_, entry in entries.items():
        text = entry.get("text")
        content = " ".join(TextEncoder.split(text)) if isinstance(text, str) else str(entry.get("digest"))
        groups.setdefault(hashlib.sha256(content.encode()).hexdigest(), []).append(id_)
    return groups.values()


def _problem(
    entry: Mapping[str, Any],
    dataset: Dataset,
    encoder: "TextEncoder | None",
    features: int,
    encodings: Encodings,
) -> str | None:
    """Why an entry is invalid, regardless of all other samples; None if it is valid."""
    if entry.get("label") not in dataset.labels:
        return "unknown label"
    raw = feedback_features.raw_bytes(entry, encoder is not None)
    if raw is None or hashlib.sha256(raw).hexdigest() != entry.get("digest"):
        return "damaged"
    bounds = dataset.expectations
    if encoder is None and len(raw) != features:
        return "wrong size"
    if bounds is None:
        return None
    if not bounds.raw_length[0] <= len(raw) <= bounds.raw_length[1]:
        return "too short or too long"
    nonzero = feedback_features.encoded(entry, encoder, encodings)[1]
    # `empty` limits the number of samples without non-zero features, so one more of them could stop the next run
    if not max(1, bounds.nonzero_features[0]) <= nonzero <= bounds.nonzero_features[1]:
        return "too short or too long" if encoder else "too few or too many non-zero pixels"
    if encoder is None and not bounds.value[0] <= min(raw) <= max(raw) <= bounds.value[1]:
        return "pixel values out of bounds"
    return None
