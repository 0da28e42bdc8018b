"""The model card of a version in Markdown: the model, its origin, its metrics and its limitations."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from feedforward.analysis import intervals, numerals, statistics
from feedforward.analysis.statistics import STATISTICS
from feedforward.promotion.bundle import Description
from feedforward.promotion.policy import Decision, Evidence, expected_loss, shows_samples, shows_seeds
from feedforward.reports import tables

LIMITATIONS = {
    "text": (
        "Only words in its vocabulary count, each once and in any order. It does not understand grammar or irony, and"
        " text in another language is noise.",
        "The probability for a text with few known words depends on those words alone.",
    ),
    "pairs": (
        "Only words and pairs of neighboring words in its vocabulary count, each once and in any order. Beyond such"
        " pairs, it does not understand grammar or irony, and text in another language is noise.",
        "The probability for a text with few known words depends on those words alone.",
    ),
    "row": (
        "Only the table's feature columns count. A number is scaled by the mean and standard deviation of the training"
        " rows, an unknown category is ignored, and a missing number counts as the mean.",
        "It also predicts for rows far outside the range of the training rows.",
    ),
    "image": (
        "An image is scaled to the size of the training images and, if these are framed like MNIST's digits, cropped."
        " An image of something else also gets a label.",
        "There is no class for “none of these”.",
    ),
}

MARKUP = re.compile(r"[\\`*_\[\]<>~|@#&]|:(?=//)|(?<=www)\.")  # what Markdown or MLflow's page could read as markup
CALIBRATION_METRICS = {
    "scaled_cross_entropy": "cross-entropy of calibrated probabilities",
    "cross_entropy": "cross-entropy without temperature",
    "scaled_ece": "expected calibration error",
    "ece": "expected calibration error without temperature",
}


@dataclass(frozen=True)
class Facts:
    """The content of a card. sample_kind: `text`, `image` or `row`. data: manifest of the data. params: of the run.

    test_metrics: metrics of the recipe's final runs, one mapping per seed; own_test_metrics: of this version's run.
    metrics: from the evaluation of the version.
    calibration: from evaluation.final_calibration. evidence: of the holdout models, on the validation samples.
    """

    name: str
    sample_kind: str
    description: Description
    data: Mapping[str, object]
    params: Mapping[str, str]
    test_metrics: Sequence[Mapping[str, float]]
    own_test_metrics: Mapping[str, float]
    metrics: Mapping[str, float]
    calibration: Mapping[str, float]
    evidence: Evidence
    decision: Decision


def write(facts: Facts) -> str:
    """Write the card, in Markdown."""
    description, decision = facts.description, facts.decision
    parts = [
        f"# {facts.name}: {_plain(description.title)}",
        f"Variant `{description.variant}`, seed {description.seed}, {description.epochs} epochs on"
        f" {description.samples} training samples. {_purpose(description)}",
        f"**{'Promoted' if decision.promoted else 'Not promoted'}**: {_plain(decision.reason)}.",
        "## Metrics",
        _table(("metric", "value", "95 % interval", "source"), _metrics(facts)),
        "The final model was also trained on validation samples. Its *holdout model* has the same variant, seed and"
        " epochs, but was trained without them, so validation metrics are measured with holdout models. The final model"
        " was evaluated on the test split once.",
        "## Origin",
        _table(("item", "digest or value"), _origins(facts)),
        "## Parameters",
        _table(("parameter", "value"), [(f"`{key}`", value) for key, value in sorted(facts.params.items())]),
        "## Limitations",
        "\n".join(f"- {limitation}" for limitation in _limitations(facts)),
    ]
    return "\n\n".join(parts) + "\n"


def _metrics(facts: Facts) -> list[tuple[str, ...]]:
    """Rows of (metric, value, interval, source)."""
    rows = [*_validation_metrics(facts), *_test_metrics(facts)]
    rows.append(("latency", f"{facts.metrics['latency_ms']:.3f} ms", "", "one sample, network alone, median"))
    rows.append(("size", f"{facts.metrics['bytes'] / 1e6:.2f} MB", "", "network and preprocessing"))
    return rows


def _validation_metrics(facts: Facts) -> list[tuple[str, ...]]:
    losses, correct, r2 = facts.evidence.losses, facts.evidence.correct, facts.evidence.r2
    models, samples = losses.shape
    source = f"holdout model, {samples} samples"
    rows: list[tuple[str, ...]] = [("validation cross-entropy", f"{losses[0].mean():.4f}", "", source)]
    if models > 1:
        mean, low, high = expected_loss(facts.evidence, intervals.CONFIDENCE)
        is_known = shows_seeds(facts.evidence) and shows_samples(facts.evidence)
        interval = _interval(low, high) if is_known else ""
        rows.append(("validation cross-entropy", f"{mean:.4f}", interval, f"mean of {models} holdout models"))
    if "recorded_cross_entropy" in facts.metrics:
        recorded = f"{facts.metrics['recorded_cross_entropy']:.4f}"
        rows.append(
            ("validation cross-entropy", recorded, "", "recorded by the replica with this seed, on its own split")
        )
    if correct.size:
        accuracy = float(correct.mean())
        interval = _interval(*wilson(accuracy, samples)) if _is_class(facts) else ""
        rows.append(("validation accuracy", f"{accuracy:.4f}", interval, source))
    for name, title in CALIBRATION_METRICS.items():
        if name in facts.calibration:
            held_out = f"same recipe without a tenth of the samples, {facts.calibration['samples']:.0f} held out"
            rows.append((title, f"{facts.calibration[name]:.4f}", "", held_out))
    if r2 is not None:
        rows.append(("validation R²", f"{r2:.4f}", "", source))
    for label, accuracy in zip(facts.description.labels, facts.decision.class_accuracy, strict=False):
        value = "no validation sample" if math.isnan(accuracy) else f"{accuracy:.4f}"
        rows.append((f"validation accuracy on {_plain(label)}", value, "", "holdout model"))
    return rows


def _test_metrics(facts: Facts) -> list[tuple[str, ...]]:
    samples, own = _samples(facts.data, "test"), facts.own_test_metrics
    names = [name for name in own if name in STATISTICS]
    rows: list[tuple[str, ...]] = []
    for name in names:
        limits, decimals = None, STATISTICS[name].decimals
        if name == "test_accuracy" and samples and _is_class(facts):
            limits = wilson(own[name], samples)
        elif error := own.get(f"{name}_se"):
            degrees = statistics.degrees_of_mean(samples, name)
            limits = intervals.over_samples(own[name], error, STATISTICS[name].bounds, degrees)
        value, interval = numerals.number(own[name], decimals), tables.span(*limits, decimals) if limits else ""
        rows.append((name.replace("_", " "), value, interval, f"this model, {samples} samples, once"))
    for name in names:
        mean = intervals.estimate(
            [metrics[name] for metrics in facts.test_metrics if name in metrics],
            sampling_error=statistics.typical_error(facts.test_metrics, name),
            degrees=statistics.degrees_of_mean(samples, name),
            resolution=1 / samples if samples and STATISTICS[name].counted_on else 0.0,
            bounds=STATISTICS[name].bounds,
        )
        if mean is not None and mean.n > 1:
            value, _, interval = tables.interval(mean, STATISTICS[name].decimals).partition(" ")
            rows.append((name.replace("_", " "), value, interval, f"mean over {mean.n} seeds"))
    return rows


def _plain(text: str) -> str:
    """The text as Markdown that shows it as it is: names of classes come from data and may look like markup."""
    return MARKUP.sub(lambda match: f"&#{ord(match.group())};", text)


def _is_class(facts: Facts) -> bool:
    return facts.description.task_definition.answers == "class"


def _purpose(description: Description) -> str:
    labels = [*map(_plain, description.labels)]
    if description.task_definition.answers == "value":
        return f"It predicts {labels[0]}, a number."
    if description.task_definition.answers == "class":
        return f"It predicts one of the classes {', '.join(labels)}."
    return f"It predicts which of the labels {', '.join(labels)} apply."


def _origins(facts: Facts) -> list[tuple[str, str]]:
    description = facts.description
    rows = [("data", description.data_digest)]
    rows += [(f"data: {key}", str(facts.data.get(key))) for key in ("train", "test")]
    if facts.data.get("vocabulary"):
        rows.append(("data: vocabulary", str(facts.data["vocabulary"])))
    rows += [("weights", description.weights_digest), ("fingerprint", description.fingerprint)]
    rows.append(("run", description.run_id))
    return [(item, f"`{value}`") for item, value in rows]


def _limitations(facts: Facts) -> list[str]:
    train = _samples(facts.data, "train")
    return [
        *LIMITATIONS["pairs" if facts.data.get("distinct_pairs") else facts.sample_kind],
        f"It was trained on {train} samples of {_plain(facts.description.title)}; its metrics do not hold for other"
        " data.",
        *_calibration(facts.description, facts.calibration),
        "A gain over the champion holds for data like the validation split and for other seeds, not for data that drift"
        " away from that split.",
    ]


def _calibration(description: Description, measured: Mapping[str, float]) -> list[str]:
    """How the probabilities were calibrated; empty if a value is predicted."""
    if description.task_definition.answers == "value":
        return []
    if description.temperature == 1:
        return ["Probabilities come directly from the network and were not calibrated."]
    is_worse = measured.get("scaled_cross_entropy", 0.0) > measured.get("cross_entropy", math.inf)
    return [
        f"Probabilities are calibrated: logits are divided by the temperature {description.temperature:.4f}, fitted on"
        " training samples that were held out when the same recipe was trained again, never on test samples. The"
        " temperature changes no predicted label. `model.keras` and the test metrics above do not use it."
        + (" On these samples, cross-entropy was not lower with a temperature than without." if is_worse else "")
    ]


def wilson(share: float, samples: int) -> tuple[float, float]:
    """Wilson's 95 % confidence interval for a proportion (E. B. Wilson, JASA 22, 1927). share: 0 to 1."""
    z = float(ndtri(0.975))
    center = (share + z * z / (2 * samples)) / (1 + z * z / samples)
    half = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples**2)) / (1 + z * z / samples)
    return center - half, center + half


def _samples(data: Mapping[str, object], part: str) -> int:
    samples = data.get("samples")
    return int(samples.get(part, 0)) if isinstance(samples, Mapping) else 0


def _interval(low: float, high: float) -> str:
    return f"[{low:.4f}, {high:.4f}]"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
