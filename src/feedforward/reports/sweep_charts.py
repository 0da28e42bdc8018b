"""Inline SVG for the page of a sweep: search and fresh results, gain from more trials, importance of the fields.

Classes, in addition to those of svg_charts: `trial` is the line of a trial, `rest` makes a line gray, such as that of a
trial that was not confirmed. Elements of a trial have its number in `data-trial`.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from feedforward.analysis.intervals import Estimate
from feedforward.analysis.numerals import number
from feedforward.analysis.selection import ConfirmedTrial
from feedforward.reports.chart_labels import name_width, shortened, text_width
from feedforward.reports.svg_canvas import Canvas, signed, ticks
from feedforward.reports.tables import interval

Value = int | float | str
LOG_FROM = 20.0  # factor between the smallest and the largest number from which an axis is logarithmic
LABEL_DISTANCE = 0.08  # minimum distance between labels, as a share of the axis
COLORS = 6  # number of colors for trials: `v1` to `v6`
ROW = 44  # height of a confirmed trial, in pixels
SPREAD = 7.0  # height over which lines through the same value are spread, in pixels


@dataclass(frozen=True)
class Scale:
    """An axis for the values of a field, one per trial: names at equal distances, numbers to scale.

    The scale is logarithmic if the numbers above 0 differ by a factor of at least LOG_FROM. If such an axis also has 0
    or negative numbers, all values are placed at equal distances instead.
    """

    name: str
    values: Sequence[Value]

    @property
    def distinct(self) -> list[Value]:
        """The different values: numbers in ascending order, names as they first occur."""
        values = list(dict.fromkeys(self.values))
        return values if any(isinstance(value, str) for value in values) else sorted(values)

    def position(self, value: Value) -> float:
        """The position of a value on the axis, from 0 to 1."""
        marks = self.distinct
        if len(marks) == 1:
            return 0.5
        numbers = [float(mark) for mark in marks if not isinstance(mark, str)]
        positive = [number for number in numbers if number > 0]
        wide = bool(positive) and positive[-1] >= LOG_FROM * positive[0]
        if isinstance(value, str) or len(numbers) < len(marks) or (wide and len(positive) < len(marks)):
            return marks.index(value) / (len(marks) - 1)
        low, high, x = (math.log10(v) if wide else v for v in (numbers[0], numbers[-1], float(value)))
        return (x - low) / (high - low)

    def marks(self, most: int = 6) -> list[Value]:
        """The values to label: all if they are few and not too close, otherwise the ends."""
        marks = self.distinct
        gaps = [self.position(b) - self.position(a) for a, b in itertools.pairwise(marks)]
        return marks if len(marks) <= most and min(gaps, default=1.0) >= LABEL_DISTANCE else [marks[0], marks[-1]]


def tone(rank: int) -> str:
    """The class of the trial with this rank in the search, from 0; the ranks beyond COLORS share the last color."""
    return f"v{min(rank + 1, COLORS)}"


def _value_text(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def confirmation(rows: Sequence[tuple[str, ConfirmedTrial]], title: str, decimals: int | None) -> Markup:
    """For each confirmed trial: the result in the search (hollow) and the one with fresh seeds, with its interval."""
    canvas = Canvas(360, ROW * len(rows) + 30, (20, 20, 2, 28), title)
    estimates = [estimate for _, entry in rows for estimate in (entry.search, entry.fresh)]
    values = [v for e in estimates for v in (e.mean, e.low, e.high) if v is not None]
    _x_axis(canvas, ticks(min(values), max(values), 4))
    for i, (name, entry) in enumerate(rows):
        middle, color = canvas.top + ROW * i + 30, tone(i)
        canvas.add('<text class="ink" x="2" y="{}">{}</text>', middle - 14, shortened(name, 356))
        if entry.fresh.low is not None and entry.fresh.high is not None:
            ends = canvas.x(entry.fresh.low), canvas.x(entry.fresh.high)
            canvas.add('<line class="line {}" x1="{}" x2="{}" y1="{}" y2="{}"/>', color, *ends, middle, middle)
        for mark, label, estimate in (("hollow", "search", entry.search), ("dot", "fresh seeds", entry.fresh)):
            shape = '<circle class="{} {}" cx="{}" cy="{}" r="5"><title>{}</title></circle>'
            tip = f"{name}, {label}: {interval(estimate, decimals)}"
            canvas.add(shape, mark, color, canvas.x(estimate.mean), middle, tip)
    return canvas.svg()


def _x_axis(canvas: Canvas, marks: Sequence[float]) -> None:
    canvas.x0, canvas.x1 = marks[0], marks[-1]
    canvas.fit_right_of_axis(signed(marks[-1]))
    for mark in marks:
        x = canvas.x(mark)
        canvas.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, canvas.top, canvas.bottom)
        canvas.add('<text class="middle" x="{}" y="{}">{}</text>', x, canvas.bottom + 16, signed(mark))


def _y_axis(canvas: Canvas, marks: Sequence[float]) -> None:
    canvas.y0, canvas.y1 = marks[0], marks[-1]
    canvas.fit_left_of_axis(map(signed, marks))
    for mark in marks:
        y = canvas.y(mark)
        canvas.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', canvas.left, canvas.right, y, y)
        canvas.add('<text class="end" x="{}" y="{:.1f}">{}</text>', canvas.left - 6, float(y) + 4, signed(mark))


def expected_best(
    expected: Sequence[float], so_far: Sequence[float], title: str, label: str, decimals: int | None
) -> Markup:
    """The expected best of n trials against n, and, as steps, the best so far in the order of the trials."""
    canvas = Canvas(360, 250, (56, 12, 26, 34), title)
    canvas.x0, canvas.x1 = 0.5, len(expected) + 0.5
    _y_axis(canvas, ticks(min([*expected, *so_far]), max([*expected, *so_far]), 4))
    for n in sorted({1, *(round(m) for m in ticks(1, len(expected), 5) if 1 <= m <= len(expected))}):
        canvas.add('<text class="middle" x="{}" y="{}">{}</text>', canvas.x(n), canvas.bottom + 16, n)
    canvas.add('<text class="end" x="{}" y="{}">trials</text>', canvas.right, canvas.bottom + 30)
    canvas.add('<text x="2" y="12">{}</text>', label)
    steps = [f"{canvas.x(n + side)},{canvas.y(v)}" for n, v in enumerate(so_far, 1) for side in (-0.5, 0.5)]
    canvas.add('<polyline class="line rest" points="{}"/>', " ".join(steps))
    curve = " ".join(f"{canvas.x(n)},{canvas.y(v)}" for n, v in enumerate(expected, 1))
    canvas.add('<polyline class="line v0" points="{}"/>', curve)
    for n, value in enumerate(expected, 1):
        tip = f"expected best of {n}: {number(value, decimals)}"
        shape = '<circle class="touch v0" cx="{}" cy="{}" r="6"><title>{}</title></circle>'
        canvas.add(shape, canvas.x(n), canvas.y(value), tip)
    return canvas.svg()


def importance(shares: Sequence[tuple[str, float]], title: str) -> Markup:
    """One bar per field: the share of the variance that it explains."""
    names = name_width((name for name, _ in shares), 360)
    canvas = Canvas(360, 34 * len(shares) + 26, (16 + names, 44, 2, 24), title)
    _x_axis(canvas, [0.0, 0.5, 1.0])
    for i, (name, share) in enumerate(shares):
        y = canvas.top + 34 * i + 7
        width = float(canvas.x(share)) - canvas.left
        canvas.add('<text class="ink" x="2" y="{}">{}</text>', y + 14, shortened(name, names))
        canvas.add('<rect class="bar" x="{}" y="{}" width="{:.1f}" height="20" rx="2"/>', canvas.left, y, width)
        canvas.add('<text x="{:.1f}" y="{}">{:.0f} %</text>', canvas.left + width + 5, y + 14, 100 * share)
    return canvas.svg()


def parallel_coordinates(
    scales: Sequence[Scale], tones: Sequence[str], tips: Sequence[str], title: str, wide: bool
) -> Markup:
    """All trials as lines across vertical axes: one for each field, and the last one for the results of the trials.

    tones: the class of each trial; trials with class `rest` are drawn first, in gray.
    """
    width, height = (1000, 340) if wide else (360, 300)
    names = name_width(map(_value_text, scales[0].marks()), width)
    ends = max(text_width(_value_text(value)) for value in scales[-1].marks(2))
    canvas = Canvas(width, height, (14 + names, max(56, 14 + ends), 34, 16), title)
    canvas.x1 = float(max(len(scales) - 1, 1))
    between = (canvas.right - canvas.left) / canvas.x1 - 14
    for i, scale in enumerate(scales):
        x, anchor = canvas.x(i), "start" if i == 0 else "end" if i == len(scales) - 1 else "middle"
        edge = {"start": 2, "end": width - 2, "middle": x}[anchor]
        line = '<line class="zero" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="ink {}" x="{}" y="{}">{}</text>'
        lift = 14 if (i == len(scales) - 1 if wide else i % 2) else 0  # names of neighboring axes do not overlap
        canvas.add(line, x, x, canvas.top, canvas.bottom, anchor, edge, 26 - lift, scale.name)
        for value in scale.marks(2 if i == len(scales) - 1 else 6):
            last = i == len(scales) - 1
            side = 7 if last else -7
            tick = '<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>'
            y = float(canvas.y(scale.position(value))) + 4
            canvas.add(
                tick, "" if last else "end", float(x) + side, y, shortened(_value_text(value), between if i else names)
            )
    for k in sorted(range(len(tones)), key=lambda k: tones[k] != "rest"):
        shape = '<polyline class="line trial {}" data-trial="{}" points="{}"><title>{}</title></polyline>'
        canvas.add(shape, tones[k], k, _points(canvas, scales, k, len(tones)), tips[k])
    return canvas.svg()


def _points(canvas: Canvas, scales: Sequence[Scale], k: int, trials: int) -> str:
    """The points of the line of trial k; on axes where trials share a value, their lines are kept apart."""
    points = []
    for i, scale in enumerate(scales):
        offset = SPREAD * ((k + 0.5) / trials - 0.5) if len(scale.distinct) < trials else 0.0
        points.append(f"{canvas.x(i)},{float(canvas.y(scale.position(scale.values[k]))) + offset:.1f}")
    return " ".join(points)


def against_field(
    scale: Scale, estimates: Sequence[Estimate], label: str, title: str, decimals: int | None, joined: bool
) -> Markup:
    """The results of the trials, with intervals, against the values of one field; joined: with a line through them."""
    canvas = Canvas(360, 250, (56, 14, 26, 34), title)
    canvas.x0, canvas.x1 = -0.06, 1.06
    means = [e.mean for e in estimates]
    reach = max(max(means) - min(means), 1e-6 * max(map(abs, means)))  # an interval from few seeds may be very wide
    sides = [v for e in estimates for v in (e.low, e.high) if v is not None]
    visible = [v for v in sides if min(means) - reach <= v <= max(means) + reach]
    _y_axis(canvas, ticks(min([*means, *visible]), max([*means, *visible]), 4))
    marks = scale.marks()
    for value in marks:
        x = canvas.x(scale.position(value))
        room = min((360 - canvas.left) / len(marks) - 6, 2 * (360 - float(x)))
        name = shortened(_value_text(value), room)
        canvas.add('<text class="middle" x="{}" y="{}">{}</text>', x, canvas.bottom + 16, name)
    canvas.add('<text class="end" x="{}" y="{}">{}</text>', canvas.right, canvas.bottom + 30, scale.name)
    canvas.add('<text x="2" y="12">{}</text>', label)
    points = sorted((scale.position(v), e.mean) for v, e in zip(scale.values, estimates, strict=True))
    if joined:
        line = " ".join(f"{canvas.x(x)},{canvas.y(y)}" for x, y in points)
        canvas.add('<polyline class="line v0" points="{}"/>', line)
    for k, (value, estimate) in enumerate(zip(scale.values, estimates, strict=True)):
        x, tip = canvas.x(scale.position(value)), f"{scale.name} {value}: {interval(estimate, decimals)}"
        if estimate.low is not None and estimate.high is not None:
            ends = (canvas.y(min(max(v, canvas.y0), canvas.y1)) for v in (estimate.low, estimate.high))
            canvas.add('<line class="line rest" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, *ends)
        shape = '<circle class="dot v1" data-trial="{}" cx="{}" cy="{}" r="4"><title>{}</title></circle>'
        canvas.add(shape, k, x, canvas.y(estimate.mean), tip)
    return canvas.svg()
