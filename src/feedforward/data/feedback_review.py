"""Review user-submitted samples: list them, accept them for training, or reject them."""

import bisect
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from feedforward.config.schema import Dataset
from feedforward.core import paths, reasons
from feedforward.core.errors import DataError, ParamsError
from feedforward.data import feedback, feedback_decisions
from feedforward.data.feedback import Sample
from feedforward.data.feedback_decisions import ACCEPTED, REJECTED
from feedforward.data.feedback_features import Cache

State = Literal["waiting", "accepted", "rejected", "invalid"]
STATES: tuple[State, ...] = ("waiting", "accepted", "rejected", "invalid")
SHORTEST_ID = 4  # digits of an ID that must be given
SHOWN_FIELDS = ("time", "label", "answer", "version", "text", "pixels", "height", "width")
RESOLVED_BY_DECISION = feedback.TWO_LABELS  # accepting the sample with one of the labels resolves it


@dataclass(frozen=True)
class ReviewResult:
    """How many decisions a review changed to accepted or rejected, and how many samples still wait for a decision."""

    accepted: int
    rejected: int
    waiting: int


def state_of(sample: Sample) -> State:
    """The state of a sample: that of its decision, if any; else `invalid` if no decision resolves its problem."""
    if sample.decision is not None:
        return "accepted" if sample.decision.verdict == ACCEPTED else "rejected"
    return "waiting" if sample.problem in (None, RESOLVED_BY_DECISION) else "invalid"


def samples(name: str, dataset: Dataset, cache: Cache | None = None) -> list[Sample]:
    """All samples that users submitted for a dataset, oldest first. cache: see feedback.samples.

    Raises:
        DataError: the dataset has not been vectorized, a file of it cannot be read, or the snapshot was changed.
    """
    if not (paths.vectorized(name) / "manifest.json").is_file():
        raise DataError(f"{name}: has not been vectorized; run `dvc repro vectorize`")
    return feedback.samples(name, dataset, cache)


def review(
    name: str,
    dataset: Dataset,
    accept: Sequence[str] = (),
    reject: Sequence[str] = (),
    accept_all: bool = False,
    via: str = "command",
    reason: str = "",
    cache: Cache | None = None,
) -> ReviewResult:
    """Record decisions to accept or reject samples, and remove from the snapshot those that are no longer wanted.

    accept, reject: sample IDs or unique prefixes. accept_all: also accept every valid sample that is waiting.

    Raises:
        ParamsError: an ID is unknown or ambiguous, both accepted and rejected, or belongs to a sample that training
            cannot use, or the reason is invalid; nothing is recorded.
        DataError: see `samples`. Busy: see `feedback.locked`.
    """
    reason = reasons.clean(reason)
    all_samples = samples(name, dataset, cache)
    accepted, rejected = (_choose(option, ids, all_samples) for option, ids in (("accept", accept), ("reject", reject)))
    if accept_all:
        undecided = [s for s in all_samples if state_of(s) == "waiting" and s.problem is None]
        rejected_ids = {sample.id for sample in rejected}
        accepted += [sample for sample in undecided if sample.id not in rejected_ids]
    if problems := [*_contradictions(accepted, rejected)]:
        raise ParamsError(problems)
    counts_by_verdict: dict[str, int] = {}
    with feedback.locked(name):
        for verdict, chosen in ((ACCEPTED, accepted), (REJECTED, rejected)):
            new = {s.id: s.entry for s in chosen if s.decision is None or s.decision.verdict != verdict}
            feedback_decisions.append(name, new.values(), verdict, via, reason)
            counts_by_verdict[verdict] = len(new)
        feedback.withdraw(name)
    decided = {sample.id for sample in (*accepted, *rejected)}
    waiting = sum(state_of(sample) == "waiting" and sample.id not in decided for sample in all_samples)
    return ReviewResult(**counts_by_verdict, waiting=waiting)


def as_json(sample: Sample) -> dict[str, Any]:
    """The sample as a JSON-serializable dictionary."""
    decision = dataclasses.asdict(sample.decision) if sample.decision else None
    entry = {key: sample.entry.get(key) for key in SHOWN_FIELDS if key in sample.entry}
    return {"id": sample.id, "state": state_of(sample), "problem": sample.problem, "used": sample.used, **entry} | {
        "decision": decision
    }


def _choose(option: str, prefixes: Sequence[str], all_samples: Sequence[Sample]) -> list[Sample]:
    """The samples whose IDs start with these prefixes, each of which must belong to a single sample."""
    by_id = {sample.id: sample for sample in all_samples}
    sorted_ids = sorted(by_id)
    chosen, problems = [], []
    for prefix in prefixes:
        first = bisect.bisect_left(sorted_ids, prefix)
        candidates = sorted_ids[first : first + 2] if len(prefix) >= SHORTEST_ID else []
        matches = [id_ for id_ in candidates if id_.startswith(prefix)]
        if len(matches) == 1:
            chosen.append(by_id[matches[0]])
        else:
            is_short = len(prefix) < SHORTEST_ID
            problem = "is too short" if is_short else "is ambiguous" if matches else "matches no sample"
            problems.append(
                f"--{option}: {prefix[:40]!r} {problem}; give at least {SHORTEST_ID} digits of an ID from the list"
            )
    if problems:
        raise ParamsError(problems)
    return chosen


def _contradictions(accepted: Sequence[Sample], rejected: Sequence[Sample]) -> Iterator[str]:
    for sample in accepted:
        if sample.problem not in (None, RESOLVED_BY_DECISION):
            yield f"--accept: {sample.id} cannot be used for training: {sample.problem}"
    both = {sample.id for sample in accepted} & {sample.id for sample in rejected}
    yield from (f"--reject: {id_} is also given to --accept" for id_ in sorted(both))
