"""The part of the comparison page about the final models' errors on the test samples."""

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from feedforward.analysis import errors_over_seeds
from feedforward.analysis.errors_over_seeds import SCORES, Curve, Errors
from feedforward.analysis.findings import Findings, drawn_by_seeds
from feedforward.analysis.intervals import this_data
from feedforward.reports import html_page, probability_charts, tables
from feedforward.reports.probability_charts import Line

TITLES = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "auc": "AUC",
    "average_precision": "average precision",
}
MOST_PAIRS = 5  # maximum number of confused pairs of classes that the text names
MOST_ROWS = 50  # maximum number of labels in the table


def render(findings: Findings) -> Markup:
    """Render the part as HTML; empty if no final run recorded its errors."""
    errors = errors_over_seeds.summarize(findings.runs)
    if errors is None:
        return Markup()
    labels, task = findings.dataset.labels, findings.dataset.task
    html = html_page.render(
        "errors.html",
        name=findings.name,
        baseline=findings.baseline,
        errors=errors,
        matrix=_matrix(errors, findings),
        matrix_width=probability_charts.confusion_width(labels),
        chart_width=probability_charts.WIDTH,
        confused=_confused(errors, labels),
        curves=_curves(errors, findings),
        curve_subject=_curve_subject(labels, task),
        header=("label" if task == "multilabel" else "class", "samples", *TITLES.values()),
        rows=_rows(errors, labels),
        residuals=_residuals(errors, findings),
        training_samples=tables.training_samples(findings.dataset.training.train_share),
        this_data=this_data(drawn_by_seeds([findings], "final")),
    )
    return Markup(html)  # noqa: S704  made by a template that escapes its values


def _matrix(errors: Errors, findings: Findings) -> Markup | None:
    if errors.confusion is None:
        return None
    return probability_charts.confusion(errors.confusion, findings.dataset.labels, f"{findings.name}: confusion matrix")


def _curve_subject(labels: Sequence[str], task: str) -> str:
    """Which labels the curves are about, as text."""
    if task == "binary":
        return f"of {labels[1]}"
    return f"mean over the {len(labels)} {'labels' if task == 'multilabel' else 'classes'}"


def _confused(errors: Errors, labels: Sequence[str]) -> str:
    """The pairs of classes that are confused most, in words; empty for two classes."""
    if errors.confusion is None or len(labels) < 3:
        return ""
    pairs = errors_over_seeds.most_confused(errors.confusion, MOST_PAIRS)
    return ", ".join(f"{labels[row]} as {labels[column]} ({count:.1f})" for row, column, count in pairs)


def _rows(errors: Errors, labels: Sequence[str]) -> list[list[tuple[str, str]]]:
    """For each label: its name, its number of samples, and the mean and interval of each score."""
    rows = []
    for label, support, scores in list(zip(labels, errors.support, errors.labels, strict=False))[:MOST_ROWS]:
        texts = [tables.interval(scores[name], 4) if name in scores else "–" for name in SCORES]
        split_texts = [text.partition(" [") for text in texts]
        cells = [(mean, f"[{rest}" if rest else "") for mean, _, rest in split_texts]
        rows.append([(label, ""), (f"{support:,}", ""), *cells])
    return rows


def _curves(errors: Errors, findings: Findings) -> list[dict[str, Any]]:
    return [
        {"title": title, "svg": _curve_chart(curve, f"{findings.name}: {title}", *axes)}
        for title, curve, axes in (
            ("ROC curve", errors.roc, ("false positive rate", "true positive rate")),
            ("Precision–recall curve", errors.precision_recall, ("recall", "precision")),
        )
        if curve is not None
    ]


def _curve_chart(curve: Curve, title: str, xlabel: str, ylabel: str) -> Markup:
    lowest = min(0.9, math.floor(10 * float(curve.mean.min())) / 10)  # curves near 1 are hard to read on a full scale
    line = Line("mean over seeds", "v0", curve.x, curve.mean, curve.low, curve.high)
    return probability_charts.unit_square([line], title, xlabel, ylabel, (0, lowest))


def _residuals(errors: Errors, findings: Findings) -> Markup | None:
    if not errors.residuals or not errors.residuals["points"]:
        return None
    title = f"{findings.name}: residuals against predictions"
    return probability_charts.residuals(errors.residuals, title, f"predicted {findings.dataset.labels[0]}")
