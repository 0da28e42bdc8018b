"""The search space of a sweep: fields of a variant or of training, each with a list of values or a range."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from feedforward.config import cross_checks
from feedforward.config.schema import Dataset, Optimizer, Params, StatisticName, Variant, check
from feedforward.config.tasks import TASKS
from feedforward.config.training import Decay
from feedforward.core.errors import ParamsError

Value = int | float | str
Point = dict[str, Value]  # field → value
MOST_POINTS = 256  # most points of a grid; a search may have more combinations, because it tries only some
INTEGER_FIELDS = ("epochs", "batch_size")
DECAY, CONSTANT = "optimizer.decay", "none"  # the field for the kind of decay, and its value for no decay
LOG_FROM = 10.0  # ranges whose ends differ by at least this factor are searched on a logarithmic scale


@dataclass(frozen=True)
class Axis:
    """A field with the values to try; for a range, `values` are its two ends."""

    field: str
    values: tuple[Value, ...]
    is_range: bool = False

    @property
    def is_log(self) -> bool:
        """Whether the range is searched on a logarithmic scale."""
        low, high = self.values[0], self.values[-1]
        return not isinstance(low, str) and not isinstance(high, str) and 0 < low * LOG_FROM <= high

    @property
    def text(self) -> str:
        """The axis in command-line syntax: `l2=1e-05..0.01`."""
        return f"{self.field}={('..' if self.is_range else ',').join(map(shown, self.values))}"


def fields(dataset: str, variant: str) -> dict[str, tuple[str, ...]]:
    """Field → its path in params.yaml, for all fields whose values are numbers or names."""
    training = ("datasets", dataset, "training")
    optimizer = [name for name in Optimizer.model_fields if name != "nesterov"]
    return {
        **{name: ("variants", variant, name) for name in Variant.model_fields},
        **{name: (*training, name) for name in (*INTEGER_FIELDS, "train_share")},
        **{f"optimizer.{name}": (*training, "optimizer", name) for name in optimizer},
    }


def statistic(name: str, dataset: Dataset) -> StatisticName:
    """Check `name`, the statistic by which the trials of a sweep are compared, and return it.

    Raises:
        ParamsError: trials of this dataset cannot be compared by it.
    """
    is_regression = TASKS[dataset.task].answers == "value"
    scores: tuple[StatisticName, ...] = (
        ("best_val_mae", "last_val_mae") if is_regression else ("best_val_accuracy", "last_val_accuracy")
    )
    names: tuple[StatisticName, ...] = ("best_val_cross_entropy", "last_val_cross_entropy", *scores)
    for allowed in names:
        if name == allowed:
            return allowed
    raise ParamsError(
        [f"--statistic: must be one of {', '.join(names)}, got {name}{cross_checks.nearest(name, names)}"]
    )


def shown(value: Value) -> str:
    """A value as readable text, `0.001` or `small`; different values have different texts.

    >>> shown(0.001), shown("small"), shown(0.1234567)
    ('0.001', 'small', '0.1234567')
    """
    short = value if isinstance(value, str) else f"{value:g}"
    return short if isinstance(value, str) or float(short) == value else repr(value)


def text(point: Mapping[str, Value]) -> str:
    """The values of a point as text.

    >>> text({"dropout_rate": 0.1, "optimizer.learning_rate": 0.01})
    'dropout_rate=0.1 learning_rate=0.01'
    """
    return " ".join(f"{field.rpartition('.')[2]}={shown(value)}" for field, value in point.items())


def parse(texts: Sequence[str], params: Params, dataset: str, variant: str, search: bool) -> list[Axis]:
    """Parse `FIELD=VALUE,VALUE…` and, for a search, `FIELD=LOW..HIGH`; values are checked like those in params.yaml.

    Raises:
        ParamsError: an argument is invalid; the message lists the mistakes in all arguments.
    """
    params.dataset(dataset)
    params.variant(variant)
    known = fields(dataset, variant)
    axes: list[Axis] = []
    checked: list[Axis] = []  # those without unknown names
    problems: list[str] = []
    for argument in texts:
        try:
            axis = _axis(argument, known, search)
            if axis.field in {other.field for other in axes}:
                raise ParamsError([f"{axis.field}: must not be given twice"])
            axes.append(axis)
        except ParamsError as error:
            problems += error.problems
        else:
            unknown_names = _unknown_names(params, dataset, axis)
            problems += unknown_names
            checked += [] if unknown_names else [axis]
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_POINTS and not search:
        problems.append(f"{count} combinations: must be at most {MOST_POINTS}; search them with --trials")
    points = grid(checked) if count <= MOST_POINTS else ({axis.field: v} for axis in checked for v in axis.values)
    problems += _invalid(params, dataset, variant, points)
    if problems:
        raise ParamsError(problems)
    return axes


def _unknown_names(params: Params, dataset: str, axis: Axis) -> list[str]:
    """One message for each value of the axis that is not a valid name for its field."""
    names = _names(params, dataset, axis.field)
    return [
        f"{axis.field}: must be one of {', '.join(names)}, got {shown(value)}{cross_checks.nearest(str(value), names)}"
        for value in (axis.values if names else ())
        if value not in names
    ]


def _invalid(params: Params, dataset: str, variant: str, points: Iterable[Point]) -> list[str]:
    """One message for each mistake that params.yaml would contain with the values of a point."""
    problems: dict[str, None] = {}
    for point in points:
        try:
            apply(params, dataset, variant, point)
        except ParamsError as error:
            problems |= dict.fromkeys(error.problems)
    return list(problems)


def _names(params: Params, dataset: str, field: str) -> tuple[str, ...]:
    """The allowed names of a field; empty for numeric fields."""
    if field == "size":
        return tuple(params.datasets[dataset].network.sizes)
    if field == DECAY:
        return (CONSTANT, *get_args(Decay.model_fields["kind"].annotation))
    return get_args(Optimizer.model_fields["name"].annotation) if field == "optimizer.name" else ()


def _axis(argument: str, known: Mapping[str, object], search: bool) -> Axis:
    field, equals, listed = argument.partition("=")
    if field not in known:
        hint = cross_checks.nearest(field, known)
        raise ParamsError([f"unknown field {field!r}: must be one of {', '.join(known)}{hint}"])
    span = re.fullmatch(r"([^,]+?)\.\.([^,]+)", listed)
    values = tuple(_value(part) for part in (span.groups() if span else listed.split(",")))
    if not equals or "" in values:
        raise ParamsError([f"{argument}: must be {field}=VALUE,VALUE… or, with --trials, {field}=LOW..HIGH"])
    if len(set(values)) < len(values):
        raise ParamsError([f"{argument}: must not contain a value twice"])
    if span and not search:
        raise ParamsError([f"{argument}: a range needs --trials, the number of values to try, which must be 1 or more"])
    if span and (any(isinstance(value, str) for value in values) or values[0] > values[1]):  # type: ignore[operator]
        raise ParamsError([f"{argument}: must be two numbers, the lower one first"])
    return Axis(field, values, span is not None)


def _value(word: str) -> Value:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word.strip()


def grid(axes: Sequence[Axis]) -> Iterator[Point]:
    """All combinations of the values; the last field changes fastest."""
    for values in itertools.product(*(axis.values for axis in axes)):
        yield dict(zip((axis.field for axis in axes), values, strict=True))


def apply(params: Params, dataset: str, variant: str, point: Mapping[str, Value]) -> Params:
    """Params with the values of the point, reduced to this dataset.

    Raises:
        ParamsError: a value is not valid in params.yaml.
    """
    plain = params.model_dump()
    plain["datasets"] = {dataset: plain["datasets"][dataset]}
    paths = fields(dataset, variant)
    for field, value in point.items():
        *path, last = paths[field]
        inner: dict[str, Any] = plain
        for key in path:
            inner = inner[key]
        inner[last] = _decay(value, inner[last]) if field == DECAY else value
    return check(plain, f"sweep {dataset}")


def _decay(kind: Value, current: dict[str, Value] | None) -> dict[str, Value] | None:
    """The decay of this kind: the current one, or one with default values if the current one is of another kind."""
    if kind == CONSTANT:
        return None
    return current if current and current["kind"] == kind else {"kind": kind}


def named(dataset: Dataset, axes: Sequence[Axis]) -> dict[str, Any]:
    """What params.yaml defines for values that are names: the layer widths of a size, the settings of the decay."""
    decay = dataset.training.optimizer.decay
    meanings: dict[str, Mapping[Any, Any]] = {
        "size": dataset.network.sizes,
        DECAY: {decay.kind: decay.model_dump()} if decay else {},
    }
    return {
        f"{axis.field} {value}": meanings[axis.field][value]
        for axis in axes
        for value in axis.values
        if value in meanings.get(axis.field, {})
    }
