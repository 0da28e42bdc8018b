"""Inline SVG of measurements over time, with the bound beyond which they raise an alarm.

Classes: `line` and `dot` are the measurements, `bad` those that raised an alarm, `limit` is the bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from feedforward.reports.svg_canvas import Canvas, ticks


@dataclass(frozen=True)
class Point:
    """A measurement. alarm: whether it is significant and beyond the bound. tip: text of its tooltip."""

    time: datetime
    value: float
    alarm: bool
    tip: str


def over_time(points: Sequence[Point], bound: float, title: str) -> Markup:
    """Measurements (at least one, oldest first, none negative) as a line, and the bound as a dashed line."""
    canvas = Canvas(360, 170, (40, 12, 10, 24), title)
    marks = ticks(0.0, max(bound, *(point.value for point in points)), 4)
    canvas.y0, canvas.y1 = marks[0], marks[-1]
    start = points[0].time
    seconds = [(point.time - start).total_seconds() for point in points]
    canvas.x0, canvas.x1 = (-1.0, 1.0) if seconds[-1] <= 0 else (0.0, seconds[-1])
    for mark in marks:
        y = canvas.y(mark)
        canvas.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', canvas.left, canvas.right, y, y)
        canvas.add('<text class="end" x="{}" y="{:.1f}">{:g}</text>', canvas.left - 5, float(y) + 4, mark)
    y = canvas.y(bound)
    canvas.add('<line class="limit" x1="{}" x2="{}" y1="{}" y2="{}"/>', canvas.left, canvas.right, y, y)
    positions = [(canvas.x(x), canvas.y(point.value)) for x, point in zip(seconds, points, strict=True)]
    canvas.add('<polyline class="line" points="{}"/>', " ".join(f"{x},{y}" for x, y in positions))
    shape = '<circle class="dot{}" cx="{}" cy="{}" r="3"><title>{}</title></circle>'
    for position, point in zip(positions, points, strict=True):
        canvas.add(shape, " bad" if point.alarm else "", *position, point.tip)
    ends = [(canvas.left, "", points[0]), (canvas.right, "end", points[-1])]
    for x, anchor, point in ends if len(points) > 1 else ends[1:]:
        text = f"{point.time:%Y-%m-%d %H:%M}"
        canvas.add('<text class="{}" x="{}" y="{}">{}</text>', anchor, x, canvas.bottom + 17, text)
    return canvas.svg()
