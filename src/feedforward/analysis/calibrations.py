"""How well the probabilities of each variant are calibrated, and how much of its overfitting is overconfidence.

All metrics are measured on the validation split (models.calibration) and averaged over seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feedforward.analysis.curves import Numbers, mean_interval
from feedforward.analysis.intervals import (
    BRIER,
    CONFIDENCE,
    NOT_NEGATIVE,
    SHARE,
    Estimate,
    estimate,
    has_unknown_spread,
    t_quantile,
)
from feedforward.analysis.run_result import RunResult

LEAST_RISE = 0.005  # nats; for a smaller rise, the share that scaling removes is mostly noise
STAGES = ("best", "last", "last_scaled")  # keys in RunResult.reliability that get a diagram


@dataclass(frozen=True)
class Diagram:
    """Accuracy by confidence: for each bin, the means of both over seeds, and the interval of the accuracy."""

    confidence: Numbers
    accuracy: Numbers
    low: Numbers | None
    high: Numbers | None


@dataclass(frozen=True)
class VariantCalibration:
    """The calibration of a variant.

    ece, scaled_ece: expected calibration error after the last epoch, before and after temperature scaling. brier,
    temperature: Brier score and fitted temperature after the last epoch. rise: validation loss at the last epoch minus
    its minimum. scaled_rise: the same difference, computed from the loss after temperature scaling at each epoch.
    removed: the share of `rise` that scaling removes; None if `rise` is below LEAST_RISE or its interval contains 0.
    diagrams: keyed by the names in STAGES.
    """

    variant: str
    ece: Estimate
    scaled_ece: Estimate
    brier: Estimate
    temperature: Estimate
    rise: Estimate
    scaled_rise: Estimate
    removed: Estimate | None
    diagrams: dict[str, Diagram]


def summarize(runs: Sequence[RunResult], variants: Sequence[str]) -> list[VariantCalibration]:
    """The calibration of each variant whose replicas recorded it."""
    replicas = [run for run in runs if run.role == "replica" and run.curves.get("calibration/ece")]
    return [
        _calibration(variant, matches)
        for variant in variants
        if (matches := [run for run in replicas if run.variant == variant])
    ]


def _calibration(variant: str, runs: Sequence[RunResult]) -> VariantCalibration:
    rises = [_rise(run, "val_cross_entropy") for run in runs]
    scaled_rises = [_rise(run, "calibration/refinement") for run in runs]
    at_last_epoch = {
        name: _estimate([run.curves[f"calibration/{name}"][-1] for run in runs], bounds)
        for name, bounds in (("ece", SHARE), ("scaled_ece", SHARE), ("brier", BRIER), ("temperature", NOT_NEGATIVE))
    }
    diagrams = {
        stage: diagram
        for stage in STAGES
        if (diagram := _diagram([run.reliability[stage] for run in runs if stage in run.reliability]))
    }
    rise = _estimate(rises)
    is_clear = rise.mean >= LEAST_RISE and (rise.n == 1 or (rise.low is not None and rise.low > 0))
    return VariantCalibration(
        variant,
        **at_last_epoch,
        rise=rise,
        scaled_rise=_estimate(scaled_rises),
        removed=_share_removed(rises, scaled_rises) if is_clear else None,
        diagrams=diagrams,
    )


def _rise(run: RunResult, curve: str) -> float:
    return run.curves[curve][-1] - min(run.curves[curve])


def _estimate(values: Sequence[float], bounds: tuple[float, float] = NOT_NEGATIVE) -> Estimate:
    result = estimate(values, bounds=bounds)
    assert result is not None  # there is at least one run
    return result


def _share_removed(rises: Sequence[float], scaled_rises: Sequence[float]) -> Estimate:
    """1 − mean(scaled_rises) / mean(rises), with the t interval of a ratio estimator (Cochran 1977)."""
    before, after, n = np.array(rises), np.array(scaled_rises), len(rises)
    ratio = float(after.mean() / before.mean())
    if n == 1 or has_unknown_spread(scaled_rises):
        return Estimate(n, 1 - ratio)
    error = float((after - ratio * before).std(ddof=1)) / math.sqrt(n) / float(before.mean())
    half = t_quantile((1 + CONFIDENCE) / 2, n) * error
    return Estimate(n, 1 - ratio, low=1 - ratio - half, high=min(1.0, 1 - ratio + half))


def _diagram(bins: Sequence[Sequence[Sequence[float]]]) -> Diagram | None:
    """The means of the bins over seeds; None if there are no bins, or the seeds differ in the number of bins."""
    if len({len(rows) for rows in bins}) != 1:
        return None
    table = np.array(bins, float)  # shape (seeds, bins, 3)
    return Diagram(table[:, :, 1].mean(axis=0), *mean_interval(table[:, :, 2].tolist(), SHARE))
