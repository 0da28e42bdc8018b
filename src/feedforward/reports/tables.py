"""Means, differences, curves and verdicts as text: CSV and JSON for machines, Markdown for people."""

import csv
import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from feedforward.analysis.claims import Verdict
from feedforward.analysis.findings import Findings
from feedforward.analysis.intervals import CONFIDENCE, MOST_SEEDS, POWER, Estimate
from feedforward.analysis.statistics import STATISTICS, Summary

# what a person reads first; the CSV holds all statistics
SHOWN = {
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
EXPLAINED = (
    "Differences are paired by seed; the interval is the t interval at the level that Holm's procedure gives the "
    "claim among those of its data set. A claim is supported or contradicted when that interval lies wholly on one "
    "side of the border, undecided otherwise; then the seeds needed are those that would decide it with a chance of "
    f"{POWER:.0%}, were the observed difference the true one."
).replace("%", " %")
REPLICA, FINAL = ([name for name in SHOWN if STATISTICS[name].role == role] for role in ("replica", "final"))
INTERVAL = f"mean [{CONFIDENCE:.0%} t interval over seeds]".replace("%", " %")


def rounded(value: float | None) -> float | None:
    """Six significant digits: more than seeds agree on, and the same on machines that differ in the last bit."""
    return None if value is None else float(f"{value:.6g}")


def number(value: float, decimals: int) -> str:
    """A figure for people, with a real minus sign and none before zero."""
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def interval(found: Estimate, decimals: int, seeds: int | None = None) -> str:
    """`0.2921 [0.2890, 0.2952]`; the mean alone for one seed; the number of seeds where it is not `seeds`."""
    text = number(found.mean, decimals)
    if found.low is not None and found.high is not None:
        text += f" [{number(found.low, decimals)}, {number(found.high, decimals)}]"
    return text if seeds in (None, found.n) else f"{text} ({found.n} seed{'s' if found.n > 1 else ''})"


def more_seeds(verdict: Verdict) -> str:
    """What an undecided claim still needs, in words; empty for a decided one."""
    if verdict.outcome != "undecided" or not verdict.n:
        return ""
    if verdict.n == 1:
        return "at least 1 more"
    return f"about {verdict.further_seeds:,} more" if verdict.further_seeds else f"more than {MOST_SEEDS:,}"


def sides(verdict: Verdict) -> str:
    """Both sides of a claim and their difference, in words: `smaller 10.2, original 5.4: difference +4.8 …`."""
    if verdict.difference is None or verdict.left is None or verdict.right is None:
        return verdict.note
    claim, decimals = verdict.claim, STATISTICS[verdict.claim.statistic].decimals
    other = claim.right or "claimed"
    both = f"{claim.left} {number(verdict.left, decimals)}, {other} {number(verdict.right, decimals)}"
    within = f" (allowed ± {claim.tolerance:g})" if claim.tolerance else ""
    return f"{both}; difference {interval(verdict.difference, decimals)}{within}"


# --- for machines ----------------------------------------------------------------------------


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with numbers rounded to six digits and nothing for None."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([rounded(cell) if isinstance(cell, float) else cell for cell in row] for row in rows)
    return buffer.getvalue()


def summary_csv(found: Iterable[Findings]) -> str:
    """One row a data set, variant and statistic."""
    rows = [
        (one.name, variant, statistic, e.n, e.mean, e.low, e.high, e.sd)
        for one in found
        for variant, estimates in one.summary.items()
        for statistic, e in estimates.items()
    ]
    return csv_text(("dataset", "variant", "statistic", "n", "mean", "low", "high", "sd"), rows)


def differences_csv(found: Iterable[Findings]) -> str:
    """One row a data set, statistic and pair of variants: left − right."""
    rows = [
        (one.name, d.statistic, d.left, d.right, e.n, e.mean, e.low, e.high, d.p, d.p_corrected)
        for one in found
        for d in one.differences
        for e in [d.estimate]
    ]
    return csv_text(("dataset", "statistic", "left", "right", "n", "mean", "low", "high", "p", "p_holm"), rows)


def curves_csv(one: Findings) -> str:
    """The replicas' curves in long format, one row an epoch, for `dvc plots`."""
    replicas = [run for run in one.runs if run.role == "replica"]
    kinds = ("loss", *dict.fromkeys(run.score for run in replicas), "cross_entropy")
    shown = [f"{prefix}{kind}" for prefix in ("", "val_") for kind in kinds]
    rows = [
        (
            one.name,
            run.variant,
            run.seed,
            epoch + 1,
            *(run.curves[c][epoch] if c in run.curves else None for c in shown),
        )
        for run in sorted(replicas, key=lambda run: (one.variants.index(run.variant), run.seed))
        for epoch in range(len(run.curves["loss"]))
    ]
    return csv_text(("dataset", "variant", "seed", "epoch", *shown), rows)


def verdicts_plain(found: Iterable[Findings]) -> list[dict[str, Any]]:
    """The verdicts as JSON values, floats with six digits."""
    entries = []
    for verdict in (verdict for one in found for verdict in one.verdicts):
        entry = asdict(verdict) | {"claim": verdict.claim.model_dump(exclude_none=True)}
        for values in (entry, entry["difference"] or {}):
            values |= {key: rounded(value) for key, value in values.items() if isinstance(value, float)}
        entries.append(entry)
    return entries


# --- for people ------------------------------------------------------------------------------


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def cells(
    summary: Summary, names: Iterable[str], form: Callable[[Estimate, int, int], str] = interval
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a readable table: variant, seeds, and those of the statistics that any variant has."""
    names = [name for name in names if any(name in estimates for estimates in summary.values())]
    rows = []
    for variant, estimates in summary.items():
        seeds = max(found.n for found in estimates.values())
        shown = [
            form(estimates[name], STATISTICS[name].decimals, seeds) if name in estimates else "–" for name in names
        ]
        rows.append([variant, str(seeds), *shown])
    return ["variant", "seeds", *(SHOWN[name] for name in names)], rows


def heading(one: Findings) -> str:
    """Name and title of a data set; a sample is called one."""
    sample = " (embedded sample: says nothing about the real data)" if one.dataset.demo else ""
    return f"{one.name}: {one.dataset.title}{sample}"


def summary_markdown(found: Iterable[Findings]) -> str:
    """A section with a table for each data set."""
    parts = ["# Comparison of the variants\n\n", f"Each cell: {INTERVAL}; one seed has no interval.\n"]
    for one in found:
        parts += [f"\n## {heading(one)}\n\n", markdown(*cells(one.summary, SHOWN))]
    return "".join(parts)


def verdicts_markdown(found: Iterable[Findings]) -> str:
    """A section with a table of claims for each data set that has any."""
    parts = ["# Verdicts on the claims\n\n", textwrap.fill(EXPLAINED, 110), "\n"]
    for one in found:
        rows = [
            (
                verdict.claim.text,
                f"**{verdict.outcome}** at n = {verdict.n}",
                STATISTICS[verdict.claim.statistic].label,
                sides(verdict),
                "–" if verdict.p_corrected is None else f"{verdict.p_corrected:.2g}",
                more_seeds(verdict) or "–",
            )
            for verdict in one.verdicts
        ]
        if rows:
            header = ("claim", "verdict", "statistic", "found", "p (Holm)", "seeds needed")
            parts += [f"\n## {heading(one)}\n\n", markdown(header, rows)]
    return "".join(parts)
