"""The lecture's figures in the lecture's style, and ours with bands over seeds.

Each function returns a matplotlib Figure made through the object-oriented API alone, so that threads may
draw side by side: nothing reads or sets matplotlib's global state.
"""

import io
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from feedforward.analysis import statistics
from feedforward.analysis.intervals import CONFIDENCE, estimate
from feedforward.analysis.run_result import SCORES, RunResult
from feedforward.analysis.statistics import Band, Difference

INK, FAINT, GRID, PAPER = "#1f2328", "#59636e", "#d9dee3", "#ffffff"
BLUE = "#0000ff"  # the lecture's
# Okabe and Ito's hues, apart for every kind of colour vision, dark enough for text; the first variant is in ink
PALETTE = (INK, "#0065a8", "#bf4f00", "#00795a", "#a8508a", "#856600", "#2c6d94")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 3)))
SHADES = LinearSegmentedColormap.from_list("loss", ["#e8f1f8", "#7fb2d9", "#0065a8", "#002f50"])  # low to high
SIZE, WIDE = (6.4, 4.2), (8.0, 4.6)  # inches
DPI = 120


# --- the lecture's ---------------------------------------------------------------------------


def training_and_validation(runs: Sequence[RunResult], variant: str, curve: str, title: str) -> Figure:
    """Figures 1 and 2: a curve by epoch on the training (blue dots) and the validation split (blue line)."""
    bands = [statistics.band(runs, variant, curve), statistics.band(runs, variant, f"val_{curve}")]
    return _two_curves(bands, ("training", "validation"), ("bo", "b"), title, _label(curve))


def validation_loss_of_two(runs: Sequence[RunResult], baseline: str, variant: str, title: str) -> Figure:
    """Figure 3: validation loss of the baseline (blue dots) and of one other variant (blue plus signs)."""
    bands = [statistics.band(runs, name, "val_cross_entropy") for name in (baseline, variant)]
    return _two_curves(bands, (baseline, variant), ("bo", "b+"), title, "validation loss")


def training_of_final(runs: Sequence[RunResult], variant: str, title: str) -> Figure:
    """Figure 4: accuracy (or error) and loss of the final model on its training samples, side by side."""
    bands = {curve: statistics.band(runs, variant, curve, "final") for curve in (runs[0].score, "cross_entropy")}
    figure = _figure(WIDE, title, _seeds(bands.values()))
    for place, (curve, band) in enumerate(bands.items(), start=1):
        axes = _dressed(figure.add_subplot(1, 2, place), "epoch", f"training {_label(curve)}")
        _lecture_curve(axes, band, "bo-", "training")
    return figure


def curves_of_run(runs: Sequence[RunResult], title: str) -> Figure:
    """Loss and accuracy (or error) by epoch of one run, or of all replicas of a variant, in the lecture's style."""
    variant, role = runs[0].variant, runs[0].role
    curves = [
        (c, [statistics.band(runs, variant, f"{p}{c}", role) for p in ("", "val_")]) for c in ("loss", runs[0].score)
    ]
    figure = _figure(WIDE, f"{title}: {variant}", _seeds(band for _, bands in curves for band in bands))
    for place, (curve, bands) in enumerate(curves, start=1):
        axes = _dressed(figure.add_subplot(1, 2, place), "epoch", _label(curve))
        for band, style, label in zip(bands, ("bo", "b"), ("training", "validation"), strict=True):
            _lecture_curve(axes, band, style, label)
        axes.legend(frameon=False, fontsize=10, labelcolor=INK)
    return figure


def _two_curves(
    bands: Sequence[Band | None], names: Sequence[str], styles: Sequence[str], title: str, ylabel: str
) -> Figure:
    figure = _figure(SIZE, title, _seeds(bands))
    axes = _dressed(figure.add_subplot(), "epoch", ylabel)
    for band, name, style in zip(bands, names, styles, strict=True):
        _lecture_curve(axes, band, style, name)
    if axes.lines:
        axes.legend(frameon=False, fontsize=10, labelcolor=INK)
    _limit(axes, bands)
    return figure


def _lecture_curve(axes: Axes, band: Band | None, style: str, label: str) -> None:
    if band is not None:
        axes.plot(band.epochs, band.mean, style, label=label, markersize=6, markeredgewidth=1.4)
        _shade(axes, band, BLUE, 0.12)
        _mark_epochs(axes, len(band.epochs))


# --- ours ------------------------------------------------------------------------------------


def validation_loss_of_all(runs: Sequence[RunResult], variants: Iterable[str], title: str) -> Figure:
    """Validation loss of every variant by epoch: mean, 95 % t interval as a band, the lowest point marked."""
    bands = {variant: statistics.band(runs, variant, "val_cross_entropy") for variant in variants}
    room = 0.25 + 0.1 * max(map(len, bands), default=0)  # inches, for the names at the curves' ends
    figure = _figure(WIDE, title, _seeds(bands.values(), "dot: lowest mean"), room)
    axes = _dressed(figure.add_subplot(), "epoch", "validation loss")
    ends = []
    for place, (variant, band) in enumerate(bands.items()):
        if band is None:
            continue
        colour, dash = PALETTE[place % len(PALETTE)], DASHES[place % len(DASHES)]
        axes.plot(band.epochs, band.mean, color=colour, linestyle=dash, linewidth=2)
        _shade(axes, band, colour, 0.16)
        lowest = int(band.mean.argmin())
        axes.plot(band.epochs[lowest], band.mean[lowest], "o", color=colour, markersize=8, markeredgecolor=PAPER)
        _mark_epochs(axes, len(band.epochs))
        ends.append((float(band.mean[-1]), float(band.epochs[-1]), variant, colour))
    low, high = _limit(axes, bands.values())
    for (_, x, variant, colour), y in zip(sorted(ends), _apart(sorted(e[0] for e in ends), high - low), strict=True):
        axes.annotate(variant, (x, y), (8, 0), textcoords="offset points", va="center", color=colour, fontsize=10.5)
    return figure


def _apart(heights: Sequence[float], span: float) -> list[float]:
    """Rising heights of labels, moved up until each has its line's height to itself."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + span / 18) if placed else height)
    return placed


def forest(panels: Sequence[tuple[str, Sequence[Difference]]], title: str) -> Figure:
    """Paired differences with their 95 % t intervals, one panel a statistic; filled where Holm's test is sure."""
    names = list(dict.fromkeys(difference.left for _, found in panels for difference in found))
    rows, columns = max(1, len(names)), max(1, len(panels))
    size = (2.9 * columns + 1.3, 0.45 * rows + 1.95)
    figure = _figure(size, title, "paired by seed, 95 % t interval; filled: sure after Holm's correction")
    figure.subplots_adjust(
        left=(0.45 + 0.1 * max(map(len, names), default=0)) / size[0], bottom=0.98 / size[1], wspace=0.12
    )
    for place, (label, found) in enumerate(panels, start=1):
        axes = _dressed(figure.add_subplot(1, columns, place), textwrap.fill(label, 26), "")
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=FAINT, linewidth=1)
        for difference in found:  # a panel may lack a variant: a slope is not always defined
            _forest_row(axes, names.index(difference.left), difference)
        axes.set_yticks(range(len(names)), names if place == 1 else [""] * len(names), fontsize=10.5, color=INK)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


def _forest_row(axes: Axes, row: int, difference: Difference) -> None:
    found, colour = difference.estimate, PALETTE[1]
    sure = difference.p_corrected is not None and difference.p_corrected <= 1 - CONFIDENCE
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(found.mean, row, "o", markersize=8, color=colour if sure else PAPER, markeredgecolor=colour, mew=1.8)


# --- sweeps ----------------------------------------------------------------------------------

Columns = Mapping[str, Sequence[int | float | str]]  # field → its value in each trial


def against_values(columns: Columns, samples: Sequence[Sequence[float]], title: str) -> Figure:
    """The lowest validation loss against each field: every seed, means, and 95 % t intervals over seeds.

    samples: for each trial the losses of its seeds. With one field of numbers the intervals are a band.
    """
    subtitle = _over({len(values) for values in samples}, ", 95 % t interval; small dots: seeds")
    figure = _figure((max(6.4, 0.6 + 3.7 * len(columns)), 4.2), title, subtitle)
    lowest, highest = min(map(min, samples)), max(map(max, samples))
    air = 0.15 * (highest - lowest) or 0.1  # an interval of few seeds may be as wide as the paper
    for place, (field, values) in enumerate(columns.items(), start=1):
        axes = _dressed(figure.add_subplot(1, len(columns), place), field, "validation loss" if place == 1 else "")
        x, are_numbers = _positions(axes, values, each=len(columns) == 1)
        _losses(axes, sorted(zip(x, samples, strict=True)), joined=are_numbers and len(columns) == 1)
        axes.set_ylim(lowest - air, highest + air)
    return figure


def _losses(axes: Axes, found: Sequence[tuple[float, Sequence[float]]], joined: bool) -> None:
    """Losses of seeds at rising x, with means and intervals; joined: as a curve with a band."""
    for x, losses in found:
        axes.plot([x] * len(losses), losses, ".", color=FAINT, markersize=4, alpha=0.7)
    means = [(x, each) for x, losses in found if (each := estimate(losses))]
    axes.plot([x for x, _ in means], [each.mean for _, each in means], "o-" if joined else "o", color=PALETTE[1])
    sides = [(x, each.low, each.high) for x, each in means if each.low is not None and each.high is not None]
    if joined and sides:
        xs, lows, highs = zip(*sides, strict=True)
        axes.fill_between(xs, lows, highs, color=PALETTE[1], alpha=0.16, linewidth=0)
    for x, low, high in () if joined else sides:
        axes.plot([x, x], [low, high], color=PALETTE[1], linewidth=1.6)


def heat_map(columns: Columns, means: Sequence[float], title: str, seeds: int) -> Figure:
    """The mean lowest validation loss for each pair of values of two fields; the lowest is framed."""
    (across, x), (down, y) = columns.items()
    xs, ys = list(dict.fromkeys(x)), list(dict.fromkeys(y))
    figure = _figure((1.6 + 0.85 * max(len(xs), 4), 1.7 + 0.5 * len(ys)), title, _over({seeds}, "; framed: lowest"))
    figure.subplots_adjust(left=0.2)
    axes = _dressed(figure.add_subplot(), across, down)
    axes.grid(visible=False)
    low, high = min(means), max(means)
    for a, b, mean in zip(x, y, means, strict=True):
        shade = (mean - low) / (high - low or 1.0)
        at = (xs.index(a), ys.index(b))
        frame = INK if mean == low else PAPER
        axes.add_patch(
            Rectangle((at[0] - 0.48, at[1] - 0.46), 0.96, 0.92, facecolor=SHADES(shade), edgecolor=frame, linewidth=1.8)
        )
        axes.text(*at, f"{mean:.4f}", ha="center", va="center", fontsize=9.5, color=PAPER if shade > 0.55 else INK)
    for axis, values in ((axes.xaxis, xs), (axes.yaxis, ys)):
        axis.set_ticks(range(len(values)), [_short(value) for value in values])
    axes.set_xlim(-0.6, len(xs) - 0.4)
    axes.set_ylim(len(ys) - 0.4, -0.6)
    return figure


def _positions(axes: Axes, values: Sequence[int | float | str], each: bool) -> tuple[list[float], bool]:
    """Where values stand on the x axis, and whether they are numbers; far apart, they stand by their logarithm.

    each: write every value below the axis, if they are few.
    """
    numbers = [float(value) for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        names = list(dict.fromkeys(values))
        axes.set_xticks(range(len(names)), [_short(name) for name in names])
        return [float(names.index(value)) for value in values], False
    above = sorted({number for number in numbers if number > 0})
    if above and min(numbers) >= 0 and above[-1] >= 20 * above[0]:
        axes.set_xscale(
            "symlog" if min(numbers) == 0 else "log", **({"linthresh": above[0]} if min(numbers) == 0 else {})
        )
    if each and len(set(numbers)) <= 8:
        axes.set_xticks(sorted(set(numbers)), [_short(number) for number in sorted(set(numbers))])
        axes.minorticks_off()
    return numbers, True


def _short(value: int | float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


# --- dress -----------------------------------------------------------------------------------


def _label(curve: str) -> str:
    return {"cross_entropy": "loss", **SCORES}.get(curve, curve)


def _seeds(bands: Iterable[Band | None], more: str = "") -> str:
    """What the reader sees: over how many seeds."""
    counts = {band.n for band in bands if band is not None}
    over = _over(counts, ", band: 95 % t interval") if counts else "no run"
    return f"{over}; {more}" if more else over


def _over(counts: Collection[int], more: str = "") -> str:
    """`mean of 3 to 5 seeds` and more, or `one seed`."""
    return "one seed" if set(counts) == {1} else f"mean of {' to '.join(map(str, sorted(counts)))} seeds{more}"


def _figure(size: tuple[float, float], title: str, subtitle: str, right: float = 0.2) -> Figure:
    """An empty figure with a title; `right` is its margin in inches. Fixed margins draw twice as fast as a layout."""
    width, height = size
    figure = Figure(figsize=size, dpi=DPI, facecolor=PAPER)
    figure.subplots_adjust(0.72 / width, 0.58 / height, 1 - right / width, 1 - 0.72 / height, 0.95 / (width / 2))
    figure.text(0.14 / width, 1 - 0.13 / height, title, fontsize=12.5, color=INK, va="top")
    figure.text(0.14 / width, 1 - 0.38 / height, subtitle, fontsize=9.5, color=FAINT, va="top")
    return figure


def _dressed(axes: Axes, xlabel: str, ylabel: str) -> Axes:
    axes.set_facecolor(PAPER)
    axes.set_xlabel(xlabel, fontsize=10.5, color=INK)
    axes.set_ylabel(ylabel, fontsize=10.5, color=INK)
    axes.tick_params(labelsize=9.5, labelcolor=FAINT, color=GRID, length=3)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)
    return axes


def _mark_epochs(axes: Axes, epochs: int) -> None:
    step = next(step for step in (1, 5, 10, 20, 50, 100, 500, 10**9) if epochs <= 10 * step)
    axes.set_xticks([1, *(epoch for epoch in range(step, epochs + 1, step) if epoch > 1)])


def _limit(axes: Axes, bands: Iterable[Band | None]) -> tuple[float, float]:
    """Show what `statistics.span` says, with a little air; returns the limits."""
    low, high = statistics.span(band for band in bands if band is not None)
    air = 0.04 * (high - low) or 0.5
    axes.set_ylim(low - air, high + air)
    return low - air, high + air


def _shade(axes: Axes, band: Band, colour: str, alpha: float) -> None:
    if band.low is not None and band.high is not None:
        axes.fill_between(band.epochs, band.low, band.high, color=colour, alpha=alpha, linewidth=0)


def png(figure: Figure) -> bytes:
    """The figure as PNG, the same bytes each time: no date, no version."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
