"""Inline SVG for pages: curves with bands, intervals. Text and marks take the page's colours (CSS classes).

Kinds of class: `v0`, `v1` … a variant's colour; `lecture` the lecture's blue; `band`, `line`, `dot`, `plus`
the mark; `good`, `bad`, `note` an outcome. Points carry a tip that shows on hovering.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup

from feedforward.analysis.statistics import Band, span
from feedforward.reports.html_page import nice_step
from feedforward.reports.tables import number

DOT = '<circle class="dot {}" cx="{}" cy="{}" r="3"><title>{}</title></circle>'
TOUCH = '<circle class="touch {}" cx="{}" cy="{}" r="6"><title>{}</title></circle>'  # unseen, carries a line's tip


@dataclass(frozen=True)
class Series:
    """A curve to draw: `tone` is its class of colour."""

    name: str
    mark: Literal["line", "dot", "plus"]
    tone: str
    band: Band


@dataclass(frozen=True)
class Row:
    """An interval to draw; `sure` fills its point."""

    name: str
    mean: float
    low: float | None
    high: float | None
    sure: bool


class _Plane:
    """A rectangle of pixels that shows a range of x and a range of y."""

    def __init__(self, width: int, height: int, margins: tuple[int, int, int, int], title: str) -> None:
        self.left, self.right, self.top, self.bottom = margins[0], width - margins[1], margins[2], height - margins[3]
        self.x0, self.x1, self.y0, self.y1 = 0.0, 1.0, 0.0, 1.0
        self.parts = [Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(width, height, title)]

    def x(self, value: float) -> str:
        return f"{self.left + (self.right - self.left) * (value - self.x0) / (self.x1 - self.x0):.1f}"

    def y(self, value: float) -> str:
        return f"{self.bottom - (self.bottom - self.top) * (value - self.y0) / (self.y1 - self.y0):.1f}"

    def add(self, template: str, *values: object) -> None:
        self.parts.append(Markup(template).format(*values))  # noqa: S704  (templates are literals of this module)

    def svg(self) -> Markup:
        return Markup("").join([*self.parts, Markup("</svg>")])


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers, at most `most` + 1, that enclose low and high."""
    step = nice_step(max(high - low, 1e-9) / most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


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
    beside: Sequence[Series] = (),
) -> Markup:
    """Curves by epoch with their bands.

    ends: names each at its end and marks its lowest point. beside: drawn elsewhere, but to the same scale.
    """
    width, height = (1000, 400) if wide else (360, 250)
    room = 12 + (7 * max((len(one.name) for one in series), default=0) if ends else 0)
    plane = _Plane(width, height, (40, room, 26, 34), title)
    bands = [one.band for one in [*series, *beside]]
    marks = ticks(*span(bands), 5)
    epochs = max((int(band.epochs[-1]) for band in bands), default=1)
    plane.y0, plane.y1, plane.x0, plane.x1 = marks[0], marks[-1], 0.6, epochs + 0.4
    _axes(plane, marks, epochs, ylabel)
    for one in series:
        _band(plane, one)
    for one in series:
        _curve(plane, one)
    if ends:
        _ends(plane, series)
    return plane.svg()


def _axes(plane: _Plane, marks: Sequence[float], epochs: int, ylabel: str) -> None:
    step = marks[1] - marks[0]
    decimals = next(digits for digits in range(13) if math.isclose(round(step, digits), step, rel_tol=1e-6))
    for mark in marks:
        y = plane.y(mark)
        plane.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', plane.left, plane.right, y, y)
        plane.add('<text class="end" x="{}" y="{:.1f}">{}</text>', plane.left - 6, float(y) + 4, number(mark, decimals))
    for epoch in epochs_to_mark(epochs):
        plane.add('<text class="middle" x="{}" y="{}">{}</text>', plane.x(epoch), plane.bottom + 16, epoch)
    plane.add('<text class="end" x="{}" y="{}">epoch</text>', plane.right, plane.bottom + 30)
    plane.add('<text x="2" y="12">{}</text>', ylabel)


def _band(plane: _Plane, one: Series) -> None:
    band = one.band
    if band.low is not None and band.high is not None:
        low, high = (np.clip(side, plane.y0, plane.y1) for side in (band.low, band.high))
        there = [f"{plane.x(e)},{plane.y(v)}" for e, v in zip(band.epochs, high, strict=True)]
        back = [f"{plane.x(e)},{plane.y(v)}" for e, v in zip(band.epochs[::-1], low[::-1], strict=True)]
        plane.add('<polygon class="band {}" points="{}"/>', one.tone, " ".join(there + back))


def _curve(plane: _Plane, one: Series) -> None:
    band = one.band
    if one.mark == "line":
        points = " ".join(f"{plane.x(e)},{plane.y(v)}" for e, v in zip(band.epochs, band.mean, strict=True))
        plane.add('<polyline class="line {}" points="{}"/>', one.tone, points)
    for i, (epoch, value) in enumerate(zip(band.epochs, band.mean, strict=True)):
        tip = f"{one.name}, epoch {epoch}: {number(value, 4)}"
        if band.low is not None and band.high is not None:
            tip += f" [{number(band.low[i], 4)}, {number(band.high[i], 4)}]"
        x, y = plane.x(epoch), plane.y(value)
        if one.mark == "plus":
            shape = '<path class="plus {}" d="M{} {}m-4 0h8m-4 -4v8"><title>{}</title></path>'
        else:
            shape = DOT if one.mark == "dot" else TOUCH
        plane.add(shape, one.tone, x, y, tip)


def _ends(plane: _Plane, series: Iterable[Series]) -> None:
    below = math.inf
    for one in sorted(series, key=lambda one: float(one.band.mean[-1])):
        lowest = int(one.band.mean.argmin())
        x, y = plane.x(one.band.epochs[lowest]), plane.y(one.band.mean[lowest])
        plane.add('<circle class="lowest {}" cx="{}" cy="{}" r="4.5"/>', one.tone, x, y)
        below = min(float(plane.y(one.band.mean[-1])) + 4, below - 15)  # each name has its line's height to itself
        plane.add('<text class="name {}" x="{}" y="{:.1f}">{}</text>', one.tone, plane.right + 4, below, one.name)


def forest(rows: Sequence[Row], title: str, decimals: int) -> Markup:
    """Intervals below each other around a line at zero."""
    height = 30 * len(rows) + 34
    plane = _Plane(360, height, (16 + 7 * max((len(row.name) for row in rows), default=0), 14, 4, 30), title)
    values = [v for row in rows for v in (row.mean, row.low, row.high) if v is not None]
    marks = ticks(min([0.0, *values]), max([0.0, *values]), 4)
    plane.x0, plane.x1 = marks[0], marks[-1]
    for mark in marks:
        x = plane.x(mark)
        plane.add(
            '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>',
            "zero" if mark == 0 else "grid",
            x,
            x,
            plane.top,
            plane.bottom,
        )
        plane.add('<text class="middle" x="{}" y="{}">{}</text>', x, plane.bottom + 16, f"{mark:g}".replace("-", "−"))
    for i, row in enumerate(rows):
        middle = plane.top + 30 * i + 15
        plane.add('<text class="ink" x="2" y="{}">{}</text>', middle + 4, row.name)
        _interval(plane, row, middle, decimals, "v1")
    return plane.svg()


def _interval(plane: _Plane, row: Row, middle: float, decimals: int, tone: str) -> None:
    tip = f"{row.name}: {number(row.mean, decimals)}"
    if row.low is not None and row.high is not None:
        tip += f" [{number(row.low, decimals)}, {number(row.high, decimals)}]"
        x1, x2 = plane.x(row.low), plane.x(row.high)
        plane.add('<line class="line {}" x1="{}" x2="{}" y1="{}" y2="{}"/>', tone, x1, x2, middle, middle)
    shape = '<circle class="{} {}" cx="{}" cy="{}" r="5"><title>{}</title></circle>'
    plane.add(shape, "dot" if row.sure else "hollow", tone, plane.x(row.mean), middle, tip)


def strip(row: Row, region: tuple[float, float], decimals: int, tone: str) -> Markup:
    """One interval over the region in which a claim holds (its ends may be infinite)."""
    plane = _Plane(220, 34, (4, 4, 2, 14), row.name)
    borders = [border for border in region if math.isfinite(border)]
    values = [v for v in (row.mean, row.low, row.high, *borders) if v is not None]
    pad = 0.12 * (max(values) - min(values) or 1.0)
    plane.x0, plane.x1 = min(values) - pad, max(values) + pad
    low, high = max(region[0], plane.x0), min(region[1], plane.x1)
    width = float(plane.x(high)) - float(plane.x(low))
    plane.add('<rect class="region" x="{}" y="0" width="{:.1f}" height="20" rx="2"/>', plane.x(low), width)
    for border in borders:
        x = plane.x(border)
        plane.add('<line class="zero" x1="{}" x2="{}" y1="0" y2="20"/>', x, x)
        plane.add('<text class="middle" x="{}" y="32">{}</text>', x, f"{border:g}".replace("-", "−"))
    _interval(plane, row, 10, decimals, tone)
    return plane.svg()
