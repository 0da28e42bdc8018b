"""The part of the comparison page about calibration: how much of the overfitting is overconfidence."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from feedforward.analysis import calibrations
from feedforward.analysis.calibrations import VariantCalibration
from feedforward.analysis.curves import mean_band
from feedforward.analysis.findings import Findings, drawn_by_seeds
from feedforward.analysis.intervals import Estimate, this_data
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset
from feedforward.reports import html_page, probability_charts, svg_charts, tables
from feedforward.reports.probability_charts import Line
from feedforward.reports.svg_charts import Series

CURVES = {
    "ece": ("Calibration error", "0: confidence equals accuracy"),
    "scaled_ece": ("Calibration error after scaling", ""),
    "temperature": ("Temperature", "above 1: overconfident"),
    "calibration": ("Calibration part of the loss", "what scaling removes"),
    "refinement": ("Refinement", "the loss after scaling"),
    "brier": ("Brier score", "mean squared error of probabilities"),
}
STAGES = {"best": ("overfit epoch", "v3"), "last": ("last epoch", "v2"), "last_scaled": ("last epoch, scaled", "v1")}


def render(findings: Findings) -> Markup:
    """Render the part as HTML; empty if no run recorded its calibration, as for regression."""
    variants = calibrations.summarize(findings.runs, findings.variants)
    if not variants:
        return Markup()
    html = html_page.render(
        "calibration.html",
        name=findings.name,
        training=findings.dataset.training,
        sentence=_sentence(variants, findings.baseline),
        curves=[_curves(findings, name, *texts) for name, texts in CURVES.items()],
        diagrams=[
            {"variant": entry.variant, "svg": diagram(entry, findings.dataset, findings.name)}
            for entry in variants
            if entry.diagrams
        ],
        legend=list(STAGES.values()),
        header=(
            "variant",
            "calibration error",
            "after scaling",
            "temperature",
            "Brier score",
            "rise",
            "rise after scaling",
            "share removed",
        ),
        rows=[_row(entry) for entry in variants],
        this_data=this_data(drawn_by_seeds([findings])),
    )
    return Markup(html)  # noqa: S704  made by a template that escapes its values


def _sentence(variants: Sequence[VariantCalibration], baseline: str) -> str:
    """How much of the rise of the baseline's validation loss is removed by temperature scaling, in words."""
    entry = next((entry for entry in variants if entry.variant == baseline), variants[0])
    error = f"Its calibration error there is {_text(entry.ece)}, and {_text(entry.scaled_ece)} after scaling."
    if entry.removed is None:
        return (
            f"At the last epoch, the validation loss of {entry.variant} is {_text(entry.rise)} above its minimum, which"
            f" is too little or too uncertain to say how much of it is overconfidence. {error}"
        )
    share = tables.interval(Estimate(entry.removed.n, *(_percent(entry.removed))), 0)
    least = entry.removed.mean if entry.removed.low is None else entry.removed.low
    verdict = "that part is overconfidence" if least > 0 else "it is not certain that any part is overconfidence"
    return (
        f"At the last epoch, the validation loss of {entry.variant} is {_text(entry.rise)} above its minimum. Dividing"
        f" the logits by the temperature removes {share} % of this rise: {verdict}. {error}"
    )


def _percent(share: Estimate) -> tuple[float, float | None, float | None, float | None]:
    """The share in percent, as arguments of Estimate: mean, no standard deviation, low, high."""
    low, high = (None if side is None else 100 * side for side in (share.low, share.high))
    return 100 * share.mean, None, low, high


def _text(estimate: Estimate) -> str:
    return tables.interval(estimate, 4)


def _row(entry: VariantCalibration) -> list[tuple[str, str]]:
    removed = "–" if entry.removed is None else tables.interval(Estimate(entry.removed.n, *_percent(entry.removed)), 0)
    cells = [entry.ece, entry.scaled_ece, entry.temperature, entry.brier, entry.rise, entry.scaled_rise]
    texts = [entry.variant, *(_text(cell) for cell in cells), removed]
    cells_split = [text.partition(" [") for text in texts]
    return [(mean, f"[{rest}" if rest else "") for mean, _, rest in cells_split]


def _curves(findings: Findings, name: str, title: str, note: str) -> dict[str, Any]:
    runs = [_with_calibration_part(run) for run in findings.runs if "calibration/refinement" in run.curves]
    series = [
        Series(variant, "line", f"v{index % 7}", band)
        for index, variant in enumerate(findings.variants)
        if (band := mean_band(runs, variant, f"calibration/{name}"))
    ]
    svg = svg_charts.curves(series, f"{findings.name}: {title} by epoch", "", ends=True)
    return {"title": title, "note": note, "svg": svg}


def _with_calibration_part(run: RunResult) -> RunResult:
    pairs = zip(run.curves["val_cross_entropy"], run.curves["calibration/refinement"], strict=True)
    return replace(
        run, curves={**run.curves, "calibration/calibration": [loss - refinement for loss, refinement in pairs]}
    )


def diagram(entry: VariantCalibration, dataset: Dataset, name: str) -> Markup:
    """Draw accuracy by confidence at the stages in STAGES. name: the dataset's name or title."""
    lines = [
        Line(label, tone, bins.confidence, bins.accuracy, bins.low, bins.high, points=True)
        for stage, (label, tone) in STAGES.items()
        if (bins := entry.diagrams.get(stage))
    ]
    class_count = len(dataset.labels) if dataset.task == "multiclass" else 2
    start = 0.5 if class_count == 2 else 0.0  # of two classes, the more probable one has at least 0.5
    title = f"{name}, {entry.variant}: accuracy by confidence"
    return probability_charts.unit_square(lines, title, "confidence", "share correct", (start, start), diagonal=True)
