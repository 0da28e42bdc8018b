"""JSON-serializable data for the explorable charts: curves and statistics by variant, intervals, single seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from feedforward.analysis import comparisons, statistics
from feedforward.analysis.curves import Band, mean_band
from feedforward.analysis.findings import Findings
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.run_result import SCORES, RunResult
from feedforward.analysis.statistics import STATISTICS
from feedforward.reports.comparison_section import Reference, variant_class
from feedforward.reports.data_tables import rounded

MOST_NUMBERS = 100_000  # maximum number of values in curves of single seeds (under 1 MB); later seeds are left out
LEVELS = {"val_cross_entropy": "best_val_cross_entropy"}  # curve → statistic that places the line of a reference
LEVELS |= {f"val_{score}": f"best_val_{score}" for score in SCORES}


def dataset(findings: Findings, references: Sequence[Reference] = (), most: int = MOST_NUMBERS) -> dict[str, Any]:
    """All data for the charts of a dataset.

    references: models that are not variants, drawn for comparison. most: the maximum number of values in the curves of
    single seeds; at least one seed of each variant is included.
    """
    kinds, replicas = curve_kinds(findings.runs), [run for run in findings.runs if run.role == "replica"]
    epochs = max((len(run.curves["loss"]) for run in replicas), default=1)
    seeds = max(1, most // (epochs * len(kinds) * max(1, len(findings.variants))))
    names = [name for name, entry in STATISTICS.items() if any(entry.role == "replica" and name in summary
             for summary in findings.summary.values())]  # fmt: skip
    return {
        "name": findings.name,
        "baseline": findings.baseline,
        "curves": kinds,
        "statistics": [statistic(name) for name in names],
        "variants": [
            variant(replicas, name, variant_class(index), kinds, findings.summary[name], seeds)
            for index, name in enumerate(findings.variants)
        ],
        "differences": _differences(findings),
        "references": [_reference(entry) for entry in references],
    }


def curve_kinds(runs: Sequence[RunResult]) -> list[dict[str, Any]]:
    """The curves that at least one replica has, the validation loss first. falls: whether lower values are better."""
    names = {name for run in runs if run.role == "replica" for name in run.curves}
    labels = {"cross_entropy": "loss", **SCORES}
    kinds = {f"{part}{name}": f"{'validation' if part else 'training'} {label}"
             for name, label in labels.items() for part in ("val_", "")}  # fmt: skip
    return [
        {
            "key": key,
            "label": label,
            "decimals": None if key.endswith("mae") else 4,
            "falls": not key.endswith("accuracy"),
        }
        for key, label in kinds.items()
        if key in names
    ]


def statistic(name: str) -> dict[str, Any]:
    """Key, label and decimals of a statistic."""
    return {"key": name, "label": STATISTICS[name].label, "decimals": STATISTICS[name].decimals}


def variant(
    runs: Sequence[RunResult],
    name: str,
    color: str,
    kinds: Sequence[Mapping[str, Any]],
    estimates: Mapping[str, Estimate],
    seeds: int,
) -> dict[str, Any]:
    """Curves and statistics of a variant, including the individual curves of its first `seeds` seeds."""
    replicas = sorted((run for run in runs if run.variant == name), key=lambda run: run.seed)
    curves = {}
    for kind in kinds:
        if band := mean_band(replicas, name, kind["key"]):
            single = [run.curves[kind["key"]] for run in replicas[:seeds] if kind["key"] in run.curves]
            curves[kind["key"]] = _band(band) | {"runs": [_numbers(curve) for curve in single]}
    return {
        "name": name,
        "tone": color,
        "seeds": [run.seed for run in replicas],
        "curves": curves,
        "statistics": {
            key: _estimate(estimate) | {"values": _pairs(statistics.sample(replicas, name, key))}
            for key, estimate in estimates.items()
            if STATISTICS[key].role == "replica"
        },
    }


def _band(band: Band) -> dict[str, Any]:
    sides = {"mean": band.mean, "low": band.low, "high": band.high}
    return {
        name: None if side is None else [_nine_digits(value) for value in side.tolist()] for name, side in sides.items()
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"mean": _nine_digits(estimate.mean), "low": _nine_digits(estimate.low), "high": _nine_digits(estimate.high)}


def _differences(findings: Findings) -> list[dict[str, Any]]:
    """Differences from the baseline by statistic and variant."""
    tones = {name: variant_class(index) for index, name in enumerate(findings.variants)}
    entries = []
    for d in findings.differences:
        left, right = (statistics.sample(findings.runs, name, d.statistic) for name in (d.left, d.right))
        shared = [seed for seed in sorted(left) if seed in right]
        values = dict(zip(shared, comparisons.paired_differences(left, right), strict=True))
        entry = {"statistic": d.statistic, "name": d.left, "tone": tones[d.left], "decided": d.decided}
        entries.append(entry | _estimate(d.estimate) | {"values": _pairs(values)})
    return entries


def _reference(reference: Reference) -> dict[str, Any]:
    estimates = reference.estimates
    return {
        "name": reference.name,
        "levels": {curve: rounded(estimates[key].mean) for curve, key in LEVELS.items() if key in estimates},
        "statistics": {key: _estimate(estimate) | {"values": []} for key, estimate in estimates.items()},
    }


def _nine_digits(value: float | None) -> float | None:
    """Round to nine significant digits, so that charts and tables show the same rounded value."""
    return None if value is None else float(f"{value:.9g}")


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [rounded(value) for value in values]


def _pairs(values: Mapping[int, float]) -> list[list[Any]]:
    return [[seed, rounded(value)] for seed, value in values.items()]
