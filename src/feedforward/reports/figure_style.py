"""Colors, sizes and axes shared by all matplotlib figures, and encoding as PNG."""

import io
from collections.abc import Collection, Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from feedforward.analysis.curves import Band, shown_range
from feedforward.analysis.run_result import SCORES
from feedforward.reports.palette import BLACK as BLACK  # exported again, so that modules that draw need one import
from feedforward.reports.palette import PALETTE as PALETTE

GRAY, GRID, WHITE = "#59636e", "#d9dee3", "#ffffff"
BLUE = "#0000ff"  # the lecture's blue
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 3)))
SIZE, WIDE = (6.4, 4.2), (8.0, 4.6)  # inches
DPI = 120


def label(curve: str) -> str:
    """The curve's name on an axis."""
    return {"cross_entropy": "loss", **SCORES}.get(curve, curve)


def seeds_subtitle(bands: Iterable[Band | None], suffix: str = "") -> str:
    """A subtitle that says how many seeds the curves are averaged over, followed by `suffix`."""
    counts = {band.n for band in bands if band is not None}
    text = seeds_text(counts, ", band: 95 % t interval") if counts else "no run"
    return f"{text}; {suffix}" if suffix else text


def seeds_text(counts: Collection[int], suffix: str = "") -> str:
    """`mean of 3 to 5 seeds` followed by `suffix`, or `one seed`.

    >>> seeds_text({3, 5, 4}), seeds_text({5}), seeds_text({1})
    ('mean of 3 to 5 seeds', 'mean of 5 seeds', 'one seed')
    """
    fewest, most = min(counts), max(counts)
    if most == 1:
        return "one seed"
    return f"mean of {fewest if fewest == most else f'{fewest} to {most}'} seeds{suffix}"


def empty_figure(size: tuple[float, float], title: str, subtitle: str, right: float = 0.2) -> Figure:
    """An empty figure with a title and fixed margins (faster than automatic layout). right: that margin in inches."""
    width, height = size
    figure = Figure(figsize=size, dpi=DPI, facecolor=WHITE)
    figure.subplots_adjust(0.72 / width, 0.58 / height, 1 - right / width, 1 - 0.72 / height, 0.95 / (width / 2))
    figure.text(0.14 / width, 1 - 0.13 / height, title, fontsize=12.5, color=BLACK, va="top", parse_math=False)
    figure.text(0.14 / width, 1 - 0.38 / height, subtitle, fontsize=9.5, color=GRAY, va="top", parse_math=False)
    return figure


def styled(axes: Axes, xlabel: str, ylabel: str) -> Axes:
    """Give the axes labels, a light grid and two spines; return them."""
    axes.set_facecolor(WHITE)
    axes.set_xlabel(xlabel, fontsize=10.5, color=BLACK)
    axes.set_ylabel(ylabel, fontsize=10.5, color=BLACK)
    axes.tick_params(labelsize=9.5, labelcolor=GRAY, color=GRID, length=3)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)
    return axes


def mark_epochs(axes: Axes, epochs: int) -> None:
    """Set ticks at epoch 1 and at multiples of a round step."""
    step = next(step for step in (1, 5, 10, 20, 50, 100, 500, 10**9) if epochs <= 10 * step)
    axes.set_xticks([1, *(epoch for epoch in range(step, epochs + 1, step) if epoch > 1)])


def limit(axes: Axes, bands: Iterable[Band | None]) -> tuple[float, float]:
    """Set the y axis to `curves.shown_range` plus padding; return the limits."""
    low, high = shown_range(entry for entry in bands if entry is not None)
    padding = 0.04 * (high - low) or 0.5
    axes.set_ylim(low - padding, high + padding)
    return low - padding, high + padding


def shade(axes: Axes, band: Band, color: str, alpha: float) -> None:
    """Draw the interval of a band; draw nothing if there is only one seed."""
    if band.low is not None and band.high is not None:
        axes.fill_between(band.epochs, band.low, band.high, color=color, alpha=alpha, linewidth=0)


def png(figure: Figure) -> bytes:
    """Encode the figure as PNG, with no date or version in its metadata, so that the bytes are always the same."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
