"""The part of a dataset's section that puts its results in context: baselines and published results."""

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from feedforward.analysis.baselines import COMPARED_STATISTICS
from feedforward.analysis.comparisons import Difference
from feedforward.analysis.findings import Findings
from feedforward.analysis.literature import interval
from feedforward.analysis.statistics import STATISTICS
from feedforward.reports import comparison_section, html_page, scale_chart, tables
from feedforward.reports.comparison_section import Reference
from feedforward.reports.scale_chart import Mark

SCORES = ("test_accuracy", "test_mae")  # drawn even if there are no published results


def references(findings: Findings) -> list[Reference]:
    """The baselines, for the curves and for the table of all variants."""
    return (
        [Reference(name, estimates) for name, estimates in findings.baseline_results.summary.items()]
        if findings.baseline_results
        else []
    )


def levels(findings: Findings) -> dict[str, float]:
    """The validation loss of each baseline that has one."""
    summary = findings.baseline_results.summary if findings.baseline_results else {}
    return {name: e["best_val_cross_entropy"].mean for name, e in summary.items() if "best_val_cross_entropy" in e}


def section(findings: Findings, _: object = None) -> Markup:
    """Render the part as HTML; empty if there are neither baselines nor published results.

    The second argument is for `comparison_page.PARTS`; it is not used.
    """
    statistics = dict.fromkeys((*SCORES, *(entry.statistic for entry in findings.dataset.literature)))
    panels = [
        _panel(drawn, statistic) for statistic in statistics if len(drawn := list(marks(findings, statistic))) > 1
    ]
    table = comparison_section.grid(*differences(findings))
    if not panels and not table["rows"] and not findings.suspicions:
        return Markup()
    values = {"findings": findings, "panels": panels, "table": table}
    return Markup(html_page.render("baselines.html", **values))  # noqa: S704  a template that escapes its values


def _panel(drawn: list[Mark], statistic: str) -> dict[str, Any]:
    label, decimals = STATISTICS[statistic].label, STATISTICS[statistic].decimals
    return {"label": label, "charts": [scale_chart.chart(drawn, label, decimals, wide) for wide in (True, False)]}


def marks(findings: Findings, statistic: str) -> Iterator[Mark]:
    """Marks for the baselines, the final model and the published results that have this statistic."""
    for name, estimates in (findings.baseline_results.summary if findings.baseline_results else {}).items():
        if entry := estimates.get(statistic):
            yield Mark(f"{name}, baseline", "baseline", entry.mean, entry.low, entry.high)
    if entry := findings.summary.get(findings.baseline, {}).get(statistic):
        names = findings.variants
        tone = comparison_section.variant_class(names.index(findings.baseline) if findings.baseline in names else 0)
        yield Mark(f"{findings.baseline}, this page", "variant", entry.mean, entry.low, entry.high, tone)
    for published in findings.dataset.literature:
        if published.statistic == statistic:
            name = f"{published.model}, {published.features}"
            yield Mark(name, "published", published.value, *interval(published), source=published.source)


def differences(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the final model's variant minus each baseline, paired by seed, with a verdict in each cell."""
    if findings.baseline_results is None:
        return [], []
    by_pair = {(d.right, d.statistic): d for d in findings.baseline_results.differences}
    statistics = [name for name in COMPARED_STATISTICS if any(statistic == name for _, statistic in by_pair)]
    rows = [
        [baseline, *(_difference(by_pair.get((baseline, statistic))) for statistic in statistics)]
        for baseline in findings.baseline_results.summary
    ]
    header = [f"{findings.baseline} − baseline", *(STATISTICS[statistic].label for statistic in statistics)]
    return header, rows if statistics else []


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    statistic = STATISTICS[difference.statistic]
    text = tables.interval(difference.estimate, statistic.decimals)
    improves = difference.sign * (-1 if statistic.better == "lower" else 1)
    return f"{text} {({1: 'better', -1: 'worse', 0: 'undecided'})[improves]}" if " [" in text else text
