"""Show the comparison of the variants in a terminal that is 80 columns wide."""

import textwrap
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from feedforward.analysis import numerals
from feedforward.analysis.claims import UNKNOWN_SPREAD, Verdict
from feedforward.analysis.findings import Findings, drawn_by_seeds
from feedforward.analysis.intervals import Drawn, Estimate, this_data
from feedforward.analysis.statistics import STATISTICS, Summary
from feedforward.reports import tables

BASELINES = ("best_val_cross_entropy", "best_val_accuracy", "best_val_mae", "test_accuracy", "test_mae")
SWEEP_STATISTICS = ("best_val_cross_entropy", "best_epoch", "best_val_accuracy", "last_val_cross_entropy")
COLORS = {
    "supported": "green",
    "contradicted": "red",
    "no difference that matters": "blue",
    "undecided": "yellow",
}


def show(findings: Sequence[Findings]) -> Group:
    """Show for each dataset: a table, seeds that got stuck, test results, baselines, warnings, and the verdicts."""
    parts: list[Any] = []
    for entry in findings:
        parts += [
            _table(tables.heading(entry), entry.summary),
            *_failures(entry),
            *_final_lines(entry),
            *_baseline_lines(entry),
        ]
        parts += [_verdict_lines(entry.verdicts), Text()]
    if any(entry.seeds > 1 for entry in findings):
        parts.append(_population(drawn_by_seeds(findings)))
    if any(entry.verdicts for entry in findings):
        parts.append(Text("Verdicts are about this data and stay valid when seeds are added", "dim"))
    return Group(*parts)


def show_sweep(title: str, summary: Summary, statistic: str, lines: Sequence[str]) -> Group:
    """The trials of a sweep as a table, followed by `lines`, the conclusions."""
    folded = {textwrap.fill(name, 30, break_on_hyphens=False): estimates for name, estimates in summary.items()}
    table = _table(title, folded, tuple(dict.fromkeys((statistic, *SWEEP_STATISTICS))))
    return Group(table, *(Text(f" {line}") for line in lines), _population())


def _population(drawn: Drawn | None = "split") -> Text:
    text = f"Each cell: mean over seeds ± the longer side of its interval. Interval: {this_data(drawn)}"
    return Text(text, style="dim")


def _table(title: str, summary: Summary, names: Sequence[str] = tables.REPLICA) -> Table:
    header, rows = tables.cells(summary, names, multiline_cell)
    heading = Text(title, style="bold")
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    for column, name in enumerate(header):
        width = 8 if column > 1 else 5
        name = name.replace("validation", "val.")
        table.add_column(name, justify="right" if column else "left", min_width=width, no_wrap=not column)
    for row in rows:
        table.add_row(*row)
    return table


def _failures(findings: Findings) -> list[Text]:
    lines = []
    for failure in findings.failures:
        estimate = findings.summary[failure.variant][tables.HEADLINE]
        robust = f"; median {estimate.median:.4f}, interquartile mean {estimate.iqm:.4f}" if estimate.iqm else ""
        lines.append(Text(f" {failure.variant}: {failure}{robust}", style="yellow"))
    return lines


def _final_lines(findings: Findings) -> list[Text]:
    lines = []
    for variant, estimates in findings.summary.items():
        cells = {
            name: multiline_cell(estimates[name], STATISTICS[name].decimals, findings.seeds)
            for name in tables.FINAL
            if name in estimates
        }
        texts = [f"{tables.SHORT_LABELS[name]} {cell}".replace("\n", " ") for name, cell in cells.items()]
        lines += [Text(f" final model ({variant}): {', '.join(texts)}")] if texts else []
    return lines


def _baseline_lines(findings: Findings) -> list[Text]:
    """The baselines, and warnings about results that are better than all published ones."""
    lines = []
    for name, estimates in (findings.baseline_results.summary if findings.baseline_results else {}).items():
        values = [
            f"{tables.SHORT_LABELS[key]} {numerals.number(estimates[key].mean, STATISTICS[key].decimals)}"
            for key in BASELINES
            if key in estimates
        ]
        lines.append(Text(f" {name}: {', '.join(values)}", style="dim"))
    return [*lines, *(Text(f" {line}", style="yellow") for line in findings.suspicions)]


def show_verdicts(verdicts: Sequence[Verdict]) -> Table:
    """Verdicts on claims: outcome, claim, number of seeds, and how many more are needed."""
    return _verdict_lines(verdicts)


def _verdict_lines(verdicts: Sequence[Verdict]) -> Table:
    lines = Table.grid(padding=(0, 2, 0, 0), pad_edge=True)
    for verdict in verdicts:
        needed = tables.more_seeds(verdict)
        has_reason = not verdict.n or verdict.note == UNKNOWN_SPREAD
        more = f": {verdict.note}" if has_reason else f", needs {needed}" if needed else ""
        detail = Text(f" (n = {verdict.n}{more})", style="dim")
        outcome = Text(verdict.outcome, style=COLORS[verdict.outcome])
        lines.add_row("", outcome, Text(verdict.claim.text) + detail)
    return lines


def multiline_cell(estimate: Estimate, decimals: int | None, seeds: int) -> str:
    """The mean and, on further lines, the longer side of its interval, and the number of seeds if it is not `seeds`.

    Both sides are equally long, unless a bound of the statistic cuts the interval off.
    """
    number = numerals.number(estimate.mean, decimals)
    seeds_note = "" if estimate.n == seeds else f"\nn = {estimate.n}"
    if estimate.low is None or estimate.high is None:
        return number + seeds_note
    side = max(estimate.high - estimate.mean, estimate.mean - estimate.low)
    return f"{number}\n±{numerals.number(side, decimals)}{seeds_note}"
