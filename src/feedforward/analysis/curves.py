"""Mean curves over seeds with their intervals, and the range of values to plot."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedforward.analysis.intervals import BRIER, CONFIDENCE, NOT_NEGATIVE, SHARE, UNBOUNDED, t_quantile
from feedforward.analysis.run_result import RunResult

Numbers = npt.NDArray[np.float64]
BOUNDS = {"accuracy": SHARE, "ece": SHARE, "brier": BRIER}  # by the end of a curve's name; other curves: NOT_NEGATIVE


@dataclass(frozen=True)
class Band:
    """Mean curve over n seeds by epoch (from 1), and its t interval (None for one seed); arrays of shape (epochs,)."""

    n: int
    epochs: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64] | None
    high: npt.NDArray[np.float64] | None


def mean_band(runs: Iterable[RunResult], variant: str, curve: str, role: str = "replica") -> Band | None:
    """Mean curve of a variant up to the last epoch that all its seeds have; None if no run has the curve."""
    curves = [run.curves[curve] for run in runs if (run.variant, run.role) == (variant, role) and curve in run.curves]
    if not curves or not (length := min(map(len, curves))):
        return None
    bounds = next((bounds for end, bounds in BOUNDS.items() if curve.endswith(end)), NOT_NEGATIVE)
    return Band(len(curves), np.arange(1, length + 1), *mean_interval([values[:length] for values in curves], bounds))


def mean_interval(
    rows: Sequence[Sequence[float]], bounds: tuple[float, float] = UNBOUNDED, resolution: float = 0.0
) -> tuple[Numbers, Numbers | None, Numbers | None]:
    """Mean of n ≥ 1 rows of equal length, and the lower and upper ends of its t interval (None for one row).

    bounds: the least and greatest possible values; intervals end there, or at the mean if that is lower, as it may be
        for the calibration part of a loss. resolution: as in `intervals.estimate`.
    """
    values = np.array(rows, float)
    mean, n = values.mean(axis=0), len(values)
    if n == 1:
        return mean, None, None
    sd = np.maximum(values.std(axis=0, ddof=1), resolution / math.sqrt(12))
    half = t_quantile((1 + CONFIDENCE) / 2, n) * sd / math.sqrt(n)
    return mean, np.maximum(mean - half, np.minimum(mean, bounds[0])), np.minimum(mean + half, bounds[1])


def shown_range(bands: Iterable[Band]) -> tuple[float, float]:
    """The range of values to plot: the range of the means, extended by at most 15 % on each side to show intervals.

    Without that limit, one seed whose loss jumps in one epoch would widen the range so much that all curves look flat.
    """
    bands = list(bands)
    if not bands:
        return 0.0, 1.0
    lowest, highest = min(float(b.mean.min()) for b in bands), max(float(b.mean.max()) for b in bands)
    padding = 0.15 * (highest - lowest)
    lows = [float(b.low.min()) for b in bands if b.low is not None]
    highs = [float(b.high.max()) for b in bands if b.high is not None]
    return max(min([lowest, *lows]), lowest - padding), min(max([highest, *highs]), highest + padding)
