"""The comparison for a terminal, 80 columns wide."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from feedforward.analysis.claims import Verdict
from feedforward.analysis.findings import Findings
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.statistics import STATISTICS, Summary
from feedforward.reports import tables

INTERVAL = "Each figure: mean over seeds ± half of its 95 % t interval"
SWEPT = ("best_val_cross_entropy", "best_epoch", "best_val_accuracy", "last_val_cross_entropy")
COLOURS = {"supported": "green", "contradicted": "red", "undecided": "yellow"}


def show(found: Sequence[Findings]) -> Group:
    """For a terminal of 80 columns: a table, the final model's test and the verdicts for each data set."""
    parts: list[Any] = []
    for one in found:
        parts += [_table(tables.heading(one), one.summary), *_final_lines(one), _verdict_lines(one.verdicts), Text()]
    if any(one.seeds > 1 for one in found):
        parts.append(Text(INTERVAL, style="dim"))
    return Group(*parts)


def show_sweep(title: str, summary: Summary, verdict: str) -> Group:
    """The trials of a sweep as a table, and what it found."""
    return Group(_table(title, summary, SWEPT), Text(f" {verdict}"), Text(INTERVAL, style="dim"))


def _table(title: str, summary: Summary, names: Sequence[str] = tables.REPLICA) -> Table:
    header, rows = tables.cells(summary, names, short)
    heading = Text(title, style="bold")
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    for place, name in enumerate(header):
        wide = 8 if place > 1 else 5
        name = name.replace("validation", "val.")
        table.add_column(name, justify="right" if place else "left", min_width=wide, no_wrap=not place)
    for row in rows:
        table.add_row(*row)
    return table


def _final_lines(one: Findings) -> list[Text]:
    lines = []
    for variant, estimates in one.summary.items():
        tested = [
            f"{tables.SHOWN[name]} {short(estimates[name], STATISTICS[name].decimals, one.seeds)}".replace("\n", " ")
            for name in tables.FINAL
            if name in estimates
        ]
        lines += [Text(f" final model ({variant}): {', '.join(tested)}")] if tested else []
    return lines


def _verdict_lines(verdicts: Sequence[Verdict]) -> Table:
    lines = Table.grid(padding=(0, 2, 0, 0), pad_edge=True)
    for verdict in verdicts:
        needed = tables.more_seeds(verdict)
        why = Text(f" (n = {verdict.n}{f', needs {needed}' if needed else ''})", style="dim")
        lines.add_row("", Text(verdict.outcome, style=COLOURS[verdict.outcome]), Text(verdict.claim.text) + why)
    return lines


def short(found: Estimate, decimals: int, seeds: int) -> str:
    """The same in two short lines, for a terminal: the mean, and what the t interval adds on either side."""
    if found.low is None or found.high is None:
        return tables.number(found.mean, decimals) + ("" if found.n == seeds else f"\nn = {found.n}")
    half = f"\n±{tables.number((found.high - found.low) / 2, decimals)}"
    return tables.number(found.mean, decimals) + half + ("" if found.n == seeds else f"\nn = {found.n}")
