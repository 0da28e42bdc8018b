"""The canvas of inline SVG charts: a rectangle with scales, and tick marks at round numbers."""

import math
from collections.abc import Iterable

from markupsafe import Markup

from feedforward.reports.chart_labels import text_width
from feedforward.reports.html_page import nice_step


class Canvas:
    """An SVG under construction: a rectangle of pixels that shows a range of x and a range of y."""

    def __init__(self, width: int, height: int, margins: tuple[int, int, int, int], title: str) -> None:
        self.left, self.right, self.top, self.bottom = margins[0], width - margins[1], margins[2], height - margins[3]
        self.width = width
        self.x0, self.x1, self.y0, self.y1 = 0.0, 1.0, 0.0, 1.0
        self.parts = [Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(width, height, title)]

    def x(self, value: float) -> str:
        """The horizontal position of a value, in pixels."""
        return f"{self.left + (self.right - self.left) * (value - self.x0) / (self.x1 - self.x0):.1f}"

    def y(self, value: float) -> str:
        """The vertical position of a value, in pixels."""
        return f"{self.bottom - (self.bottom - self.top) * (value - self.y0) / (self.y1 - self.y0):.1f}"

    def fit_left_of_axis(self, labels: Iterable[str]) -> None:
        """Move the left side of the rectangle so that the labels of the vertical axis are not cut off."""
        self.left = max(self.left, 10 + max(map(text_width, labels), default=0))

    def fit_right_of_axis(self, label: str) -> None:
        """Move the right side of the rectangle so that the last label of the horizontal axis is not cut off."""
        self.right = min(self.right, self.width - 2 - text_width(label) // 2)

    def add(self, template: str, *values: object) -> None:
        """Append an element: a literal template with placeholders for values, which are escaped."""
        self.parts.append(Markup(template).format(*values))  # noqa: S704  templates are literals of this package

    def svg(self) -> Markup:
        """The finished SVG."""
        return Markup("").join([*self.parts, Markup("</svg>")])


def ticks(low: float, high: float, most: int) -> list[float]:
    """Equally spaced round numbers that enclose low and high: at most `most` + 2."""
    rounding = max(1e-9 * max(abs(low), abs(high)), 1e-15)
    span = high - low if high - low > rounding else 1.0
    step = nice_step(span / most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]


def signed(value: float) -> str:
    """A number as short text with a real minus sign, for tick labels."""
    return f"{value:g}".replace("-", "−")
