"""Review user-submitted samples: list them, accept them for training, or reject them."""

import bisect
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from feedforward.config.schema import Dataset
from feedforward.core import paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.data import feedback, feedback_decisions
from feedforward.data.feedback import Counts, Sample
from feedforward.data.feedback_decisions import ACCEPTED, REJECTED

State = Literal["waiting", "accepted", "rejected", "invalid"]
STATES: tuple[State, ...] = ("waiting", "accepted", "rejected", "invalid")
SHORTEST_ID = 4  # digits
SHOWN_FIELDS = ("time", "label", "answer", "version", "text", "pixels", "height", "width")
RESOLVED_BY_DECISION = feedback.TWO_LABELS  # accepting one of the labels resolves it


@dataclass(frozen=True)
class Done:
    """How many samples a review accepted and rejected, and how many still wait for a decision."""

    accepted: int
    rejected: int
    waiting: int


def state_of(sample: Sample) -> State:
    """The state of a sample; `invalid` if it has a problem that no decision resolves."""
    if sample.decision is not None:
        return "accepted" if sample.decision.verdict == ACCEPTED else "rejected"
    return "waiting" if sample.problem in (None, RESOLVED_BY_DECISION) else "invalid"


def samples(name: str, dataset: Dataset, counts: Counts | None = None) -> list[Sample]:
    """All samples that users submitted for a dataset, oldest first. counts: see feedback.samples.

    Raises:
        DataError: the dataset has not been vectorized.
    """
    if not (paths.vectorized(name) / "manifest.json").is_file():
        raise DataError(f"{name}: has not been vectorized; run `dvc repro vectorize`")
    return feedback.samples(name, dataset, counts)


def review(
    name: str,
    dataset: Dataset,
    accept: Sequence[str] = (),
    reject: Sequence[str] = (),
    accept_all: bool = False,
    via: str = "command",
    reason: str = "",
    counts: Counts | None = None,
) -> Done:
    """Record decisions.

    accept, reject: sample IDs or unique prefixes. accept_all: also accept every valid sample that is waiting.

    Raises:
        ParamsError: an ID is unknown or ambiguous, both accepted and rejected, or belongs to a sample that training
            cannot use; nothing is recorded.
        DataError: the dataset has not been vectorized.
    """
    known = samples(name, dataset, counts)
    accepted, rejected = (_choose(option, ids, known) for option, ids in (("accept", accept), ("reject", reject)))
    if accept_all:
        others = {sample.id for sample in rejected}
        accepted += [s for s in known if state_of(s) == "waiting" and s.problem is None and s.id not in others]
    if problems := [*_contradictions(accepted, rejected)]:
        raise ParamsError(problems)
    changed: dict[str, int] = {}
    for verdict, chosen in ((ACCEPTED, accepted), (REJECTED, rejected)):
        new = {s.id: s.entry for s in chosen if s.decision is None or s.decision.verdict != verdict}
        feedback_decisions.append(name, new.values(), verdict, via, reason)
        changed[verdict] = len(new)
    decided = {sample.id for sample in (*accepted, *rejected)}
    waiting = sum(state_of(sample) == "waiting" and sample.id not in decided for sample in known)
    return Done(**changed, waiting=waiting)


def as_json(sample: Sample) -> dict[str, Any]:
    """The sample as a JSON-serializable dictionary."""
    decision = dataclasses.asdict(sample.decision) if sample.decision else None
    entry = {key: sample.entry.get(key) for key in SHOWN_FIELDS if key in sample.entry}
    return {"id": sample.id, "state": state_of(sample), "problem": sample.problem, "used": sample.used, **entry} | {
        "decision": decision
    }


def _choose(option: str, given: Sequence[str], known: Sequence[Sample]) -> list[Sample]:
    """The samples with these IDs or unique prefixes of IDs."""
    by_id = {sample.id: sample for sample in known}
    ordered = sorted(by_id)
    chosen, problems = [], []
    for start in given:
        at = bisect.bisect_left(ordered, start)
        matches = [id_ for id_ in ordered[at : at + 2] if len(start) >= SHORTEST_ID and id_.startswith(start)]
        if len(matches) == 1:
            chosen.append(by_id[matches[0]])
        else:
            problem = "is ambiguous" if matches else "matches no sample"
            problems.append(
                f"--{option}: {start[:40]!r} {problem}; give at least {SHORTEST_ID} digits of an ID from the list"
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
