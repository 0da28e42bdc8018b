"""The comparison of two sides as text for a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from feedforward.diff import code
from feedforward.diff.comparison import Change, Diff
from feedforward.diff.predictions import Answer, PredictionDiff
from feedforward.diff.sides import Figure
from feedforward.experiments.comparison import HEADLINES

MAX_CHARACTERS = 48  # shown of a value
MAX_FIGURES = 20  # number of metrics shown; the main ones come first
ABSENT = "-"
INTERVALS = "95 % intervals: over seeds for a variant or commit, over test samples for a single run"


def show(diff: Diff) -> Group:
    """One line if nothing differs, otherwise a section for each kind of difference."""
    if diff.same:
        omissions = f" (not compared: {'; '.join(diff.remarks)})" if diff.remarks else ""
        return Group(Text(f"same: {diff.a} and {diff.b}{omissions}"))
    inputs = [
        *_rows("parameter", diff.params),
        *_rows("data", diff.data),
        *_rows("environment", diff.environment),
    ]
    parts: list[Any] = [Text(f"a: {diff.a}\nb: {diff.b}")]
    parts += _section("Inputs", inputs)
    parts += _code(diff.code, with_title=not inputs)
    parts += _results(diff)
    parts += [part for predictions in diff.predictions for part in _predictions(predictions)]
    parts += [Text(f"not compared: {remark}", "yellow") for remark in diff.remarks]
    return Group(*parts)


def _rows(kind: str, changes: Iterable[Change[str]]) -> list[tuple[str, str, str, str]]:
    return [(kind, change.name, _short(change.a), _short(change.b)) for change in changes]


def _results(diff: Diff) -> list[Any]:
    figures = sorted(diff.figures, key=lambda change: not change.name.endswith(HEADLINES))
    rows = [("metric", change.name, _figure(change.a), _figure(change.b)) for change in figures[:MAX_FIGURES]]
    parts = _section("Results", [*_rows("verdict", diff.verdicts), *_rows("promotion", diff.promotion), *rows])
    if len(figures) > MAX_FIGURES:
        parts.append(Text(f"and {len(figures) - MAX_FIGURES} other metrics; --json lists all", "dim"))
    if any(figure and figure.low is not None for change in figures for figure in (change.a, change.b)):
        parts.append(Text(INTERVALS, "dim"))
    return parts


def _short(value: str | None) -> str:
    text = ABSENT if value is None else " ".join(value.split())
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ABSENT
    if figure.low is None or figure.high is None:
        return f"{figure.value:.6g}"
    return f"{figure.value:.6g} [{figure.low:.6g}, {figure.high:.6g}]"


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> list[Any]:
    if not rows:
        return []
    table = Table("", "", "a", "b", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))  # long names differ at their ends
    return [Text(f"\n{title}", "bold"), table]


def _code(changes: Sequence[code.Change], with_title: bool) -> list[Any]:
    """One line per module, with its functions."""
    modules: dict[str, list[code.Change]] = {}
    for change in changes:
        modules.setdefault(f"{change.module} (affects {change.affects})", []).append(change)
    lines = [
        Text(f"code {module}: {', '.join(f'{entry.name} {entry.change}'.strip() for entry in entries)}")
        for module, entries in modules.items()
    ]
    return [Text("\nInputs", "bold"), *lines] if lines and with_title else lines


def _predictions(predictions: PredictionDiff) -> list[Any]:
    counts = f"{predictions.different} of {predictions.samples} test samples"
    title = f"\nPredictions for {predictions.dataset}: {counts} have different predictions"
    sample = Column("sample", no_wrap=True, overflow="ellipsis", ratio=1)  # takes the remaining width
    table = Table("row", sample, "true label", "a", "b", box=None, pad_edge=False, expand=True)
    for example in predictions.examples:
        cells = (example.input, example.truth, _answer(example.a), _answer(example.b))
        table.add_row(str(example.row), *map(Text, cells))
    return [Text(title, "bold"), Text(f"largest difference: {predictions.largest_gap:.4g}"), table]


def _answer(answer: Answer) -> str:
    probability = answer.probabilities.get(answer.answer)
    if probability is not None:
        return f"{answer.answer} {probability:.3f}"
    labels = [f"{label} {probability:.3f}" for label, probability in answer.probabilities.items()]
    return f"{answer.answer} ({', '.join(labels)})" if labels else answer.answer
