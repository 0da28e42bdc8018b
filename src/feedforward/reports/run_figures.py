"""The plots that are logged with runs, as SVG documents: curves, calibration, confusion matrix.

They are made without matplotlib, which would account for much of the time it takes to log a small run: 60 ms per
figure, and 0.4 s to import the library.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from feedforward.analysis import calibrations, errors_over_seeds
from feedforward.analysis.curves import mean_band
from feedforward.analysis.run_result import SCORES, RunResult
from feedforward.config.schema import Dataset
from feedforward.reports import calibration_section, probability_charts, svg_charts
from feedforward.reports.palette import PALETTE
from feedforward.reports.svg_charts import Series

TOP, GAP = 70, 24  # pixels: space above the charts, and around them
DOT, LINE = "●", "―"  # keys in a legend
SPLITS: tuple[tuple[str, Literal["dot", "line"], str], ...] = (("training", "dot", ""), ("validation", "line", "val_"))
STYLE = (
    "svg{font-family:system-ui,sans-serif} text{font-size:12px;fill:#556273} .title,.ink{fill:#16202c}"
    " .title{font-size:16px;font-weight:600} .key{font-weight:700} .end{text-anchor:end} .middle{text-anchor:middle}"
    " .grid{stroke:#dde2e8} .zero{stroke:#556273} .line{fill:none;stroke:var(--tone);stroke-width:2}"
    " .dot,.key{fill:var(--tone)} .band{fill:var(--tone);opacity:.16} .touch{fill:transparent}"
    " .lecture{--tone:#0000ff} .good{--tone:#12693a} .bad{--tone:#a61b1b} polyline.v1{stroke-dasharray:7 2.5}"
    " polyline.v2{stroke-dasharray:2 2} polyline.v3{stroke-dasharray:7 2.5 2 2.5} "
) + " ".join(f".v{index}{{--tone:{color}}}" for index, color in enumerate(PALETTE))


@dataclass(frozen=True)
class Panel:
    """A chart and its legend: key, CSS class and name of each curve."""

    svg: Markup
    legend: Sequence[tuple[str, str, str]] = ()


def curves(runs: Sequence[RunResult], title: str) -> str:
    """Loss and accuracy (or error) of one run, or of all replicas of a variant, by epoch, in the lecture's style."""
    panels = []
    for curve in ("loss", runs[0].score):
        series = [
            Series(name, mark, "lecture", band)
            for name, mark, prefix in SPLITS
            if (band := mean_band(runs, runs[0].variant, f"{prefix}{curve}", runs[0].role))
        ]
        legend = [(LINE if entry.mark == "line" else DOT, entry.tone, entry.name) for entry in series]
        panels.append(Panel(svg_charts.curves(series, f"{curve} by epoch", SCORES.get(curve, curve)), legend))
    return _document(runs, title, panels)


def calibration(runs: Sequence[RunResult], dataset: Dataset) -> str | None:
    """Reliability of one variant, and its calibration error by epoch; None if its runs recorded no calibration."""
    summary = calibrations.summarize(runs, [runs[0].variant])
    if not summary:
        return None
    series = [
        Series(name, "line", tone, band)
        for curve, name, tone in (("ece", "as trained", "v2"), ("scaled_ece", "scaled", "v1"))
        if (band := mean_band(runs, runs[0].variant, f"calibration/{curve}"))
    ]
    stages = [(LINE, tone, name) for name, tone in calibration_section.STAGES.values()]
    by_epoch = svg_charts.curves(series, "calibration error by epoch", "expected calibration error")
    legend = [(LINE, entry.tone, entry.name) for entry in series]
    diagram = calibration_section.diagram(summary[0], dataset, dataset.title)
    return _document(runs, dataset.title, [Panel(diagram, stages), Panel(by_epoch, legend)])


def confusion(runs: Sequence[RunResult], dataset: Dataset) -> str | None:
    """Numbers of test samples by true and predicted class, mean over final runs; None if no run recorded them."""
    errors = errors_over_seeds.summarize(runs)
    if errors is None or errors.confusion is None:
        return None
    matrix = probability_charts.confusion(errors.confusion, dataset.labels, "confusion matrix")
    return _document(runs, dataset.title, [Panel(matrix)], f"test samples, {_seeds(runs)}")


def _seeds(runs: Sequence[RunResult]) -> str:
    return "one seed" if len(runs) == 1 else f"mean of {len(runs)} seeds"


def _document(runs: Sequence[RunResult], title: str, panels: Sequence[Panel], subtitle: str = "") -> str:
    """An SVG document with panels side by side below a title."""
    subtitle = subtitle or _seeds(runs) + ("; band: 95 % t interval" if len(runs) > 1 else "")
    sizes = [re.findall(r"\d+", panel.svg)[2:4] for panel in panels]  # from the viewBox
    lefts = list(itertools.accumulate((int(width) + GAP for width, _ in sizes), initial=GAP))
    width = lefts.pop()
    height = TOP + max(int(height) for _, height in sizes) + GAP
    parts = [
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}"><style>{2}</style>'
            '<rect width="{0}" height="{1}" fill="#fff"/><text class="title" x="{3}" y="26">{4}: {5}</text>'
            '<text x="{3}" y="44">{6}</text>'
        ).format(width, height, Markup(STYLE), GAP, title, runs[0].variant, subtitle)  # noqa: S704
    ]
    for x, panel, size in zip(lefts, panels, sizes, strict=True):
        parts += [Markup('<text x="{}" y="{}">').format(x, TOP - 6), *map(_key, panel.legend), Markup("</text>")]
        parts += [Markup('<svg x="{}" y="{}" width="{}" height="{}">').format(x, TOP, *size), panel.svg]
        parts.append(Markup("</svg>"))
    return str(Markup("").join([*parts, Markup("</svg>\n")]))


def _key(entry: tuple[str, str, str]) -> Markup:
    return Markup('<tspan class="key {1}">{0}</tspan> {2}&#160;&#160; ').format(*entry)
