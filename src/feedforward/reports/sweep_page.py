"""A sweep as one HTML page that needs no network: what the search found, what fresh seeds confirm, every trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from feedforward.analysis.intervals import Estimate, this_data
from feedforward.analysis.selection import Better, ConfirmedTrial
from feedforward.analysis.statistics import STATISTICS
from feedforward.reports import html_page, sweep_charts, tables
from feedforward.reports.sweep_charts import Scale, Value

COLUMNS = ("best_val_cross_entropy", "best_epoch", "best_val_accuracy", "best_val_mae", "last_val_cross_entropy")


@dataclass(frozen=True)
class Trial:
    """A trial: its values as text and by field, and its means and intervals by statistic.

    short: the values of the fields that differ between trials, as text.
    """

    text: str
    short: str
    values: Mapping[str, Value]
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True)
class Content:
    """What the page shows.

    text: the sweep as text. trials: in the order in which they were tried. tied: texts of the trials that the seeds do
    not distinguish from the best. failed: texts of the trials that could not be trained. confirmed: (text of the trial,
    its results), the best of the search first. fresh_seeds: those of the confirmation, `seeds 1000 to 1004`. winner:
    the text of the trial that is best on fresh seeds. tested: label, value with interval, and description of the
    winner's test. expected, so_far: see `selection`. drawn: how the trials were chosen; `adaptive`: later trials depend
    on the results of earlier ones. importance: field → share of the variance that it explains alone. command: the
    command that recreates the page. notes: warnings, one sentence each.
    """

    title: str
    text: str
    statistic: str
    better: Better
    seeds: int
    trials: Sequence[Trial]
    tied: Sequence[str]
    failed: Sequence[str]
    confirmed: Sequence[tuple[str, ConfirmedTrial]]
    fresh_seeds: str
    winner: str | None
    tested: tuple[str, str, str] | None
    expected: Sequence[float]
    so_far: Sequence[float]
    drawn: Literal["grid", "independent", "adaptive"]
    importance: Mapping[str, float]
    command: str
    notes: Sequence[str] = ()

    @property
    def label(self) -> str:
        """The statistic in words."""
        return STATISTICS[self.statistic].label

    @property
    def decimals(self) -> int | None:
        """Decimals of the statistic."""
        return STATISTICS[self.statistic].decimals

    @property
    def results(self) -> list[Estimate]:
        """Mean and interval of the statistic for each trial."""
        return [trial.estimates[self.statistic] for trial in self.trials]

    @property
    def varied(self) -> list[str]:
        """The fields whose values differ between trials; all of them if none do."""
        fields = list(self.trials[0].values)
        return [f for f in fields if len({trial.values[f] for trial in self.trials}) > 1] or fields

    def ranked(self) -> list[int]:
        """Indices of the trials, from best to worst."""
        sign = 1 if self.better == "lower" else -1
        return sorted(range(len(self.trials)), key=lambda k: sign * self.results[k].mean)


def render(content: Content) -> str:
    """Render the page as HTML."""
    best = content.ranked()[0]
    return html_page.render(
        "sweep.html",
        content=content,
        best=content.trials[best],
        best_result=_text(content, content.results[best]),
        confirmed=_confirmation(content),
        parallel=_parallel_charts(content),
        table=_table(content),
        expected=_expected_best(content),
        importance=_importance(content),
        unexplained=f"{100 * max(0.0, 1 - sum(content.importance.values())):.0f} %",
        field_charts=_field_charts(content),
        population=this_data(),
    )


def _text(content: Content, estimate: Estimate) -> str:
    return tables.interval(estimate, content.decimals)


def _confirmation(content: Content) -> dict[str, Any] | None:
    """The chart and the rows of the confirmed trials; None if there are none."""
    if not content.confirmed:
        return None
    rows = [
        {
            "text": text,
            "search": _text(content, e.search),
            "fresh": _text(content, e.fresh),
            "bias": _text(content, e.bias),
        }
        for text, e in content.confirmed
    ]
    short = {trial.text: trial.short for trial in content.trials}
    short_rows = [(short[text], entry) for text, entry in content.confirmed]
    title = f"{content.label}: search and fresh seeds"
    return {
        "chart": sweep_charts.confirmation(short_rows, title, content.decimals),
        "rows": rows,
        "sentence": _sentence(content.confirmed[0][1].bias),
        "has_interval": content.confirmed[0][1].bias.low is not None,
    }


def _sentence(bias: Estimate) -> str:
    if bias.mean <= 0:
        return "This time, the search result is not better than the fresh one"
    if bias.low is None:
        seeds = "one fresh seed does" if bias.n == 1 else "these fresh seeds do"
        return f"The search result is better, but {seeds} not show how much seeds vary"
    if bias.low > 0:
        return "The search makes its best trial look better than it is"
    return "The search result is better, but the difference is within the variation of fresh seeds"


def _tones(content: Content) -> list[str]:
    """`v1`, `v2`, … for confirmed trials, or `v1` for the best; `rest` for the others."""
    names = [text for text, _ in content.confirmed] or [content.trials[content.ranked()[0]].text]
    tones = {name: sweep_charts.tone(i) for i, name in enumerate(names)}
    return [tones.get(trial.text, "rest") for trial in content.trials]


def _scales(content: Content) -> list[Scale]:
    return [Scale(field, [trial.values[field] for trial in content.trials]) for field in content.varied]


def _parallel_chart(content: Content, wide: bool) -> Markup:
    means = Scale(content.label if wide else "result", [result.mean for result in content.results])
    scales = [*_scales(content), means]
    tips = [
        f"{trial.text}: {_text(content, result)}" for trial, result in zip(content.trials, content.results, strict=True)
    ]
    return sweep_charts.parallel_coordinates(scales, _tones(content), tips, "All trials", wide)


def _parallel_charts(content: Content) -> list[Markup]:
    """All trials in a wide and a narrow chart; empty if there is only one trial or one field."""
    several = len(content.trials) > 1 and len(content.varied) > 1
    return [_parallel_chart(content, wide) for wide in (True, False)] if several else []


def _expected_best(content: Content) -> Markup:
    if len(content.expected) == 1:
        return Markup("")
    title = "Expected best against the number of trials"
    return sweep_charts.expected_best(content.expected, content.so_far, title, content.label, content.decimals)


def _importance(content: Content) -> Markup:
    shares = list(content.importance.items())
    return sweep_charts.importance(shares, "Importance of the fields") if shares else Markup("")


def _field_charts(content: Content) -> list[dict[str, Any]]:
    """One chart for each field with more than one value."""
    scales = _scales(content)
    joined = len(scales) == 1 and not isinstance(scales[0].values[0], str)
    return [
        {
            "field": scale.name,
            "svg": sweep_charts.against_field(
                scale, content.results, content.label, f"{content.label} against {scale.name}", content.decimals, joined
            ),
        }
        for scale in scales
        if len(scale.distinct) > 1
    ]


def _table(content: Content) -> dict[str, Any]:
    """All trials, the best first, with their fields, the statistic of the sweep, and COLUMNS."""
    names = [name for name in dict.fromkeys((content.statistic, *COLUMNS)) if name in content.trials[0].estimates]
    tones = _tones(content)
    rows = [
        {
            "number": k,
            "tone": tones[k],
            "values": [
                value if isinstance(value, str) else f"{value:g}" for value in content.trials[k].values.values()
            ],
            "cells": [
                tables.interval(content.trials[k].estimates[name], STATISTICS[name].decimals)
                if name in content.trials[k].estimates
                else "–"
                for name in names
            ],
        }
        for k in content.ranked()
    ]
    header = [*content.trials[0].values, *(tables.SHORT_LABELS.get(name, STATISTICS[name].label) for name in names)]
    return {"header": header, "rows": rows}
