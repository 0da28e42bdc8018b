"""Values of several models on one axis, one row each: baselines, a variant, published results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from feedforward.analysis.numerals import number
from feedforward.reports.svg_canvas import Canvas, signed, ticks
from feedforward.reports.tables import span

ROW, TALL_ROW = 34, 48  # height in pixels: with names next to the axis, and with two lines of text above each value
FAR = 1.5  # a baseline whose distance from the other values exceeds this multiple of their range is put at the edge


@dataclass(frozen=True)
class Mark:
    """A value with its interval. kind: a baseline, a variant on the page, or a published result.

    tone: CSS class. source: where a result was published.
    """

    name: str
    kind: Literal["baseline", "variant", "published"]
    value: float
    low: float | None
    high: float | None
    tone: str = "reference"
    source: str = ""


def chart(marks: Sequence[Mark], title: str, decimals: int | None, wide: bool) -> Markup:
    """One row per value, the largest first; a vertical line at the value of the variant.

    wide: whether names are next to the axis instead of above each value.
    """
    rows = sorted(marks, key=lambda mark: -mark.value)
    width, left, height = (1000, 440, ROW) if wide else (360, 20, TALL_ROW)
    canvas = Canvas(width, height * len(rows) + 34, (left, 20, 4, 30), title)
    _scale(canvas, [mark for mark in rows if not _is_far(mark, rows)])
    variant_positions = [canvas.x(mark.value) for mark in rows if mark.kind == "variant"]
    for i, mark in enumerate(rows):
        top = canvas.top + height * i
        middle = top + (17 if wide else 38)
        for x in variant_positions:
            canvas.add(
                '<line class="zero" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, top if wide else middle - 8, top + height
            )
        _name(canvas, mark, top + (22 if wide else 12), wide)
        _row(canvas, mark, middle, decimals, _is_far(mark, rows))
    return canvas.svg()


def _is_far(mark: Mark, rows: Sequence[Mark]) -> bool:
    """Whether a baseline is so far from the other values that it would leave no room for their differences."""
    core = [other.value for other in rows if other.kind != "baseline"]
    core = core if len(core) > 1 else [other.value for other in rows]
    reach = FAR * max(max(core) - min(core), 1e-9 * max(map(abs, core)))
    return mark.kind == "baseline" and not min(core) - reach <= mark.value <= max(core) + reach


def _scale(canvas: Canvas, drawn: Sequence[Mark]) -> None:
    values = [v for mark in drawn for v in (mark.value, mark.low, mark.high) if v is not None]
    steps = ticks(min(values), max(values), 5)
    canvas.x0, canvas.x1 = steps[0], steps[-1]
    for step in steps:
        x = canvas.x(step)
        canvas.add('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, canvas.top, canvas.bottom)
        canvas.add('<text class="middle" x="{}" y="{}">{}</text>', x, canvas.bottom + 16, signed(step))


def _row(canvas: Canvas, mark: Mark, middle: int, decimals: int | None, is_far: bool) -> None:
    text = number(mark.value, decimals)
    if is_far:
        left = mark.value < canvas.x0
        x, label = (canvas.left + 2, f"◂ {text}") if left else (canvas.right - 2, f"{text} ▸")
        canvas.add('<text class="{}" x="{}" y="{}">{}</text>', "" if left else "end", x, middle + 5, label)
        return
    tip = f"{mark.name}{f' ({mark.source})' if mark.source else ''}: {text}"
    if mark.low is not None and mark.high is not None:
        tip += f" {span(mark.low, mark.high, decimals)}"
        x1, x2 = canvas.x(mark.low), canvas.x(mark.high)
        canvas.add('<line class="line {}" x1="{}" x2="{}" y1="{}" y2="{}"/>', mark.tone, x1, x2, middle, middle)
    shape = '<circle class="{} {}" cx="{}" cy="{}" r="5"><title>{}</title></circle>'
    fill = "hollow" if mark.kind == "published" else "dot"
    canvas.add(shape, fill, mark.tone, canvas.x(mark.value), middle, tip)


def _name(canvas: Canvas, mark: Mark, y: int, wide: bool) -> None:
    style = f"name {mark.tone}" if mark.kind == "variant" else "ink" if mark.kind == "published" else ""
    source = f"({mark.source})" if mark.source else ""
    lines = [" ".join(filter(None, (mark.name, source)))] if wide else [mark.name, source]
    for i, line in enumerate(lines):
        canvas.add('<text class="{}" x="2" y="{}">{}</text>', style, y + 14 * i, line)
