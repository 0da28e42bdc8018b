"""Inline SVG of probabilities and errors: curves over a unit square, confusion matrices, residuals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from feedforward.analysis.curves import Numbers
from feedforward.analysis.numerals import number
from feedforward.reports.chart_labels import shortened, text_width
from feedforward.reports.svg_canvas import Canvas, signed, ticks

WIDTH = 360
LABEL_WIDTH = 98  # maximum width of a label next to a matrix
CELL, MOST_WIDTH = 18, 1000  # width of a cell that has room for a number; maximum width of a matrix
PREDICTION, RESIDUAL = 1, 2  # positions of the means in a bin of error_analysis.residuals
Q05, Q25, Q75, Q95 = 3, 4, 6, 7  # positions of the quantiles of the residuals


@dataclass(frozen=True)
class Line:
    """A curve to draw with its band; `tone` is its CSS class. points: whether to mark each point."""

    name: str
    tone: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    points: bool = False


def unit_square(
    lines: Sequence[Line],
    title: str,
    xlabel: str,
    ylabel: str,
    start: tuple[float, float] = (0, 0),
    diagonal: bool = False,
) -> Markup:
    """Curves whose x and y values are shares, on axes that end at 1; `start`: the lower left corner."""
    canvas = Canvas(WIDTH, 320, (44, 12, 24, 38), title)
    (canvas.x0, canvas.y0), canvas.x1, canvas.y1 = start, 1.0, 1.0
    for mark in (x for x in ticks(start[1], 1, 5) if x <= 1):
        y = canvas.y(mark)
        canvas.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', canvas.left, canvas.right, y, y)
        canvas.add('<text class="end" x="{}" y="{:.1f}">{:g}</text>', canvas.left - 6, float(y) + 4, mark)
    for mark in (x for x in ticks(start[0], 1, 5) if x <= 1):
        canvas.add('<text class="middle" x="{}" y="{}">{:g}</text>', canvas.x(mark), canvas.bottom + 16, mark)
    canvas.add('<text class="end" x="{}" y="{}">{}</text>', canvas.right, canvas.bottom + 32, xlabel)
    canvas.add('<text x="2" y="12">{}</text>', ylabel)
    if diagonal:
        low = max(start)
        ends = canvas.x(low), canvas.x(1), canvas.y(low), canvas.y(1)
        canvas.add('<line class="zero" x1="{}" x2="{}" y1="{}" y2="{}" stroke-dasharray="3 3"/>', *ends)
    for line in lines:
        _line(canvas, line)
    return canvas.svg()


def _line(canvas: Canvas, line: Line) -> None:
    inside = [k for k in range(len(line.x)) if line.x[k] >= canvas.x0]
    if line.low is not None and line.high is not None:
        upper = [_point(canvas, line.x[k], line.high[k]) for k in inside]
        lower = [_point(canvas, line.x[k], line.low[k]) for k in reversed(inside)]
        canvas.add('<polygon class="band {}" points="{}"/>', line.tone, " ".join(upper + lower))
    points = " ".join(_point(canvas, line.x[k], line.y[k]) for k in inside)
    canvas.add('<polyline class="line {}" points="{}"/>', line.tone, points)
    for k in inside if line.points else ():
        tip = f"{line.name}: {number(line.x[k], 3)} → {number(line.y[k], 3)}"
        if line.low is not None and line.high is not None:
            tip += f" [{number(line.low[k], 3)}, {number(line.high[k], 3)}]"
        x, y = _point(canvas, line.x[k], line.y[k]).split(",")
        canvas.add('<circle class="dot {}" cx="{}" cy="{}" r="2.5"><title>{}</title></circle>', line.tone, x, y, tip)


def _point(canvas: Canvas, x: float, y: float) -> str:
    return f"{canvas.x(x)},{canvas.y(min(max(float(y), canvas.y0), canvas.y1))}"


def _left_of_matrix(labels: Sequence[str]) -> int:
    """The room for the classes' numbers and names."""
    return 13 + text_width(str(len(labels))) + min(LABEL_WIDTH, max(map(text_width, labels)))


def confusion_width(labels: Sequence[str]) -> int:
    """The width of a confusion matrix: WIDTH, or more if there are many classes."""
    return min(MOST_WIDTH, max(WIDTH, _left_of_matrix(labels) + CELL * len(labels) + 4))


def confusion(matrix: Numbers, labels: Sequence[str], title: str) -> Markup:
    """Number of samples by true class (rows) and predicted class (columns), shaded by their share of the row.

    With many classes, only some are labeled; each cell has a tooltip.
    """
    class_count, width, left = len(labels), confusion_width(labels), _left_of_matrix(labels)
    side = min(96.0, (width - left - 4) / class_count)
    canvas = Canvas(width, round(44 + side * class_count + 4), (left, 0, 40, 0), title)
    canvas.add('<text x="2" y="12">true ↓ predicted →</text>')
    names_fit = side >= min(LABEL_WIDTH, max(map(text_width, labels)))
    column_step = math.ceil((text_width(str(class_count)) + 4) / side)  # every n-th column and row is labeled
    row_step = math.ceil(12 / side)
    for k, label in enumerate(labels):
        name, middle = shortened(label, LABEL_WIDTH), canvas.left + side * (k + 0.5)
        if names_fit or k % column_step == 0:
            canvas.add('<text class="middle ink" x="{:.1f}" y="34">{}</text>', middle, name if names_fit else k + 1)
        if k % row_step == 0:
            text = name if names_fit or label == str(k + 1) else Markup("{} {}").format(k + 1, name)
            at = canvas.top + side * (k + 0.5) + 4
            canvas.add('<text class="end ink" x="{}" y="{:.1f}">{}</text>', left - 6, at, text)
    for row, counts in enumerate(matrix):
        total = float(counts.sum()) or 1.0
        for column, count in enumerate(counts):
            _cell(canvas, (row, column), float(count), float(count) / total, side, labels)
    return canvas.svg()


def _cell(
    canvas: Canvas, position: tuple[int, int], count: float, share: float, side: float, labels: Sequence[str]
) -> None:
    row, column = position
    x, y = canvas.left + side * column, canvas.top + side * row
    tip = f"true {labels[row]}, predicted {labels[column]}: {count:,.1f} samples, {100 * share:.2f} % of the row"
    shade = share if row == column else min(1.0, 4 * share)  # errors are rare, so they are shaded more strongly
    cell = (
        '<rect class="dot {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill-opacity="{:.3f}">'
        "<title>{}</title></rect>"
    )
    canvas.add(cell, "good" if row == column else "bad", x, y, side - 1, side - 1, 0.06 + 0.34 * shade, tip)
    # means over seeds have a decimal if it fits; halves are rounded up, as a reader expects
    texts = (f"{count:.1f}".removesuffix(".0"), f"{math.floor(count + 0.5)}")
    text = next((text for text in texts if side >= 7.5 * len(text)), None)
    if text and count >= 0.05:
        label = '<text class="middle ink" x="{:.1f}" y="{:.1f}" pointer-events="none">{}</text>'
        canvas.add(label, x + side / 2, y + side / 2 + 4, text)


def residuals(errors: dict[str, Any], title: str, xlabel: str) -> Markup:
    """Residuals against predictions: samples, the mean of each bin, and bands with 50 % and 90 % of its samples.

    errors: the result of error_analysis.residuals.
    """
    canvas = Canvas(WIDTH, 300, (56, 12, 24, 38), title)
    bins, points = errors["bins"], errors["points"]
    xs = [x for x, _ in points]
    lows, highs = [entry[Q05] for entry in bins], [entry[Q95] for entry in bins]
    x_ticks, y_ticks = ticks(min(xs), max(xs), 4), ticks(min([0.0, *lows]), max([0.0, *highs]), 5)
    (canvas.x0, canvas.x1), (canvas.y0, canvas.y1) = (x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1])
    _axes(canvas, x_ticks, y_ticks, xlabel)
    for low, high in ((Q05, Q95), (Q25, Q75)):
        edge = [_point(canvas, entry[PREDICTION], entry[high]) for entry in bins] + [
            _point(canvas, entry[PREDICTION], entry[low]) for entry in bins[::-1]
        ]
        canvas.add('<polygon class="band v1" points="{}"/>', " ".join(edge))
    for x, y in points:
        if canvas.y0 <= y <= canvas.y1:
            tip = f"predicted {x:g}, residual {signed(y)}"
            circle = '<circle class="dot v1" cx="{}" cy="{}" r="1.5" fill-opacity="0.5"><title>{}</title></circle>'
            canvas.add(circle, canvas.x(x), canvas.y(y), tip)
    means = " ".join(_point(canvas, entry[PREDICTION], entry[RESIDUAL]) for entry in bins)
    canvas.add('<polyline class="line v2" points="{}"/>', means)
    return canvas.svg()


def _axes(canvas: Canvas, x_ticks: Sequence[float], y_ticks: Sequence[float], xlabel: str) -> None:
    canvas.fit_left_of_axis(map(signed, y_ticks))
    canvas.fit_right_of_axis(signed(x_ticks[-1]))
    for mark in y_ticks:
        y = canvas.y(mark)
        grid = '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        canvas.add(grid, "grid" if mark else "zero", canvas.left, canvas.right, y, y)
        canvas.add('<text class="end" x="{}" y="{:.1f}">{}</text>', canvas.left - 6, float(y) + 4, signed(mark))
    for mark in x_ticks:
        canvas.add('<text class="middle" x="{}" y="{}">{}</text>', canvas.x(mark), canvas.bottom + 16, signed(mark))
    canvas.add('<text class="end" x="{}" y="{}">{}</text>', canvas.right, canvas.bottom + 32, xlabel)
    canvas.add('<text x="2" y="12">true − predicted</text>')
