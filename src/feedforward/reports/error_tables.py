"""The final models' errors as CSV, for `dvc plots`."""

from collections.abc import Iterable

from feedforward.analysis import errors_over_seeds
from feedforward.analysis.findings import Findings
from feedforward.reports.data_tables import csv_text

CONFUSION = ("dataset", "actual", "predicted", "samples", "share")


def confusion_csv(findings: Iterable[Findings]) -> str:
    """Confusion matrices of the test samples, mean over seeds, one row per cell; `share`: divided by the row sum.

    `dvc plots` writes the names into a script without escaping them, so "<" becomes "‹": it could end the script.
    """
    rows = []
    for entry in findings:
        errors = errors_over_seeds.summarize(entry.runs)
        labels = [label.replace("<", "‹") for label in entry.dataset.labels]
        if errors is not None and errors.confusion is not None:
            for actual, counts in zip(labels, errors.confusion, strict=True):
                total = float(counts.sum()) or 1.0
                rows += [
                    (entry.name, actual, p, float(n), float(n) / total) for p, n in zip(labels, counts, strict=True)
                ]
    return csv_text(CONFUSION, rows)
