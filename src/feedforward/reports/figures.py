"""matplotlib figures of a comparison: the lecture's figures, in its style, and others with bands over seeds.

Each function returns a Figure made with the object-oriented API only, so that threads may draw concurrently; no
function reads or sets matplotlib's global state.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from feedforward.analysis.comparisons import Difference
from feedforward.analysis.curves import Band, mean_band
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.variance import Component
from feedforward.reports.figure_style import (
    BLACK,
    BLUE,
    DASHES,
    GRAY,
    PALETTE,
    SIZE,
    WHITE,
    WIDE,
    empty_figure,
    label,
    limit,
    mark_epochs,
    seeds_subtitle,
    shade,
    styled,
)
from feedforward.reports.figure_style import png as png  # exported again, for callers that also save

# --- figures from the lecture -----------------------------------------------------------------


def training_and_validation(runs: Sequence[RunResult], variant: str, curve: str, title: str) -> Figure:
    """Figures 1 and 2: a curve by epoch on the training (blue dots) and the validation split (blue line)."""
    bands = [mean_band(runs, variant, curve), mean_band(runs, variant, f"val_{curve}")]
    return _two_curves(bands, ("training", "validation"), ("bo", "b"), title, label(curve))


def validation_loss_of_two(runs: Sequence[RunResult], baseline: str, variant: str, title: str) -> Figure:
    """Figure 3: validation loss of the baseline (blue dots) and of one other variant (blue plus signs)."""
    bands = [mean_band(runs, name, "val_cross_entropy") for name in (baseline, variant)]
    return _two_curves(bands, (baseline, variant), ("bo", "b+"), title, "validation loss")


def training_of_final(runs: Sequence[RunResult], variant: str, title: str) -> Figure:
    """Figure 4: accuracy (or error) and loss of the final model on its training samples, side by side."""
    bands = {curve: mean_band(runs, variant, curve, "final") for curve in (runs[0].score, "cross_entropy")}
    figure = empty_figure(WIDE, title, seeds_subtitle(bands.values()))
    for index, (curve, band) in enumerate(bands.items(), start=1):
        axes = styled(figure.add_subplot(1, 2, index), "epoch", f"training {label(curve)}")
        _lecture_curve(axes, band, "bo-", "training")
    return figure


def _two_curves(
    bands: Sequence[Band | None], names: Sequence[str], styles: Sequence[str], title: str, ylabel: str
) -> Figure:
    figure = empty_figure(SIZE, title, seeds_subtitle(bands))
    axes = styled(figure.add_subplot(), "epoch", ylabel)
    for band, name, style in zip(bands, names, styles, strict=True):
        _lecture_curve(axes, band, style, name)
    if axes.lines:
        axes.legend(frameon=False, fontsize=10, labelcolor=BLACK)
    limit(axes, bands)
    return figure


def _lecture_curve(axes: Axes, band: Band | None, style: str, name: str) -> None:
    if band is not None:
        axes.plot(band.epochs, band.mean, style, label=name, markersize=6, markeredgewidth=1.4)
        shade(axes, band, BLUE, 0.12)
        mark_epochs(axes, len(band.epochs))


# --- further figures --------------------------------------------------------------------------


def validation_loss_of_all(
    runs: Sequence[RunResult], variants: Iterable[str], title: str, levels: Mapping[str, float] | None = None
) -> Figure:
    """Validation loss of every variant by epoch: means, 95 % t intervals as bands, lowest points marked.

    levels: losses that do not depend on the epoch, drawn as gray lines if they are within the range of the curves.
    """
    bands = {variant: mean_band(runs, variant, "val_cross_entropy") for variant in variants}
    margin = 0.25 + 0.1 * max(map(len, bands), default=0)  # inches, for the names at the curves' ends
    figure = empty_figure(WIDE, title, seeds_subtitle(bands.values(), "dot: lowest mean"), margin)
    axes = styled(figure.add_subplot(), "epoch", "validation loss")
    ends = []
    for index, (variant, band) in enumerate(bands.items()):
        if band is None:
            continue
        color, dash = PALETTE[index % len(PALETTE)], DASHES[index % len(DASHES)]
        axes.plot(band.epochs, band.mean, color=color, linestyle=dash, linewidth=2)
        shade(axes, band, color, 0.16)
        lowest = int(band.mean.argmin())
        axes.plot(band.epochs[lowest], band.mean[lowest], "o", color=color, markersize=8, markeredgecolor=WHITE)
        mark_epochs(axes, len(band.epochs))
        ends.append((float(band.mean[-1]), float(band.epochs[-1]), variant, color))
    low, high = limit(axes, bands.values())
    _gray_lines(axes, {name: level for name, level in (levels or {}).items() if low <= level <= high}, bands.values())
    for (_, x, variant, color), y in zip(
        sorted(ends), _spread_out(sorted(e[0] for e in ends), high - low), strict=True
    ):
        axes.annotate(variant, (x, y), (8, 0), textcoords="offset points", va="center", color=color, fontsize=10.5)
    return figure


def _gray_lines(axes: Axes, levels: Mapping[str, float], bands: Iterable[Band | None]) -> None:
    """A line for each level, with its name below the right end, where there are rarely curves."""
    end = max((band.epochs[-1] for band in bands if band is not None), default=1)
    for name, level in levels.items():
        axes.axhline(level, color=GRAY, linewidth=1, linestyle=(0, (6, 3)), alpha=0.8, zorder=1)
        axes.annotate(name, (end, level), (0, -3), textcoords="offset points", color=GRAY, size=9, ha="right", va="top")


def _spread_out(heights: Sequence[float], span: float) -> list[float]:
    """Label heights, in ascending order, moved up until labels do not overlap."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + span / 18) if moved else height)
    return moved


def forest(panels: Sequence[tuple[str, Sequence[Difference]]], title: str) -> Figure:
    """Paired differences with their 95 % t intervals, one panel per statistic; decided ones have a filled marker."""
    names = list(dict.fromkeys(difference.left for _, differences in panels for difference in differences))
    rows, columns = max(1, len(names)), max(1, len(panels))
    size = (2.9 * columns + 1.3, 0.45 * rows + 1.95)
    figure = empty_figure(size, title, "paired by seed, 95 % t interval; filled: decided at any number of seeds")
    figure.subplots_adjust(
        left=(0.45 + 0.1 * max(map(len, names), default=0)) / size[0], bottom=0.98 / size[1], wspace=0.12
    )
    for index, (panel_title, differences) in enumerate(panels, start=1):
        axes = styled(figure.add_subplot(1, columns, index), textwrap.fill(panel_title, 26), "")
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=GRAY, linewidth=1)
        for difference in differences:  # a panel may lack a variant: a slope is not always defined
            _forest_row(axes, names.index(difference.left), difference)
        axes.set_yticks(range(len(names)), names if index == 1 else [""] * len(names), fontsize=10.5, color=BLACK)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


def _forest_row(axes: Axes, row: int, difference: Difference) -> None:
    estimate, color = difference.estimate, PALETTE[1]
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [row, row], color=color, linewidth=2.2, solid_capstyle="butt")
    fill = color if difference.decided else WHITE
    axes.plot(estimate.mean, row, "o", markersize=8, color=fill, markeredgecolor=color, mew=1.8)


def variance_components(panels: Mapping[str, Mapping[str, Mapping[str, Component]]], title: str) -> Figure:
    """Standard deviations by variant and source of variation, one panel per statistic, with chi-square intervals.

    panels: label of the statistic → variant → source → component.
    """
    sources = list(dict.fromkeys(s for rows in panels.values() for by_source in rows.values() for s in by_source))
    variants = list(dict.fromkeys(variant for rows in panels.values() for variant in rows))
    columns = max(1, len(panels))
    subtitle = "standard deviation when only this source varies; line: 95 % chi-square interval"
    size = (max(6.4, (1.2 + 0.8 * len(variants)) * columns), 4.4)
    figure = empty_figure(size, title, subtitle)
    figure.subplots_adjust(left=0.85 / size[0], bottom=0.9 / size[1], wspace=0.25)
    for index, (name, rows) in enumerate(panels.items(), start=1):
        axes = styled(figure.add_subplot(1, columns, index), "", textwrap.fill(name, 30))
        for position, source in enumerate(sources):
            _components_of_source(axes, [rows.get(v, {}).get(source) for v in variants], position, len(sources), source)
        axes.set_xticks(range(len(variants)), variants, rotation=30 if len(variants) > 3 else 0)
        axes.set_ylim(bottom=0)
        if index == 1:
            axes.legend(frameon=False, fontsize=9, labelcolor=BLACK)
    return figure


def _components_of_source(
    axes: Axes, components: Sequence[Component | None], position: int, sources: int, name: str
) -> None:
    offset, color = 0.6 * ((position + 0.5) / sources - 0.5), PALETTE[position % len(PALETTE)]
    drawn = [(x + offset, c) for x, c in enumerate(components) if c is not None]
    for x, component in drawn:
        if component.low is not None and component.high is not None:
            axes.plot([x, x], [component.low, component.high], color=color, linewidth=1.6)
    axes.plot([x for x, _ in drawn], [c.sd for _, c in drawn], "o", color=color, markersize=6, label=name)
