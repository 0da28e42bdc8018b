"""The slides' figures for the comparison page: a single run, as on the slides, next to the mean over all seeds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from feedforward.analysis.curves import mean_band
from feedforward.analysis.findings import Findings
from feedforward.analysis.run_result import SCORES
from feedforward.reports import svg_charts
from feedforward.reports.svg_charts import Series

Line = tuple[str, str, str, Literal["line", "dot", "plus"]]  # name, variant, curve, mark


def figures(findings: Findings, lecture: Findings | None) -> list[dict[str, Any]]:
    """The slides' figures with title, legend and captioned charts: a single run next to the mean over all seeds."""
    base, slides = findings.baseline, findings.dataset.training.lecture
    contents: list[tuple[str, str, list[Line]]] = [
        (f"Training and validation {ylabel} of {base}", ylabel,
         [("training", base, curve, "dot"), ("validation", base, f"val_{curve}", "line")])
        for ylabel, curve in (("loss", "cross_entropy"), (SCORES[findings.runs[0].score], findings.runs[0].score))
    ]  # fmt: skip
    contents += [
        (f"Validation loss of {base} and {other}", "validation loss",
         [(base, base, "val_cross_entropy", "dot"), (other, other, "val_cross_entropy", "plus")])
        for other in (slides.variants if slides else ())
        if other != base and other in findings.variants
    ]  # fmt: skip
    pairs = [_run_and_mean(findings, lecture, title, ylabel, lines) for title, ylabel, lines in contents]
    return [figure for figure in [*pairs, _final_figure(findings)] if figure["charts"]]


def _run_and_mean(
    findings: Findings, lecture: Findings | None, title: str, ylabel: str, lines: list[Line]
) -> dict[str, Any]:
    """A single run (under the slides' protocol, if there is one) next to the mean over all seeds, on the same scale."""
    means, single = _series(findings, lines), _series(_first_seed(lecture or findings), lines)
    sides = [(f"Mean of {findings.seeds} seeds, 95 % t interval" if findings.seeds > 1 else "One seed", means, single)]
    if lecture or findings.seeds > 1:
        sides.insert(
            0, ("One run, under the slides' protocol" if lecture else "One run, as on the slides", single, means)
        )
    charts = [
        (caption, svg_charts.curves(series, f"{title}: {caption}", ylabel, same_scale=other))
        for caption, series, other in sides
        if series
    ]
    return {"title": title, "legend": [(line[0], line[3]) for line in lines], "charts": charts}


def _final_figure(findings: Findings) -> dict[str, Any]:
    """Accuracy (or error) and loss of the final model on its training samples."""
    title = f"Final model ({findings.baseline}) on its training samples"
    charts = [
        (label.capitalize(), svg_charts.curves(series, f"{title}: {label}", label))
        for label, curve in ((SCORES[findings.runs[0].score], findings.runs[0].score), ("loss", "cross_entropy"))
        if (series := _series(findings, [("training", findings.baseline, curve, "line")], "final"))
    ]
    return {"title": title, "legend": [], "charts": charts}


def _first_seed(findings: Findings) -> Findings:
    """The findings with only the runs of the first seed: that of the replicas, and that of the final runs."""
    first = {
        role: min((run.seed for run in findings.runs if run.role == role), default=0) for role in ("replica", "final")
    }
    runs = [run for run in findings.runs if run.seed == first[run.role]]
    return replace(findings, runs=runs)


def _series(findings: Findings, lines: Sequence[Line], role: str = "replica") -> list[Series]:
    """The curves that have runs, in the lecture's blue."""
    return [
        Series(name, mark, "lecture", band)
        for name, variant, curve, mark in lines
        if (band := mean_band(findings.runs, variant, curve, role))
    ]
