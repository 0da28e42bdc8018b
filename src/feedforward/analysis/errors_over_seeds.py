"""What the final models get wrong on the test samples, over seeds; see models.error_analysis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feedforward.analysis.curves import Numbers, mean_interval
from feedforward.analysis.intervals import Estimate, estimate
from feedforward.analysis.run_result import RunResult

SCORES = ("precision", "recall", "f1", "auc", "average_precision")


@dataclass(frozen=True)
class Curve:
    """The mean of a curve over seeds at fixed `x`, and its t interval (None for one seed)."""

    x: Numbers
    mean: Numbers
    low: Numbers | None
    high: Numbers | None


@dataclass(frozen=True)
class Errors:
    """The errors of the final models of a dataset.

    n: number of seeds. labels: for each label its `support` and the mean of each of SCORES that is defined. confusion:
    mean number of samples by true (rows) and predicted class. roc, precision_recall: see
    error_analysis. residuals: of the first seed, because predictions of other seeds fall into other bins.
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
    labels = [one["labels"] for one in errors if "labels" in one]
    matrices = [one["confusion"] for one in errors if "confusion" in one]
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
    return {name: known for name in SCORES if (known := estimate(values[name]))}


def _curve(errors: Sequence[dict[str, Any]], name: str) -> Curve | None:
    rows = [one[name] for one in errors if name in one]
    return Curve(np.array(rows[0][0]), *mean_interval([y for _, y in rows])) if rows else None


def most_confused(confusion: Numbers, most: int) -> list[tuple[int, int, float]]:
    """(true class, predicted class, samples) of the largest entries outside the diagonal, the largest first."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(int(k) // len(wrong), int(k) % len(wrong)) for k in order]
    return [(row, column, float(wrong[row, column])) for row, column in pairs if wrong[row, column] > 0]
