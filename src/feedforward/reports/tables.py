"""Means, differences and verdicts as text for people, and as Markdown tables."""

import textwrap
from collections.abc import Callable, Iterable, Sequence

from feedforward.analysis.claims import OUTCOMES, UNKNOWN_SPREAD, Verdict
from feedforward.analysis.failures import RULE
from feedforward.analysis.findings import Findings, drawn_by_seeds
from feedforward.analysis.intervals import CONFIDENCE, NEW_DATA, Drawn, Estimate, this_data, varied
from feedforward.analysis.numerals import number
from feedforward.analysis.sequential import MOST_SEEDS
from feedforward.analysis.statistics import STATISTICS, Summary
from feedforward.config.schema import Training
from feedforward.reports import data_tables

# short labels of the statistics that tables for people show; the CSV has all statistics
SHORT_LABELS = {
    "best_val_cross_entropy": "lowest validation loss",
    "best_epoch": "overfit epoch",
    "best_val_accuracy": "accuracy there",
    "best_val_mae": "MAE there",
    "generalization_gap": "gap there",
    "last_val_cross_entropy": "loss at last epoch",
    "slope": "slope after minimum",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "test_auc": "AUC",
    "test_f1": "F1",
    "test_mae": "test MAE",
    "test_r2": "R²",
}
HEADLINE = next(iter(SHORT_LABELS))  # tables also show its median, interquartile mean and interval for new data
REPLICA, FINAL = ([name for name in SHORT_LABELS if STATISTICS[name].role == role] for role in ("replica", "final"))
PERCENT = f"{CONFIDENCE:.0%}".replace("%", " %")
INTERVAL = f"mean [{PERCENT} t interval over seeds]"


def explanation(drawn: Drawn | None = "split") -> str:
    """How claims are judged. drawn: what the seeds draw."""
    return (
        "Differences are paired by seed. Each claim's interval is a confidence sequence, corrected for the number of "
        "claims about its dataset: if values are normally distributed over seeds, all these intervals hold at every "
        f"number of seeds with at least {PERCENT} probability, so you may add seeds and check as often as you like. A "
        "claim is supported or contradicted when its interval lies entirely on one side of the boundary of the claimed "
        "region; the verdict is “no difference that matters” if the interval lies within the margin set in "
        "params.yaml; otherwise, the claim is undecided. "
        f"Verdicts are about this data ({varied(drawn)}); “for new data” is the verdict from the interval for new data "
        "of this kind, corrected for overlapping splits."
    )


def population(drawn: Drawn | None = "split") -> str:
    """What the intervals are about. drawn: what the seeds draw."""
    return f"Each interval is a {this_data(drawn)}."


def training_samples(share: float) -> str:
    """The samples that a final model is trained on, in words.

    >>> training_samples(1.0), training_samples(0.25)
    ('all training samples', '25 % of the training samples, drawn by the seed')
    """
    return "all training samples" if share == 1 else f"{100 * share:g} % of the training samples, drawn by the seed"


def epochs(training: Training) -> str:
    """How long the variants are trained, in words: `20 epochs`, or `at most 20 epochs, …` with early stopping."""
    if training.early_stopping is None:
        return f"{training.epochs} epochs"
    patience = training.early_stopping.patience
    return f"at most {training.epochs} epochs, stopped early after {patience} without a lower validation loss"


def span(low: float | None, high: float | None, decimals: int | None) -> str:
    """An interval as text, `[0.2890, 0.2952]`; ∞ if a side is unbounded.

    >>> span(0.289, None, 4)
    '[0.2890, ∞]'
    """
    left, right = (number(x, decimals) if x is not None else sign for x, sign in ((low, "−∞"), (high, "∞")))
    return f"[{left}, {right}]"


def interval(estimate: Estimate, decimals: int | None, seeds: int | None = None) -> str:
    """`0.2921 [0.2890, 0.2952]`, or only the mean for one seed; then the number of seeds if it is not `seeds`."""
    text = number(estimate.mean, decimals)
    if estimate.low is not None and estimate.high is not None:
        text += f" {span(estimate.low, estimate.high, decimals)}"
    return text if seeds in (None, estimate.n) else f"{text} ({estimate.n} seed{'s' if estimate.n > 1 else ''})"


def more_seeds(verdict: Verdict) -> str:
    """What an undecided claim needs, in words: more seeds, or more test samples; empty for a decided one."""
    if verdict.decided or not verdict.n:
        return ""
    if verdict.n == 1:
        return "at least 1 more"
    if verdict.needs_samples:
        return "more test samples"
    if verdict.note == UNKNOWN_SPREAD:
        return "unknown"
    return f"about {verdict.further_seeds:,} more" if verdict.further_seeds else f"more than {MOST_SEEDS:,}"


def sides(verdict: Verdict) -> str:
    """Both sides of a claim and their difference, in words: `smaller 10.2, original 5.4; difference 4.8 …`."""
    if verdict.difference is None or verdict.left is None or verdict.right is None:
        return verdict.note
    claim, decimals = verdict.claim, STATISTICS[verdict.claim.statistic].decimals
    other = claim.right or "claimed"
    both = f"{claim.left} {number(verdict.left, decimals)}, {other} {number(verdict.right, decimals)}"
    within = f" (allowed ± {claim.tolerance:g})" if claim.tolerance else ""
    limits = f" {span(verdict.interval.low, verdict.interval.high, decimals)}" if verdict.interval else ""
    return f"{both}; difference {number(verdict.difference.mean, decimals)}{limits}{within}"


def wins(verdict: Verdict) -> str:
    """How often a run of the left side beats one of the right side, in words; empty if it is a constant."""
    if verdict.wins is None or verdict.claim.right is None:
        return ""
    better = STATISTICS[verdict.claim.statistic].better
    paired, unpaired = (1 - p if better == "lower" else p for p in verdict.wins)
    event = f"{verdict.claim.left} {'beats' if better else 'is above'} {verdict.claim.right}"
    seeds = f"{verdict.n} seed{'' if verdict.n == 1 else 's'}"
    return f"{event} for a share of {paired:.2f} of these {seeds}, and of {unpaired:.2f} of all pairs of two of them"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(markdown(["variant", "loss"], [["l2", "0.2758"]]), end="")
    | variant | loss |
    | --- | --- |
    | l2 | 0.2758 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def cells(
    summary: Summary, names: Iterable[str], form: Callable[[Estimate, int | None, int], str] = interval
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a readable table: variant, seeds, and the statistics that at least one variant has.

    form: makes the text of a cell from an estimate, the number of decimals and the number of seeds.
    """
    names = [name for name in names if any(name in estimates for estimates in summary.values())]
    rows = []
    for variant, estimates in summary.items():
        seeds = max(entry.n for entry in estimates.values())
        values = [
            form(estimates[name], STATISTICS[name].decimals, seeds) if name in estimates else "–" for name in names
        ]
        rows.append([variant, str(seeds), *values])
    return ["variant", "seeds", *(SHORT_LABELS.get(name, STATISTICS[name].label) for name in names)], rows


def robust_cells(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Header and rows by variant: mean, median and interquartile mean of the headline statistic, and failed seeds."""
    decimals, failed = (
        STATISTICS[HEADLINE].decimals,
        {entry.variant: entry for entry in findings.failures if entry.stuck},
    )
    rows = []
    for variant in findings.variants:
        e = findings.summary[variant].get(HEADLINE)
        if e is None or e.median is None or e.iqm is None:
            continue
        new = "–" if e.new_low is None else span(e.new_low, e.new_high, decimals)
        numbers = [number(value, decimals) for value in (e.median, e.iqm)]
        rows.append([variant, interval(e, decimals), new, *numbers, str(failed.get(variant, "none"))])
    mean = f"{SHORT_LABELS[HEADLINE]}: mean [this data]"
    return ["variant", mean, "[new data]", "median", "interquartile mean", "stuck"], rows


def heading(findings: Findings) -> str:
    """Name and title of a dataset, and whether it is an embedded sample."""
    sample = " (embedded sample: says nothing about the real data)" if findings.dataset.demo else ""
    return f"{findings.name}: {findings.dataset.title}{sample}"


def summary_markdown(findings: Sequence[Findings]) -> str:
    """For each dataset, a section with a table of all statistics and one of the headline statistic."""
    parts = ["# Comparison of the variants\n\n", f"Each cell: {INTERVAL}; an interval needs at least two seeds.\n"]
    parts += [textwrap.fill(f"{population(drawn_by_seeds(findings))} “New data”: {NEW_DATA}. {RULE}", 110), "\n"]
    for entry in findings:
        parts += [f"\n## {heading(entry)}\n\n", markdown(*cells(data_tables.with_baselines(entry), SHORT_LABELS))]
        if entry.variants:
            parts += ["\n", markdown(*robust_cells(entry))]
    return "".join(parts)


def verdicts_markdown(findings: Iterable[Findings]) -> str:
    """A section with a table of claims for each dataset that has any."""
    findings = list(findings)
    parts = ["# Verdicts on the claims\n\n", textwrap.fill(explanation(drawn_by_seeds(findings)), 110), "\n"]
    header = (
        "claim",
        "verdict (this data)",
        "for new data",
        "statistic",
        "observed",
        "p (anytime-valid)",
        "seeds needed",
    )
    for entry in findings:
        rows = [
            (
                verdict.claim.text,
                f"**{verdict.outcome}** at n = {verdict.n}",
                verdict.new_data or "–",
                STATISTICS[verdict.claim.statistic].label,
                "; ".join(filter(None, (sides(verdict), wins(verdict)))),
                "–" if verdict.p is None else f"{verdict.p:.2g}",
                more_seeds(verdict) or "–",
            )
            for verdict in entry.verdicts
        ]
        if rows:
            parts += [f"\n## {heading(entry)}\n\n", markdown(header, rows)]
    return "".join(parts)


def outcomes(findings: Findings) -> list[tuple[str, list[str]]]:
    """Outcome → texts of the claims, in the order of OUTCOMES; outcomes without a claim are left out."""
    grouped = [(o, [v.claim.text for v in findings.verdicts if v.outcome == o]) for o in OUTCOMES]
    return [(outcome, texts) for outcome, texts in grouped if texts]
