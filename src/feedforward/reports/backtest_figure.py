"""Figure: losses of the most recent champions on today's data, with intervals, one panel per set of samples."""

from collections.abc import Mapping

from feedforward.reports.figure_style import BLACK, PALETTE, SIZE, empty_figure, png, styled

Losses = Mapping[int, tuple[float, float | None, float | None]]  # version → mean, low, high


def draw(title: str, series: Mapping[str, Losses], champion: int, confidence: float) -> bytes:
    """Draw the figure; return it as PNG. series: set of samples → losses, in the order of the versions' promotion."""
    version_count = max((len(losses) for losses in series.values()), default=1)
    width = max(SIZE[0], 1.6 + max(3.2, 0.7 * version_count) * len(series) + 0.6 * (len(series) - 1))
    subtitle = f"mean loss per sample and its {100 * confidence:g} % interval; blue: the champion"
    figure = empty_figure((width, SIZE[1]), f"{title}: the most recent champions on today's data", subtitle)
    for index, (name, losses) in enumerate(series.items()):
        axes = styled(figure.add_subplot(1, len(series), index + 1), f"version, {name}", "loss" if index == 0 else "")
        for position, (version, (mean, low, high)) in enumerate(losses.items()):
            color = PALETTE[1] if version == champion else BLACK
            if low is not None and high is not None:
                axes.plot([position, position], [low, high], color=color, linewidth=1.8)
            axes.plot([position], [mean], "o", color=color, markersize=6)
        axes.set_xticks(range(len(losses)), [str(version) for version in losses])
        axes.set_xlim(-0.6, len(losses) - 0.4)
    return png(figure)
