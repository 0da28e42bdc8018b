"""Self-contained HTML pages: one base template, inline style and scripts, small inline charts; no network.

A page shows only its input and never the time, so that the same content gives the same bytes.
"""

import base64
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from feedforward.reports.chart_labels import shortened, text_width

WIDTH, HEIGHT = 360, 210  # size of a chart, in CSS pixels on a phone
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 24  # margins that hold the tick labels
LABEL_WIDTH = 98  # maximum width of the name of a bar


def render(template: str, **values: Any) -> str:
    """Render `templates/<template>` with `values`; text is escaped, a missing value is an error."""
    pages = Environment(
        loader=PackageLoader("feedforward.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return pages.get_template(template).render(**values)


def script(*names: str) -> Markup:
    """Join the files `scripts/<name>`, as the content of one <script> element."""
    folder = files("feedforward.reports").joinpath("scripts")
    text = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return Markup(text)  # noqa: S704  files of this package


def json_for_script(value: Any) -> Markup:
    """JSON that cannot end its <script> element: <, >, & and quotes are escaped; keys are sorted, NaN is rejected."""
    return htmlsafe_json_dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def digests(page: str, tag: str) -> list[str]:
    """The inline <tag> elements of a page, by their SHA-256, as sources that a content security policy can permit."""
    parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in parts]


def with_policy(page: str) -> str:
    """The page with a content security policy that permits its inline scripts, styles and images, but no requests."""
    policy = (
        f"default-src 'none'; script-src {' '.join(digests(page, 'script'))}; style-src 'unsafe-inline'; img-src data:"
    )
    meta = Markup('<meta http-equiv="Content-Security-Policy" content="{}">').format(Markup(policy))  # noqa: S704
    return page.replace('<head>\n<meta charset="utf-8">\n', f'<head>\n<meta charset="utf-8">\n{meta}\n', 1)


def grouped_bars(
    series: Mapping[str, Sequence[float]], labels: Sequence[str], title: str, band: tuple[float, float] | None = None
) -> Markup:
    """SVG with a group of bars for each label, one bar per series.

    series: shares in [0, 1] by name, one per label; the first two have the colors of train and test.
    band: the accepted range of shares, drawn behind the bars.
    """
    widest = min(LABEL_WIDTH, max(map(text_width, labels), default=0))
    step = math.ceil(len(labels) / 12)
    is_tilted = widest * len(labels) > (WIDTH - LEFT - RIGHT) * step  # names next to each other would overlap
    top = max([band[1] if band else 0.0, *(max(v) for v in series.values())])
    chart = _Chart(title, len(labels), top, 20 + round(0.87 * widest) if is_tilted else BOTTOM)
    if band:
        chart.rectangle("band", 0, len(labels), *band)
    for index, (name, shares) in enumerate(series.items()):
        for i, share in enumerate(shares):
            left = i + 0.1 + 0.8 * index / len(series)
            tip = f"{labels[i]}, {name}: {percent(share)}"
            chart.rectangle(f"s{index}", left, left + 0.8 / len(series), 0, share, tip)
    for i in range(0, len(labels), math.ceil(len(labels) / 24) if is_tilted else step):
        chart.label(i + 0.5, labels[i], is_tilted)
    return chart.svg()


def histogram(series: Mapping[str, Sequence[float]], edges: Sequence[int], title: str, open_end: bool) -> Markup:
    """SVG of shares per bin: the first series as filled bars, each other one as a stepped line.

    series: shares in [0, 1] by name, one per bin; edges: increasing numbers, one more than bins; open_end: the last bin
    also counts values beyond the last edge.
    """
    bin_count = len(edges) - 1
    chart = _Chart(title, bin_count, max(max(shares) for shares in series.values()))
    for index, (name, shares) in enumerate(series.items()):
        if index:
            chart.steps(f"l{index}", shares)
            continue
        for i, share in enumerate(shares):
            last = open_end and i == bin_count - 1
            values = f"{edges[i]:,} and more" if last else f"{edges[i]:,} to {edges[i + 1] - 1:,}"
            chart.rectangle(f"s{index}", i, i + 1, 0, share, f"{values}, {name}: {percent(share)}")
    for i in range(0, bin_count + 1, max(1, math.ceil(bin_count / 5))):
        chart.label(i, f"{edges[i]:,}")
    return chart.svg()


def percent(share: float) -> str:
    """A share in [0, 1] as text with three digits, `9.04 %`, or four where three would round up to `100 %`."""
    return f"{100 * share:.3g} %" if share < 0.9995 else f"{100 * share:.4g} %"


def number(value: float) -> str:
    """A number as text, `12,500` or `0.25`."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def span(low: float, high: float, form: Callable[[float], str] = number) -> str:
    """A closed range as text, `20 to 400`, or one number if both ends are equal."""
    return form(low) if low == high else f"{form(low)} to {form(high)}"


class _Chart:
    """An SVG under construction; x counts bars from the left; y is a share, from 0 to `top`."""

    def __init__(self, title: str, bars: int, top: float, bottom: int = BOTTOM) -> None:
        self.bars = max(bars, 1)
        step = nice_step(max(top, 1e-9) / 4)
        self.top = step * math.ceil(max(top, 1e-9) / step - 1e-9)
        self.parts: list[Markup] = []
        self._add('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">', WIDTH, HEIGHT - BOTTOM + bottom, title)
        for i in range(round(self.top / step) + 1):
            y = self._y(i * step)
            line = '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" class="end">{}</text>'
            values = (LEFT, WIDTH - RIGHT, y, y, LEFT - 5, f"{float(y) + 4:.1f}", f"{100 * i * step:.3g} %")
            self._add(line, *values)

    def _add(self, markup: str, *values: object) -> None:
        """Append `markup` with its placeholders filled by escaped values."""
        self.parts.append(Markup(markup).format(*values))  # noqa: S704  markup is a literal of this class, values are escaped

    def _x(self, bar: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * bar / self.bars:.1f}"

    def _y(self, share: float) -> str:
        return f"{HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share / self.top:.1f}"

    def rectangle(self, kind: str, left: float, right: float, low: float, high: float, tip: str = "") -> None:
        """A bar or a band, with a tooltip unless `tip` is empty; `kind` is its CSS class."""
        if high <= low:
            return
        x, y = self._x(left), self._y(high)
        width, height = f"{float(self._x(right)) - float(x):.1f}", f"{float(self._y(low)) - float(y):.1f}"
        inner = Markup("<title>{}</title>").format(tip) if tip else ""
        shape = '<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>'
        self._add(shape, kind, x, y, width, height, inner)

    def steps(self, kind: str, shares: Sequence[float]) -> None:
        """A stepped line, constant over each bar."""
        points = [f"{self._x(i + side)},{self._y(share)}" for i, share in enumerate(shares) for side in (0, 1)]
        self._add('<polyline class="{}" points="{}"/>', kind, " ".join(points))

    def label(self, bar: float, text: str, is_tilted: bool = False) -> None:
        """A tick label below the axis."""
        x, y, name = self._x(bar), HEIGHT - BOTTOM + 16, shortened(text, LABEL_WIDTH)
        if is_tilted:
            tilted = '<text x="{0}" y="{1}" class="end" transform="rotate(-60 {0} {1})">{2}</text>'
            self._add(tilted, f"{float(x) + 4:.1f}", y - 2, name)
            return
        anchor = "end" if bar == self.bars else "middle"  # centered text would be cut off at the right edge
        self._add('<text x="{}" y="{}" class="{}">{}</text>', x, y, anchor, name)

    def svg(self) -> Markup:
        """The finished SVG."""
        return Markup("").join([*self.parts, Markup("</svg>")])


def nice_step(at_least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `at_least`."""
    power = 10.0 ** math.floor(math.log10(at_least))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= at_least * (1 - 1e-9))
