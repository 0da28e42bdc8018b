"""Runs → figures of each seed, their means and intervals, differences paired by seed, mean curves."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.analysis.intervals import CONFIDENCE, Estimate, estimate, holm, p_value, t_quantile
from feedforward.analysis.run_result import RunResult
from feedforward.core.errors import DataError


@dataclass(frozen=True)
class Statistic:
    """A figure of one run: `measure`d, or by default the metric of that name.

    role: the runs that have it. better: the good side, if either is. decimals: enough for people.
    """

    name: str
    label: str
    role: Literal["replica", "final"]
    better: Literal["lower", "higher"] | None
    decimals: int
    measure: Callable[[RunResult], float | None] | None = None

    def of(self, run: RunResult) -> float | None:
        """The figure of `run`; None where it is not defined."""
        return self.measure(run) if self.measure else run.metrics.get(self.name)


def slope(run: RunResult) -> float | None:
    """Least-squares slope of the validation cross-entropy per epoch, from its minimum on.

    None when the minimum is at the last epoch: nothing follows it, so no slope is defined.
    """
    after = np.asarray(run.curves.get("val_cross_entropy", []))
    after = after[int(np.argmin(after)) :] if len(after) else after
    return float(np.polyfit(np.arange(len(after)), after, 1)[0]) if len(after) > 1 else None


def rise(run: RunResult) -> float | None:
    """Validation cross-entropy at the last epoch minus its lowest; 0 when the lowest is the last."""
    curve = run.curves.get("val_cross_entropy", [])
    return curve[-1] - min(curve) if curve else None


STATISTICS = {
    statistic.name: statistic
    for statistic in (
        Statistic("best_val_cross_entropy", "lowest validation loss", "replica", "lower", 4),
        Statistic("best_epoch", "overfit epoch", "replica", None, 1),
        Statistic("best_val_accuracy", "accuracy at the overfit epoch", "replica", "higher", 4),
        Statistic("best_val_mae", "mean absolute error at the overfit epoch", "replica", "lower", 4),
        Statistic("generalization_gap", "generalization gap", "replica", "lower", 4),
        Statistic("last_val_cross_entropy", "validation loss at the last epoch", "replica", "lower", 4),
        Statistic("last_val_accuracy", "accuracy at the last epoch", "replica", "higher", 4),
        Statistic("last_val_mae", "mean absolute error at the last epoch", "replica", "lower", 4),
        Statistic("rise", "rise of the validation loss to the last epoch", "replica", "lower", 4, rise),
        Statistic("slope", "slope of the validation loss after its minimum", "replica", "lower", 4, slope),
        Statistic("test_loss", "test loss", "final", "lower", 4),
        Statistic("test_accuracy", "test accuracy", "final", "higher", 4),
        Statistic("test_auc", "area under the ROC curve on test", "final", "higher", 4),
        Statistic("test_f1", "F1 on test", "final", "higher", 4),
        Statistic("test_mae", "mean absolute error on test", "final", "lower", 4),
        Statistic("test_r2", "R² on test", "final", "higher", 4),
    )
}


# --- from runs to numbers --------------------------------------------------------------------


def select(results: Iterable[RunResult], dataset: str, protocol: str = "fair") -> list[RunResult]:
    """The runs of one data set and protocol."""
    return [run for run in results if run.dataset == dataset and run.protocol == protocol]


def sample(runs: Iterable[RunResult], variant: str, statistic: str) -> dict[int, float]:
    """Seed → value of the statistic, for each seed of the variant where it is defined; rising seeds.

    Raises:
        DataError: two runs of one seed.
    """
    wanted = STATISTICS[statistic]
    values: dict[int, float] = {}
    for run in sorted((r for r in runs if r.variant == variant and r.role == wanted.role), key=lambda r: r.seed):
        value = wanted.of(run)
        if run.seed in values:
            raise DataError(f"results: {run.dataset} {variant} seed {run.seed} stands twice; run `dvc repro train`")
        if value is not None:
            values[run.seed] = value
    return values


Summary = dict[str, dict[str, Estimate]]  # variant → statistic → mean and interval


def summarize(runs: Sequence[RunResult], variants: Iterable[str]) -> Summary:
    """Variant → statistic → mean and interval, for the variants that have runs and the statistics they define."""
    found = {
        variant: {name: e for name in STATISTICS if (e := estimate(sample(runs, variant, name).values()))}
        for variant in variants
    }
    return {variant: estimates for variant, estimates in found.items() if estimates}


@dataclass(frozen=True)
class Difference:
    """left − right of a statistic, paired by seed; p None where fewer than two seeds are shared."""

    statistic: str
    left: str
    right: str
    estimate: Estimate
    p: float | None
    p_corrected: float | None


def paired(left: Mapping[int, float], right: Mapping[int, float]) -> list[float]:
    """left − right for each seed that both samples have, rising seeds."""
    return [left[seed] - right[seed] for seed in left if seed in right]


def differences(runs: Sequence[RunResult], pairs: Iterable[tuple[str, str]], statistic: str) -> list[Difference]:
    """Paired differences of (left, right) pairs of variants; the pairs are one family for Holm."""
    pairs = list(pairs)
    samples = {name: sample(runs, name, statistic) for name in {name for pair in pairs for name in pair}}
    found = [(left, right, paired(samples[left], samples[right])) for left, right in pairs]
    found = [entry for entry in found if entry[2]]
    p_values = [p_value(values) for _, _, values in found]
    rows = []
    for (left, right, values), p, corrected in zip(found, p_values, holm(p_values), strict=True):
        mean = estimate(values)
        assert mean is not None
        rows.append(Difference(statistic, left, right, mean, p, corrected.p if corrected else None))
    return rows


@dataclass(frozen=True)
class Ranking:
    """Variants from best to worst mean; `tied` are those that Holm over all pairs cannot tell from the first."""

    order: list[tuple[str, Estimate]]
    tied: list[str]


def rank(runs: Sequence[RunResult], variants: Iterable[str], statistic: str) -> Ranking:
    """Order the variants by a statistic that has a better side."""
    means = [(v, e) for v in variants if (e := estimate(sample(runs, v, statistic).values()))]
    sign = -1 if STATISTICS[statistic].better == "higher" else 1
    order = sorted(means, key=lambda entry: sign * entry[1].mean)
    pairs = list(itertools.combinations([variant for variant, _ in order], 2))
    certain = {
        d.right
        for d in differences(runs, pairs, statistic)
        if d.left == order[0][0] and d.p_corrected is not None and d.p_corrected <= 1 - CONFIDENCE
    }
    return Ranking(order, [variant for variant, _ in order[1:] if variant not in certain])


# --- curves ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Band:
    """A curve over n seeds by epoch (from 1): mean and t interval, each (epochs,); no interval with one seed."""

    n: int
    epochs: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64] | None
    high: npt.NDArray[np.float64] | None


def band(runs: Iterable[RunResult], variant: str, curve: str, role: str = "replica") -> Band | None:
    """Mean curve of a variant, as far as all its seeds go; None where no run has the curve."""
    curves = [run.curves[curve] for run in runs if (run.variant, run.role) == (variant, role) and curve in run.curves]
    if not curves or not (length := min(map(len, curves))):
        return None
    rows = np.array([values[:length] for values in curves])
    epochs, mean, n = np.arange(1, length + 1), rows.mean(axis=0), len(rows)
    if n == 1:
        return Band(1, epochs, mean, None, None)
    half = t_quantile((1 + CONFIDENCE) / 2, n) * rows.std(axis=0, ddof=1) / math.sqrt(n)
    return Band(n, epochs, mean, mean - half, mean + half)


def span(bands: Iterable[Band]) -> tuple[float, float]:
    """The range of values to show: all means, and of the intervals what is no further off than 15 % of that.

    One seed that leaps for one epoch makes an interval that would press all curves to the ground.
    """
    bands = list(bands)
    if not bands:
        return 0.0, 1.0
    lowest, highest = min(float(b.mean.min()) for b in bands), max(float(b.mean.max()) for b in bands)
    room = 0.15 * (highest - lowest)
    lows = [float(b.low.min()) for b in bands if b.low is not None]
    highs = [float(b.high.max()) for b in bands if b.high is not None]
    return max(min([lowest, *lows]), lowest - room), min(max([highest, *highs]), highest + room)
