"""Means, differences, curves and verdicts as CSV and JSON, for machines."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from feedforward.analysis.claims import Verdict
from feedforward.analysis.curves import mean_band
from feedforward.analysis.findings import Findings
from feedforward.analysis.statistics import Summary


def rounded(value: float | None) -> float | None:
    """Round to six significant digits: more than needed, and the same on machines whose last bits differ."""
    return None if value is None else float(f"{value:.6g}")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with floats rounded to six significant digits, and empty cells for None."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([rounded(cell) if isinstance(cell, float) else cell for cell in row] for row in rows)
    return buffer.getvalue()


def with_baselines(findings: Findings) -> Summary:
    """The estimates of the variants, and of the baselines if there are any."""
    return findings.summary | (findings.baseline_results.summary if findings.baseline_results else {})


def summary_csv(findings: Iterable[Findings]) -> str:
    """One row per dataset, variant or baseline, and statistic."""
    rows = [
        (entry.name, variant, statistic, e.n, e.mean, e.low, e.high, e.sd, e.median, e.iqm, e.new_low, e.new_high)
        for entry in findings
        for variant, estimates in with_baselines(entry).items()
        for statistic, e in estimates.items()
    ]
    numbers = ("n", "mean", "low", "high", "sd", "median", "iqm", "new_low", "new_high")
    return csv_text(("dataset", "variant", "statistic", *numbers), rows)


def differences_csv(findings: Iterable[Findings]) -> str:
    """One row per dataset, statistic and pair of variants, or variant and baseline: left − right."""
    rows = [
        (
            *(entry.name, d.statistic, d.left, d.right, e.n, e.mean, e.low, e.high, d.p, d.p_corrected),
            *(e.new_low, e.new_high, s.low if s else None, s.high if s else None, d.paired, d.unpaired),
        )
        for entry in findings
        for d in [*entry.differences, *(entry.baseline_results.differences if entry.baseline_results else ())]
        for e, s in [(d.estimate, d.anytime)]
    ]
    fixed = ("n", "mean", "low", "high", "p", "p_holm", "new_low", "new_high")
    anytime = ("anytime_low", "anytime_high", "p_above_paired", "p_above_unpaired")
    return csv_text(("dataset", "statistic", "left", "right", *fixed, *anytime), rows)


def curves_csv(findings: Findings) -> str:
    """The replicas' curves in long format, one row per seed and epoch."""
    replicas = [run for run in findings.runs if run.role == "replica"]
    kinds = ("loss", *dict.fromkeys(run.score for run in replicas), "cross_entropy")
    names = [f"{prefix}{kind}" for prefix in ("", "val_") for kind in kinds]
    rows = [
        (
            findings.name,
            run.variant,
            run.seed,
            epoch + 1,
            *(run.curves[name][epoch] if name in run.curves else None for name in names),
        )
        for run in sorted(replicas, key=lambda run: (findings.variants.index(run.variant), run.seed))
        for epoch in range(len(run.curves["loss"]))
    ]
    return csv_text(("dataset", "variant", "seed", "epoch", *names), rows)


def mean_curves_csv(findings: Iterable[Findings], of_score: bool) -> str:
    """Mean validation loss (or accuracy, or absolute error) by epoch, with its interval, for `dvc plots`."""
    rows = []
    for entry in findings:
        for variant in entry.variants:
            if band := mean_band(entry.runs, variant, f"val_{entry.runs[0].score if of_score else 'cross_entropy'}"):
                blank = [None] * len(band.epochs)
                low, high = (blank if limits is None else limits.tolist() for limits in (band.low, band.high))
                columns = zip(band.epochs.tolist(), band.mean.tolist(), low, high, strict=True)
                rows += [(entry.name, variant, epoch, band.n, *values) for epoch, *values in columns]
    return csv_text(("dataset", "variant", "epoch", "seeds", "mean", "low", "high"), rows)


def verdicts_json(findings: Iterable[Findings]) -> list[dict[str, Any]]:
    """The verdicts as JSON-serializable values, with floats rounded to six significant digits."""
    return [verdict_json(verdict) for entry in findings for verdict in entry.verdicts]


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """One verdict as JSON-serializable values, with floats rounded to six significant digits."""
    plain: dict[str, Any] = _plain(asdict(verdict) | {"claim": verdict.claim.model_dump(exclude_none=True)})
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return rounded(value) if isinstance(value, float) else value
