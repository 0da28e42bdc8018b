"""matplotlib figures of sweeps: the results of trials against the values of one or more fields."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from feedforward.analysis.intervals import Estimate
from feedforward.analysis.numerals import number
from feedforward.analysis.selection import Better
from feedforward.reports.figure_style import BLACK, GRAY, PALETTE, WHITE, empty_figure, seeds_text, styled

SHADES = LinearSegmentedColormap.from_list("loss", ["#e8f1f8", "#7fb2d9", "#0065a8", "#002f50"])  # low to high
Columns = Mapping[str, Sequence[int | float | str]]  # field → its value in each trial


def against_values(
    columns: Columns,
    samples: Sequence[Sequence[float]],
    means: Sequence[Estimate],
    title: str,
    ylabel: str = "validation loss",
) -> Figure:
    """A statistic against each field: every seed, means, and 95 % t intervals over seeds.

    samples, means: for each trial, the values of its seeds, and their mean and interval. With a single numeric field,
    the intervals form a band.
    """
    subtitle = seeds_text({len(values) for values in samples}, ", 95 % t interval; small dots: seeds")
    figure = empty_figure((max(6.4, 0.6 + 3.7 * len(columns)), 4.2), title, subtitle)
    lowest, highest = min(map(min, samples)), max(map(max, samples))
    padding = 0.15 * (highest - lowest) or 0.1  # an interval from few seeds may be very wide
    for index, (field, values) in enumerate(columns.items(), start=1):
        axes = styled(figure.add_subplot(1, len(columns), index), field, ylabel if index == 1 else "")
        x, are_numbers = _positions(axes, values, ticks=len(columns) == 1)
        _trials(
            axes,
            sorted(zip(x, samples, means, strict=True), key=lambda trial: trial[:2]),
            joined=are_numbers and len(columns) == 1,
        )
        axes.set_ylim(lowest - padding, highest + padding)
    return figure


def _trials(axes: Axes, trials: Sequence[tuple[float, Sequence[float], Estimate]], joined: bool) -> None:
    """The values of all seeds by x, with means and intervals; joined: draw these as a curve with a band."""
    for x, values, _ in trials:
        axes.plot([x] * len(values), values, ".", color=GRAY, markersize=4, alpha=0.7)
    means = [(x, entry) for x, _, entry in trials]
    axes.plot([x for x, _ in means], [entry.mean for _, entry in means], "o-" if joined else "o", color=PALETTE[1])
    sides = [(x, e.low, e.high) for x, e in means if e.low is not None and e.high is not None]
    if joined and sides:
        xs, lows, highs = zip(*sides, strict=True)
        axes.fill_between(xs, lows, highs, color=PALETTE[1], alpha=0.16, linewidth=0)
    for x, low, high in () if joined else sides:
        axes.plot([x, x], [low, high], color=PALETTE[1], linewidth=1.6)


def heat_map(
    columns: Columns, means: Sequence[float], title: str, seeds: int, better: Better = "lower", decimals: int | None = 4
) -> Figure:
    """The mean of a statistic for each pair of values of two fields; the best is framed."""
    (across, x), (down, y) = columns.items()
    xs, ys = list(dict.fromkeys(x)), list(dict.fromkeys(y))
    figure = empty_figure(
        (1.6 + 0.85 * max(len(xs), 4), 1.7 + 0.5 * len(ys)), title, seeds_text({seeds}, "; framed: best")
    )
    figure.subplots_adjust(left=0.2)
    axes = styled(figure.add_subplot(), across, down)
    axes.grid(visible=False)
    low, high = min(means), max(means)
    best = low if better == "lower" else high
    for a, b, mean in zip(x, y, means, strict=True):
        shade = (mean - low) / (high - low or 1.0)
        center = (xs.index(a), ys.index(b))
        frame = BLACK if mean == best else WHITE
        axes.add_patch(
            Rectangle(
                (center[0] - 0.48, center[1] - 0.46),
                0.96,
                0.92,
                facecolor=SHADES(shade),
                edgecolor=frame,
                linewidth=1.8,
            )
        )
        axes.text(
            *center,
            number(mean, decimals),
            ha="center",
            va="center",
            fontsize=9.5,
            color=WHITE if shade > 0.55 else BLACK,
        )
    for axis, values in ((axes.xaxis, xs), (axes.yaxis, ys)):
        axis.set_ticks(range(len(values)), [_short(value) for value in values])
    axes.set_xlim(-0.6, len(xs) - 0.4)
    axes.set_ylim(len(ys) - 0.4, -0.6)
    return figure


def _positions(axes: Axes, values: Sequence[int | float | str], ticks: bool) -> tuple[list[float], bool]:
    """Positions of values on the x axis, and whether they are numbers; a wide range gets a logarithmic axis.

    ticks: whether to label every value if there are only a few.
    """
    numbers = [float(value) for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        names = list(dict.fromkeys(values))
        axes.set_xticks(range(len(names)), [_short(name) for name in names])
        return [float(names.index(value)) for value in values], False
    positive = sorted({number for number in numbers if number > 0})
    if positive and min(numbers) >= 0 and positive[-1] >= 20 * positive[0]:
        axes.set_xscale(
            "symlog" if min(numbers) == 0 else "log", **({"linthresh": positive[0]} if min(numbers) == 0 else {})
        )
    if ticks and len(set(numbers)) <= 8:
        axes.set_xticks(sorted(set(numbers)), [_short(number) for number in sorted(set(numbers))])
        axes.minorticks_off()
    return numbers, True


def _short(value: int | float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
