"""The errors of the final models on the test samples, over seeds; see models.error_analysis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from feedforward.analysis.curves import Numbers, mean_interval
from feedforward.analysis.intervals import SHARE, Estimate, estimate
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.shares import added_variance

SCORES = ("precision", "recall", "f1", "auc", "average_precision")


@dataclass(frozen=True)
class Curve:
    """The mean of a curve over seeds, at `x` values that all seeds share, and its t interval (None for one seed).

    The interval is for these test samples: it does not account for their choice.
    """

    x: Numbers
    mean: Numbers
    low: Numbers | None
    high: Numbers | None


@dataclass(frozen=True)
class Errors:
    """The errors of the final models of a dataset.

    n: number of seeds. labels: for each label, estimates of those SCORES that are defined, with intervals over seeds
    and test samples. support: for each label, the number of samples. confusion: mean number of samples by true class
    (rows) and predicted class (columns). roc, precision_recall: see models.error_analysis. residuals: from the first
    seed only, because bins differ between seeds.
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
    support = [int(row["support"]) for row in labels[0]] if labels else []
    samples = min((run.samples["test"] for run in finals if "test" in run.samples), default=sum(support))
    is_binary = bool(matrices) and len(support) == 2
    known = [run.metrics.get("test_auc_se") if is_binary else None for run in finals]
    plotted = sum(support[is_binary:])
    return Errors(
        len(finals),
        [_scores(rows, samples, known) for rows in zip(*labels, strict=True)],
        support,
        np.mean(matrices, axis=0) if matrices else None,
        _curve(errors, "roc", plotted),
        _curve(errors, "precision_recall", plotted),
        errors[0].get("residuals"),
    )


def _scores(rows: Sequence[dict[str, Any]], samples: int, auc_errors: Sequence[float | None]) -> dict[str, Estimate]:
    """The scores of one label. samples, auc_errors: see `_standard_errors`, for each row."""
    errors = [_standard_errors(row, samples, known) for row, known in zip(rows, auc_errors, strict=True)]
    steps = {"recall": max(1, rows[0]["support"]), "precision": max(1, min(map(_predicted, rows)) or 0)}
    scores = {}
    for name in SCORES:
        typical = math.sqrt(np.mean([error.get(name, math.nan) ** 2 for error in errors]))
        values = [row[name] for row in rows if row[name] is not None]
        step = 1 / steps.get(name, max(1, samples))
        is_known = math.isfinite(typical)
        error, smaller = typical if is_known else 0.0, min(rows[0]["support"], samples - rows[0]["support"])
        degrees = smaller - 1 if name == "auc" else math.inf  # see statistics.degrees_of_freedom
        score = estimate(values, sampling_error=error, resolution=step, bounds=SHARE, degrees=degrees)
        if score:
            scores[name] = score if is_known else replace(score, low=None, high=None)
    return scores


def _predicted(row: dict[str, Any]) -> float:
    """The number of samples that were predicted to have the label; 0 if it is unknown, because none of them has it."""
    return float(row["recall"] * row["support"] / row["precision"]) if row["precision"] else 0.0


def _standard_errors(row: dict[str, Any], samples: int, auc_error: float | None) -> dict[str, float]:
    """Standard errors of the scores of one label over `samples` test samples, as far as they are known.

    Recall and precision are shares of the samples with the label, or with the prediction. F1 as in
    models.sampling_errors. AUC: `auc_error` if it was measured, otherwise that of Hanley and McNeil (Radiology 143,
    1982). Average precision: as a share of the samples with the label (Boyd, Eng and Page, "Area under the
    precision-recall curve: point estimates and confidence intervals", ECML PKDD 2013).
    """
    support, predicted = int(row["support"]), _predicted(row)
    if not support:
        return {}
    errors = {"recall": _error_of_share(row["recall"], support)}
    if predicted:
        errors |= {"precision": _error_of_share(row["precision"], predicted), "f1": _error_of_f1(row, samples)}
    if (area := row["auc"]) is not None:
        errors["auc"] = auc_error or _error_of_auc(area, support, max(1, samples - support))
        errors["average_precision"] = _error_of_share(row["average_precision"], support)
    return errors


def _error_of_share(share: float, count: float) -> float:
    return math.sqrt(share * (1 - share) / count + added_variance(share, count))


def _error_of_f1(row: dict[str, Any], samples: int) -> float:
    """F1 changes by 2 (1 - F1) / c with the weight of a true positive, by -F1 / c with that of another relevant sample.

    c: samples with the label plus samples with the prediction.
    """
    f1, correct = row["f1"], row["recall"] * row["support"]
    counted = row["support"] + _predicted(row)
    squares = (4 * (1 - f1) ** 2 * correct + f1**2 * (counted - 2 * correct)) / counted**2
    slope = (2 - f1) ** 2 / 2
    added = slope**2 * added_variance(f1 / (2 - f1), counted - correct)
    return math.sqrt(squares * samples / max(1, samples - 1) + added)


def _error_of_auc(area: float, positive: int, negative: int) -> float:
    both_below, both_above = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (both_below - area**2) + (negative - 1) * (both_above - area**2)
    added = added_variance(area, 4 / (1 / positive + 1 / negative))
    return math.sqrt(variance / (positive * negative) + added)


def _curve(errors: Sequence[dict[str, Any]], name: str, support: int) -> Curve | None:
    """support: number of samples with one of the plotted labels, which determines the steps of the curve."""
    rows = [entry[name] for entry in errors if name in entry]
    step = 1 / max(1, support)
    return Curve(np.array(rows[0][0]), *mean_interval([y for _, y in rows], SHARE, step)) if rows else None


def most_confused(confusion: Numbers, count: int) -> list[tuple[int, int, float]]:
    """(true class, predicted class, samples) for the `count` largest off-diagonal entries above 0, largest first."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [(int(k) // len(wrong), int(k) % len(wrong)) for k in order]
    return [(row, column, float(wrong[row, column])) for row, column in pairs if wrong[row, column] > 0]
