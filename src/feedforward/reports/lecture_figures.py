"""The slides' figures for the page: one run, as the slides show it, beside the same over all seeds."""

from collections.abc import Sequence
from typing import Any, Literal

from feedforward.analysis import statistics
from feedforward.analysis.findings import Findings
from feedforward.analysis.run_result import SCORES
from feedforward.reports import svg_charts
from feedforward.reports.svg_charts import Series

Line = tuple[str, str, str, Literal["line", "dot", "plus"]]  # name, variant, curve, mark


def figures(one: Findings, lecture: Findings | None) -> list[dict[str, Any]]:
    """The slides' figures: titles, legends and pictures with their captions; one run beside all seeds."""
    base, shown = one.baseline, one.dataset.training.lecture
    wanted: list[tuple[str, str, list[Line]]] = [
        (f"Training and validation {ylabel} of {base}", ylabel,
         [("training", base, curve, "dot"), ("validation", base, f"val_{curve}", "line")])
        for ylabel, curve in (("loss", "cross_entropy"), (SCORES[one.runs[0].score], one.runs[0].score))
    ]  # fmt: skip
    wanted += [
        (f"Validation loss of {base} and {other}", "validation loss",
         [(base, base, "val_cross_entropy", "dot"), (other, other, "val_cross_entropy", "plus")])
        for other in (shown.variants if shown else ())
        if other != base and other in one.variants
    ]  # fmt: skip
    found = [_beside(one, lecture, title, ylabel, lines) for title, ylabel, lines in wanted]
    return [figure for figure in [*found, _final_figure(one)] if figure["pictures"]]


def _beside(one: Findings, lecture: Findings | None, title: str, ylabel: str, lines: list[Line]) -> dict[str, Any]:
    """One run, by the slides' protocol where there is one, beside all seeds, to the same scale."""
    ours, single = _series(one, lines), _series(_first_seed(lecture or one), lines)
    sides = [(f"Mean of {one.seeds} seeds, 95 % t interval" if one.seeds > 1 else "One seed", ours, single)]
    if lecture or one.seeds > 1:
        sides.insert(0, ("One run, by the slides' protocol" if lecture else "One run, as on the slides", single, ours))
    pictures = [
        (caption, svg_charts.curves(series, f"{title}: {caption}", ylabel, beside=other))
        for caption, series, other in sides
        if series
    ]
    return {"title": title, "legend": [(line[0], line[3]) for line in lines], "pictures": pictures}


def _final_figure(one: Findings) -> dict[str, Any]:
    """Accuracy (or error) and loss of the final model on its training samples."""
    title = f"Final model ({one.baseline}) on its training samples"
    pictures = [
        (label.capitalize(), svg_charts.curves(series, f"{title}: {label}", label))
        for label, curve in ((SCORES[one.runs[0].score], one.runs[0].score), ("loss", "cross_entropy"))
        if (series := _series(one, [("training", one.baseline, curve, "line")], "final"))
    ]
    return {"title": title, "legend": [], "pictures": pictures}


def _first_seed(one: Findings) -> Findings:
    first = {role: min((run.seed for run in one.runs if run.role == role), default=0) for role in ("replica", "final")}
    runs = [run for run in one.runs if run.seed == first[run.role]]
    return Findings(one.name, one.dataset, one.baseline, one.variants, runs, {}, [], [])


def _series(one: Findings, lines: Sequence[Line], role: str = "replica") -> list[Series]:
    """The curves that have runs, in the lecture's blue."""
    return [
        Series(name, mark, "lecture", band)
        for name, variant, curve, mark in lines
        if (band := statistics.band(one.runs, variant, curve, role))
    ]
