"""matplotlib figures for verdicts: the interval for each claim against the number of seeds."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from feedforward.analysis import claims
from feedforward.analysis.claims import Verdict
from feedforward.reports.figure_style import GRAY, PALETTE, empty_figure, styled

COLUMNS = 3


def intervals_by_seeds(verdicts: Sequence[Verdict], title: str) -> Figure:
    """Draw one panel per claim: its anytime-valid interval at each seed count, and the region in which the claim holds.

    The interval never grows. A claim is decided once its interval lies entirely inside or entirely outside the region,
    or within the margin.
    """
    rows = -(-len(verdicts) // COLUMNS)
    columns = min(COLUMNS, len(verdicts))
    subtitle = "interval for the difference, valid at every number of seeds; green: where the claim is true"
    figure = empty_figure((4.4 * columns, 0.9 + 2.7 * rows), title, subtitle)
    for index, verdict in enumerate(verdicts, start=1):
        axes = styled(figure.add_subplot(rows, columns, index), "seeds" if index > len(verdicts) - columns else "", "")
        name = "\n".join(textwrap.wrap(verdict.claim.text, 48))
        outcome = f"{verdict.outcome} after {verdict.decided_after or verdict.n} seeds"
        axes.set_title(f"{name}\n{outcome}", fontsize=8, loc="left", parse_math=False)
        axes.locator_params(axis="x", integer=True)
        history = [entry for entry in verdict.history if entry.low is not None and entry.high is not None]
        if not history:
            continue
        seeds = np.array([entry.n for entry in history])
        low, high = (np.array([getattr(entry, side) for entry in history], float) for side in ("low", "high"))
        axes.fill_between(seeds, low, high, color=PALETTE[1], alpha=0.25, linewidth=0, step=None)
        axes.plot(seeds, low, color=PALETTE[1], linewidth=1.2)
        axes.plot(seeds, high, color=PALETTE[1], linewidth=1.2)
        # the last interval and zero with room around them, but not beyond the widest interval; zero inside the frame
        padding = 4 * (high[-1] - low[-1]) or 0.01
        bottom, top = min(low[-1], 0.0) - padding, max(high[-1], 0.0) + padding
        bottom, top = max(bottom, low.min()), min(top, high.max())
        bottom, top = min(bottom, -0.05 * (top - bottom)), max(top, 0.05 * (top - bottom))
        left, right = claims.region(verdict.claim)
        axes.axhspan(max(left, bottom), min(right, top), color="#2a8a3e", alpha=0.08, linewidth=0)
        axes.axhline(0, color=GRAY, linewidth=0.8)
        axes.set_ylim(bottom, top)
    figure.subplots_adjust(hspace=0.75, wspace=0.35, top=1 - 0.95 / (0.9 + 2.7 * rows), bottom=0.5 / (0.9 + 2.7 * rows))
    return figure
