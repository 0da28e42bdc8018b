"""The errors of the final models on the test samples, over seeds; see models.error_analysis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feedforward.analysis.curves import Numbers, mean_interval
from feedforward.analysis.intervals import SHARE, Estimate, estimate
from feedforward.analysis.run_result import RunResult

SCORES = ("precision", "recall", "f1", "auc", "average_precision")


@dataclass(frozen=True)
class Curve:
    """The mean of a curve over seeds, at `x` values that all seeds share, and its t interval (None for one seed)."""

    x: Numbers
    mean: Numbers
    low: Numbers | None
    high: Numbers | None


@dataclass(frozen=True)
class Errors:
    """The errors of the final models of a dataset.

    n: number of seeds. labels: for each label, estimates of those SCORES that are defined. support: for each label, the
    number of samples. confusion: mean number of samples by true class (rows) and predicted class (columns). roc,
    precision_recall: see models.error_analysis. residuals: from the first seed only, because bins differ between seeds.
    """

    n: int
    labels: list[dict[str, Estimate]]
    support: list[int]
    confusion: Numbers | None
    roc: Curve | None
    precision_recall: Curve | None
    residuals: dict[str, Any] | None


def summarize(runs: Sequence[RunResult]) -> Errors | None:
    """The errors of the final runs; None if none recorded them."""
    finals = sorted((run for run in runs if run.role == "final" and run.errors), key=lambda run: run.seed)
    if not finals:
        return None
    errors = [run.errors for run in finals]
    labels = [entry["labels"] for entry in errors if "labels" in entry]
    matrices = [entry["confusion"] for entry in errors if "confusion" in entry]
    return Errors(
        len(finals),
        [_scores(rows) for rows in zip(*labels, strict=True)],
        [int(row["support"]) for row in labels[0]] if labels else [],
        np.mean(matrices, axis=0) if matrices else None,
        _curve(errors, "roc"),
        _curve(errors, "precision_recall"),
        errors[0].get("residuals"),
    )


def _scores(rows: Sequence[dict[str, float | None]]) -> dict[str, Estimate]:
    values = {name: [value for row in rows if (value := row[name]) is not None] for name in SCORES}
    return {name: score for name in SCORES if (score := estimate(values[name], bounds=SHARE))}


def _curve(errors: Sequence[dict[str, Any]], name: str) -> Curve | None:
    rows = [entry[name] for entry in errors if name in entry]
    return Curve(np.array(rows[0][0]), *mean_interval([y for _, y in rows], SHARE)) if rows else None


def most_confused(confusion: Numbers, count: int) -> list[tuple[int, int, float]]:
    """(true class, predicted class, samples) for the `count` largest off-diagonal entries above 0, largest first."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [(int(k) // len(wrong), int(k) % len(wrong)) for k in order]
    return [(row, column, float(wrong[row, column])) for row, column in pairs if wrong[row, column] > 0]
