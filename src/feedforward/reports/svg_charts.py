"""Inline SVG for pages: curves with bands, intervals. Text and marks take the page's colors through CSS classes.

Classes: `v0`, `v1` … are the colors of variants, `lecture` is the lecture's blue; `band`, `line`, `dot`, `plus` are
marks; `good`, `bad`, `same`, `note` are outcomes. Points have tooltips.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup

from feedforward.analysis.curves import Band, shown_range
from feedforward.analysis.numerals import number
from feedforward.analysis.sequential import Interval
from feedforward.reports.chart_labels import name_width, shortened
from feedforward.reports.svg_canvas import Canvas, signed, ticks

DOT = '<circle class="dot {}" cx="{}" cy="{}" r="3"><title>{}</title></circle>'
TOUCH = '<circle class="touch {}" cx="{}" cy="{}" r="6"><title>{}</title></circle>'  # invisible, for tooltips
BOLD = 1.15  # the width of a bold name, relative to plain text


@dataclass(frozen=True)
class Series:
    """A curve to draw; `tone` is its CSS class."""

    name: str
    mark: Literal["line", "dot", "plus"]
    tone: str
    band: Band


@dataclass(frozen=True)
class Row:
    """An interval to draw; its point is filled if `decided`, otherwise hollow."""

    name: str
    mean: float
    low: float | None
    high: float | None
    decided: bool


@dataclass(frozen=True)
class Level:
    """A value that does not change by epoch, drawn as a gray line with its name."""

    name: str
    value: float


def epochs_to_mark(epochs: int, most: int = 10) -> list[int]:
    """1 and the multiples of a round step, up to `epochs`."""
    step = next(step for step in (1, 5, 10, 20, 50, 100, 500, 10**9) if epochs <= most * step)
    return [1, *(epoch for epoch in range(step, epochs + 1, step) if epoch > 1)]


def curves(
    series: Sequence[Series],
    title: str,
    ylabel: str,
    wide: bool = False,
    ends: bool = False,
    same_scale: Sequence[Series] = (),
    levels: Sequence[Level] = (),
) -> Markup:
    """Curves by epoch with their bands.

    ends: label each curve at its end and mark its lowest point. same_scale: curves of a chart that has the same scale.
    levels: gray lines; a line is left out if its distance from the curves exceeds half of their range.
    """
    width, height = (1000, 400) if wide else (360, 250)
    margin = 12 + (round(BOLD * name_width((curve.name for curve in series), width)) if ends else 0)
    canvas = Canvas(width, height, (40, margin, 26, 34), title)
    bands = [curve.band for curve in [*series, *same_scale]]
    low, high = shown_range(bands)
    near = [level for level in levels if low - (high - low) / 2 <= level.value <= high + (high - low) / 2]
    marks = ticks(min([low, *(level.value for level in near)]), max([high, *(level.value for level in near)]), 5)
    epochs = max((int(band.epochs[-1]) for band in bands), default=1)
    canvas.y0, canvas.y1, canvas.x0, canvas.x1 = marks[0], marks[-1], 0.6, epochs + 0.4
    _axes(canvas, marks, epochs, ylabel)
    for level in near:
        y = canvas.y(level.value)
        canvas.add('<line class="level" x1="{}" x2="{}" y1="{}" y2="{}"/>', canvas.left, canvas.right, y, y)
    for curve in series:
        _band(canvas, curve)
    for curve in series:
        _curve(canvas, curve)
    _level_names(canvas, near)
    if ends:
        _ends(canvas, series, margin - 6)
    return canvas.svg()


def _axes(canvas: Canvas, marks: Sequence[float], epochs: int, ylabel: str) -> None:
    step = marks[1] - marks[0]
    decimals = next((digits for digits in range(10) if math.isclose(round(step, digits), step, rel_tol=1e-6)), None)
    labels = [number(mark, decimals) for mark in marks]
    canvas.fit_left_of_axis(labels)
    for mark, label in zip(marks, labels, strict=True):
        y = canvas.y(mark)
        canvas.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', canvas.left, canvas.right, y, y)
        canvas.add('<text class="end" x="{}" y="{:.1f}">{}</text>', canvas.left - 6, float(y) + 4, label)
    for epoch in epochs_to_mark(epochs):
        canvas.add('<text class="middle" x="{}" y="{}">{}</text>', canvas.x(epoch), canvas.bottom + 16, epoch)
    canvas.add('<text class="end" x="{}" y="{}">epoch</text>', canvas.right, canvas.bottom + 30)
    canvas.add('<text x="2" y="12">{}</text>', ylabel)


def _level_names(canvas: Canvas, levels: Iterable[Level]) -> None:
    below = math.inf
    for level in sorted(levels, key=lambda level: level.value):
        below = min(float(canvas.y(level.value)) - 4, below - 14)  # names do not overlap
        name = shortened(level.name, canvas.right - 12 - canvas.left)
        canvas.add('<text class="level-name end" x="{}" y="{:.1f}">{}</text>', canvas.right - 12, below, name)


def _band(canvas: Canvas, curve: Series) -> None:
    band = curve.band
    if band.low is not None and band.high is not None:
        low, high = (np.clip(side, canvas.y0, canvas.y1) for side in (band.low, band.high))
        upper = [f"{canvas.x(e)},{canvas.y(v)}" for e, v in zip(band.epochs, high, strict=True)]
        lower = [f"{canvas.x(e)},{canvas.y(v)}" for e, v in zip(band.epochs[::-1], low[::-1], strict=True)]
        canvas.add('<polygon class="band {}" points="{}"/>', curve.tone, " ".join(upper + lower))


def _curve(canvas: Canvas, curve: Series) -> None:
    band = curve.band
    if curve.mark == "line":
        points = " ".join(f"{canvas.x(e)},{canvas.y(v)}" for e, v in zip(band.epochs, band.mean, strict=True))
        canvas.add('<polyline class="line {}" points="{}"/>', curve.tone, points)
    for i, (epoch, value) in enumerate(zip(band.epochs, band.mean, strict=True)):
        tip = f"{curve.name}, epoch {epoch}: {number(value, 4)}"
        if band.low is not None and band.high is not None:
            tip += f" [{number(band.low[i], 4)}, {number(band.high[i], 4)}]"
        x, y = canvas.x(epoch), canvas.y(value)
        if curve.mark == "plus":
            shape = '<path class="plus {}" d="M{} {}m-4 0h8m-4 -4v8"><title>{}</title></path>'
        else:
            shape = DOT if curve.mark == "dot" else TOUCH
        canvas.add(shape, curve.tone, x, y, tip)


def _ends(canvas: Canvas, series: Iterable[Series], room: float) -> None:
    below = math.inf
    for curve in sorted(series, key=lambda curve: float(curve.band.mean[-1])):
        lowest = int(curve.band.mean.argmin())
        x, y = canvas.x(curve.band.epochs[lowest]), canvas.y(curve.band.mean[lowest])
        canvas.add('<circle class="lowest {}" cx="{}" cy="{}" r="4.5"/>', curve.tone, x, y)
        below = min(float(canvas.y(curve.band.mean[-1])) + 4, below - 15)  # labels do not overlap
        name = shortened(curve.name, room / BOLD)
        canvas.add('<text class="name {}" x="{}" y="{:.1f}">{}</text>', curve.tone, canvas.right + 4, below, name)


def forest(rows: Sequence[Row], title: str, decimals: int | None) -> Markup:
    """Intervals, one per row, around a line at zero."""
    height = 30 * len(rows) + 34
    names = name_width((row.name for row in rows), 360)
    canvas = Canvas(360, height, (16 + names, 14, 4, 30), title)
    values = [v for row in rows for v in (row.mean, row.low, row.high) if v is not None]
    marks = ticks(min([0.0, *values]), max([0.0, *values]), 4)
    canvas.x0, canvas.x1 = marks[0], marks[-1]
    canvas.fit_right_of_axis(signed(marks[-1]))
    for mark in marks:
        x = canvas.x(mark)
        canvas.add(
            '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>',
            "zero" if mark == 0 else "grid",
            x,
            x,
            canvas.top,
            canvas.bottom,
        )
        canvas.add('<text class="middle" x="{}" y="{}">{}</text>', x, canvas.bottom + 16, signed(mark))
    for i, row in enumerate(rows):
        middle = canvas.top + 30 * i + 15
        canvas.add('<text class="ink" x="2" y="{}">{}</text>', middle + 4, shortened(row.name, names))
        _interval(canvas, row, middle, decimals, "v1")
    return canvas.svg()


def _interval(canvas: Canvas, row: Row, middle: float, decimals: int | None, tone: str) -> None:
    tip = f"{row.name}: {number(row.mean, decimals)}"
    if row.low is not None and row.high is not None:
        tip += f" [{number(row.low, decimals)}, {number(row.high, decimals)}]"
        x1, x2 = canvas.x(row.low), canvas.x(row.high)
        canvas.add('<line class="line {}" x1="{}" x2="{}" y1="{}" y2="{}"/>', tone, x1, x2, middle, middle)
    shape = '<circle class="{} {}" cx="{}" cy="{}" r="5"><title>{}</title></circle>'
    canvas.add(shape, "dot" if row.decided else "hollow", tone, canvas.x(row.mean), middle, tip)


def strip(row: Row, region: tuple[float, float], decimals: int | None, tone: str) -> Markup:
    """One interval over the region in which a claim holds; the region's ends may be infinite."""
    canvas = Canvas(220, 34, (4, 4, 2, 14), row.name)
    borders = [border for border in region if math.isfinite(border)]
    values = [v for v in (row.mean, row.low, row.high, *borders) if v is not None]
    pad = 0.12 * (max(values) - min(values) or 1.0)
    canvas.x0, canvas.x1 = min(values) - pad, max(values) + pad
    low, high = max(region[0], canvas.x0), min(region[1], canvas.x1)
    width = float(canvas.x(high)) - float(canvas.x(low))
    canvas.add('<rect class="region" x="{}" y="0" width="{:.1f}" height="20" rx="2"/>', canvas.x(low), width)
    for border in borders:
        x = canvas.x(border)
        canvas.add('<line class="zero" x1="{}" x2="{}" y1="0" y2="20"/>', x, x)
        canvas.add('<text class="middle" x="{}" y="32">{}</text>', x, signed(border))
    _interval(canvas, row, 10, decimals, tone)
    return canvas.svg()


def history(
    intervals: Sequence[Interval], region: tuple[float, float], title: str, decimals: int | None, tone: str
) -> Markup:
    """The interval of a claim against the number of seeds, with the region in which the claim holds."""
    canvas = Canvas(220, 96, (40, 6, 8, 20), title)
    bounded = [i for i in intervals if i.low is not None and i.high is not None]
    borders = [x for x in region if math.isfinite(x)]
    if not bounded:
        canvas.add('<text class="middle" x="110" y="48">no bounded interval yet</text>')
        return canvas.svg()
    tail = bounded[min(len(bounded) - 1, 2) :]  # the first intervals are so wide that the others would be invisible
    marks = ticks(min([*borders, *(_low(i) for i in tail)]), max([*borders, *(_high(i) for i in tail)]), 3)
    canvas.y0, canvas.y1, canvas.x0, canvas.x1 = marks[0], marks[-1], 1.5, intervals[-1].n + 0.5
    canvas.fit_left_of_axis(map(signed, marks))
    for mark in marks:
        y = canvas.y(mark)
        canvas.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', canvas.left, canvas.right, y, y)
        canvas.add('<text class="end" x="{}" y="{:.1f}">{}</text>', canvas.left - 4, float(y) + 4, signed(mark))
    for x in borders:
        canvas.add(
            '<line class="zero" x1="{}" x2="{}" y1="{}" y2="{}"/>', canvas.left, canvas.right, canvas.y(x), canvas.y(x)
        )
    for interval in bounded:
        low, high = (min(max(v, canvas.y0), canvas.y1) for v in (_low(interval), _high(interval)))
        tip = f"{interval.n} seeds: [{number(_low(interval), decimals)}, {number(_high(interval), decimals)}]"
        shape = '<line class="line {}" x1="{}" x2="{}" y1="{}" y2="{}"><title>{}</title></line>'
        column = canvas.x(interval.n)
        canvas.add(shape, tone, column, column, canvas.y(low), canvas.y(high), tip)
    for n in sorted({intervals[0].n, intervals[-1].n}):
        canvas.add('<text class="middle" x="{}" y="{}">{}</text>', canvas.x(n), canvas.bottom + 14, n)
    canvas.add('<text class="middle" x="{}" y="{}">seeds</text>', (canvas.left + canvas.right) // 2, canvas.bottom + 14)
    return canvas.svg()


def _low(interval: Interval) -> float:
    return -math.inf if interval.low is None else interval.low


def _high(interval: Interval) -> float:
    return math.inf if interval.high is None else interval.high
