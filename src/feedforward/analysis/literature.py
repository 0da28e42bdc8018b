"""Published results on the same test split: the best one (the ceiling), and results that are suspiciously better."""

from collections.abc import Mapping

from feedforward.analysis import intervals
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.numerals import number
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Dataset, Published

# Published statistic → the statistic of a replica that estimates it on validation samples
ESTIMATED_BY = {
    "test_accuracy": "best_val_accuracy",
    "test_loss": "best_val_cross_entropy",
    "test_mae": "best_val_mae",
}


def ceiling(dataset: Dataset, statistic: str) -> Published | None:
    """The best published result for `statistic`, or for the test statistic that it estimates; None if there is none."""
    entries = [
        entry for entry in dataset.literature if statistic in (entry.statistic, ESTIMATED_BY.get(entry.statistic))
    ]
    sign = -1 if STATISTICS[statistic].better == "lower" else 1
    return max(entries, key=lambda entry: sign * entry.value, default=None)


def interval(published: Published) -> tuple[float, float]:
    """The 95 % interval of a published value; it accounts for the choice of test samples."""
    return intervals.over_samples(published.value, published.standard_error, STATISTICS[published.statistic].bounds)


def suspicions(name: str, estimates: Mapping[str, Estimate], dataset: Dataset) -> list[str]:
    """One line for each statistic of a variant that is better than all published results by more than chance explains.

    That is the case if the statistic's interval for new data (without one: its interval for this data, or else its
    mean) is entirely better than the interval of the best published result.
    """
    lines = []
    for statistic, estimate in estimates.items():
        best, definition = ceiling(dataset, statistic), STATISTICS[statistic]
        if best is not None and _margin(estimate, best, definition.better == "lower") > 0:
            result = f"{definition.label} {number(estimate.mean, definition.decimals)}"
            published = f"{number(best.value, definition.decimals)} of {best.model} ({best.features}; {best.source})"
            lines.append(
                f"{name}: {result} is better than the best published result, {published}, by more than chance explains:"
                " look for a leak"
            )
    return lines


def _margin(estimate: Estimate, best: Published, lower_is_better: bool) -> float:
    """The gap between the two intervals; 0 or less if they overlap or the published result is better."""
    low = next(x for x in (estimate.new_low, estimate.low, estimate.mean) if x is not None)
    high = next(x for x in (estimate.new_high, estimate.high, estimate.mean) if x is not None)
    published = interval(best)
    return published[0] - high if lower_is_better else low - published[1]
