"""The comparison of two sides: their inputs, their results, and their predictions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from feedforward.core.errors import FeedforwardError
from feedforward.diff import code, predictions
from feedforward.diff.predictions import PredictionDiff
from feedforward.diff.repository import Repository
from feedforward.diff.sides import Figure, Side

T = TypeVar("T")


@dataclass(frozen=True)
class Change(Generic[T]):
    """A value that differs between the sides; None for a side without it."""

    name: str
    a: T | None
    b: T | None


@dataclass(frozen=True)
class Diff:
    """The differences between two sides. a, b: titles of the sides. remarks: what was not fully compared."""

    a: str
    b: str
    params: list[Change[str]]
    data: list[Change[str]]
    environment: list[Change[str]]
    code: list[code.Change]
    figures: list[Change[Figure]]
    verdicts: list[Change[str]]
    promotion: list[Change[str]]
    predictions: list[PredictionDiff]
    remarks: list[str]

    @property
    def same(self) -> bool:
        """Whether everything that was compared is the same."""
        inputs = [*self.params, *self.data, *self.environment, *self.code]
        return not (inputs or self.figures or self.verdicts or self.promotion or self.predictions)

    def as_json(self) -> dict[str, Any]:
        """The differences, serializable as JSON."""
        return {"same": self.same, **asdict(self)}


def compare(a: Side, b: Side, repository: Repository) -> Diff:
    """The differences between two sides."""
    remarks = [*a.remarks, *b.remarks]
    return Diff(
        a=a.title,
        b=b.title,
        params=_changes(a.params, b.params),
        data=_changes(a.data, b.data),
        environment=_changes(a.environment, b.environment),
        code=_code(a, b, repository, remarks),
        figures=_figures(a, b),
        verdicts=_changes(a.verdicts, b.verdicts),
        promotion=_changes(a.promotion, b.promotion),
        predictions=_predictions(a, b, remarks),
        remarks=list(dict.fromkeys(remarks)),
    )


def _changes(a: Mapping[str, T] | None, b: Mapping[str, T] | None) -> list[Change[T]]:
    if a is None or b is None:  # what is unknown does not differ
        return []
    return [Change(name, a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)]


def _figures(a: Side, b: Side) -> list[Change[Figure]]:
    changes = _changes(a.figures, b.figures)
    if a.only_main_figures == b.only_main_figures:
        return changes
    # the other figures and the intervals are known for one side only
    return [change for change in changes if change.a and change.b and change.a.value != change.b.value]


def _code(a: Side, b: Side, repository: Repository, remarks: list[str]) -> list[code.Change]:
    for side in (a, b):
        if side.commit is None:
            remarks.append(f"code: the commit of {side.title} is unknown")
        elif not repository.exists:
            remarks.append("code: git is not installed, or this folder is not in a git repository")
        elif repository.commit(side.commit) is None:
            remarks.append(
                f"code: commit {side.commit[:12]} of {side.title} is not in this repository; run `git fetch`"
            )
        elif side.dirty:
            remarks.append(
                f"uncommitted changes: {side.title} was trained with changes that are not in commit {side.commit[:12]}"
            )
    known = [side.commit for side in (a, b) if side.commit and repository.commit(side.commit)]
    return code.changes(repository, *known) if len(known) == 2 and known[0] != known[1] else []


def _predictions(a: Side, b: Side, remarks: list[str]) -> list[PredictionDiff]:
    """The predictions that differ, for each dataset on which both sides have a model."""
    differences = []
    for name, model in a.models.items():
        other = b.models.get(name)
        if other is None or model.digest == other.digest:
            continue
        try:
            difference = predictions.compare(name, model.answers(), other.answers())
        except FeedforwardError as error:
            remarks.append(str(error))
            continue
        if difference.largest_gap:
            differences.append(difference)
    return differences
