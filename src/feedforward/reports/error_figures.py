"""matplotlib figures of calibration and errors, logged as artifacts of runs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from feedforward.analysis import calibrations, errors_over_seeds
from feedforward.analysis.curves import mean_band
from feedforward.analysis.run_result import RunResult
from feedforward.reports.figure_style import (
    BLACK,
    GRAY,
    PALETTE,
    SIZE,
    WIDE,
    empty_figure,
    mark_epochs,
    seeds_text,
    shade,
    styled,
)

STAGES = {"best": "overfit epoch", "last": "last epoch", "last_scaled": "last epoch, scaled"}
MOST_COUNTS = 12  # maximum number of classes for which cells show their numbers of samples


def calibration(runs: Sequence[RunResult], title: str) -> Figure | None:
    """Reliability of one variant, and its calibration error by epoch; None if its runs did not record them."""
    summary = calibrations.summarize(runs, [runs[0].variant])
    if not summary:
        return None
    figure = empty_figure(WIDE, f"{title}: {runs[0].variant}", seeds_text({len(runs)}, ", band: 95 % t interval"))
    axes = styled(figure.add_subplot(1, 2, 1), "confidence", "share of correct predictions")
    axes.axline((1, 1), slope=1, color=GRAY, linewidth=1, linestyle=":")
    for color, (stage, name) in zip(PALETTE[1:], STAGES.items(), strict=False):
        if diagram := summary[0].diagrams.get(stage):
            axes.plot(diagram.confidence, diagram.correct, "o-", color=color, markersize=4, label=name)
            if diagram.low is not None and diagram.high is not None:
                axes.fill_between(diagram.confidence, diagram.low, diagram.high, color=color, alpha=0.16, linewidth=0)
    axes.legend(frameon=False, fontsize=9, labelcolor=BLACK)
    axes = styled(figure.add_subplot(1, 2, 2), "epoch", "expected calibration error")
    for color, (curve, name) in zip(PALETTE[2:0:-1], (("ece", "as trained"), ("scaled_ece", "scaled")), strict=True):
        _error_by_epoch(axes, runs, curve, name, color)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9, labelcolor=BLACK)
    return figure


def _error_by_epoch(axes: Axes, runs: Sequence[RunResult], curve: str, name: str, color: str) -> None:
    if band := mean_band(runs, runs[0].variant, f"calibration/{curve}"):
        axes.plot(band.epochs, band.mean, color=color, linewidth=2, label=name)
        shade(axes, band, color, 0.16)
        mark_epochs(axes, len(band.epochs))


def confusion(runs: Sequence[RunResult], labels: Sequence[str], title: str) -> Figure | None:
    """Test samples by true and predicted class, mean over final runs; None if they recorded no confusion matrix."""
    errors = errors_over_seeds.summarize(runs)
    if errors is None or errors.confusion is None:
        return None
    matrix, side = errors.confusion, max(SIZE[0], 1.6 + 0.42 * len(labels))
    figure = empty_figure((side, side), f"{title}: {runs[0].variant}", f"test samples, {seeds_text({errors.n})}")
    figure.subplots_adjust(left=0.05 + 0.09 * max(map(len, labels)) / side, bottom=0.1)
    axes = styled(figure.add_subplot(), "predicted class", "true class")
    axes.grid(visible=False)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.6)  # light enough for dark text
    axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) * len(labels) > 60 else 0)
    axes.set_yticks(range(len(labels)), labels)
    for (row, column), count in np.ndenumerate(matrix) if len(labels) <= MOST_COUNTS else ():
        axes.text(column, row, f"{count:,.0f}", ha="center", va="center", fontsize=9, color=BLACK)
    return figure
