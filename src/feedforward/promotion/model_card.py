"""A model card a version: what it is, what it was made from, how good it is, and what it must not be taken for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from feedforward.analysis import intervals
from feedforward.promotion.bundle import Description
from feedforward.promotion.policy import Decision

LIMITS = {
    "text": (
        "Only the words of its vocabulary count, each once and in no order: it knows neither grammar nor irony, and a"
        " text in another language is noise to it.",
        "A text of few known words gets a probability that rests on them alone.",
    ),
    "row": (
        "Only the columns of its table count: a number is read in standard deviations of the training rows, a category"
        " that they did not have counts as none, a missing number as their mean.",
        "Far outside of the training rows it answers all the same.",
    ),
    "image": (
        "A picture is cut out and brought into the frame of the training images; one that shows something else gets a"
        " label all the same.",
        "There is no class for “none of these”.",
    ),
}


@dataclass(frozen=True)
class Facts:
    """What a card tells. takes: `text`, `image` or `row`. tested: metrics of the recipe's final runs, one a seed."""

    name: str
    takes: str
    description: Description
    data: Mapping[str, object]
    params: Mapping[str, str]
    tested: Sequence[Mapping[str, float]]
    own_test: Mapping[str, float]
    examined: Mapping[str, float]
    evidence: Sequence[float]  # cross-entropy of each witness, that of the own seed first
    accuracy: float | None  # of the first witness, None where it answers with a value
    explained: float | None  # R², where it does
    samples: int  # on which both were measured
    decision: Decision


def write(facts: Facts) -> str:
    """The card, Markdown."""
    told, decision = facts.description, facts.decision
    parts = [
        f"# {facts.name}: {told.title}",
        f"Variant `{told.variant}`, seed {told.seed}, {told.epochs} epochs on all {told.samples} training samples."
        f" {_purpose(told)}",
        f"**{'Promoted' if decision.promoted else 'Not promoted'}**: {decision.reason}.",
        "## How good",
        _table(("figure", "value", "95 % interval", "from"), _figures(facts)),
        "The final model has learned from the validation samples too. Its *witness* has not: the same variant, seed,"
        " order of batches and epochs, with the validation split held out. So the validation figures are the witness's"
        " (and those of witnesses from other seeds), and the test split was met once, by the final model.",
        "## From what",
        _table(("what", "digest or value"), _origins(facts)),
        "## Parameters",
        _table(("parameter", "value"), [(f"`{key}`", value) for key, value in sorted(facts.params.items())]),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(facts)),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(facts: Facts) -> list[tuple[str, ...]]:
    samples = facts.samples
    whence = f"witness, {samples} samples"
    rows: list[tuple[str, ...]] = [("validation cross-entropy", f"{facts.evidence[0]:.4f}", "", whence)]
    one_class = facts.description.row.answers == "class"
    if facts.accuracy is not None:
        interval = _interval(*wilson(facts.accuracy, samples)) if one_class else ""
        rows.append(("validation accuracy", f"{facts.accuracy:.4f}", interval, whence))
    if facts.explained is not None:
        rows.append(("validation R²", f"{facts.explained:.4f}", "", whence))
    if "recorded_cross_entropy" in facts.examined:
        recorded = f"{facts.examined['recorded_cross_entropy']:.4f}"
        rows.insert(1, ("validation cross-entropy", recorded, "", "recorded by the replica of that seed"))
    over_seeds = intervals.estimate(facts.evidence)
    if over_seeds is not None and over_seeds.low is not None and over_seeds.high is not None:
        interval = _interval(over_seeds.low, over_seeds.high)
        rows.insert(1, ("validation cross-entropy", f"{over_seeds.mean:.4f}", interval, f"{over_seeds.n} witnesses"))
    for label, found in zip(facts.description.labels, facts.decision.class_accuracy, strict=False):
        rows.append((f"validation accuracy on {label}", f"{found:.4f}", "", "witness"))
    tested = _samples(facts.data, "test")
    for name, value in facts.own_test.items():
        interval = _interval(*wilson(value, tested)) if name == "test_accuracy" and tested and one_class else ""
        rows.append((name.replace("_", " "), f"{value:.4f}", interval, f"this model, {tested} samples, once"))
    for name in facts.own_test:
        found_ = intervals.estimate([metrics[name] for metrics in facts.tested if name in metrics])
        if found_ is not None and found_.low is not None and found_.high is not None:
            interval = _interval(found_.low, found_.high)
            rows.append((name.replace("_", " "), f"{found_.mean:.4f}", interval, f"mean over {found_.n} seeds"))
    rows.append(("latency", f"{facts.examined['latency_ms']:.3f} ms", "", "one sample, network alone, median"))
    rows.append(("size", f"{facts.examined['bytes'] / 1e6:.2f} MB", "", "network and preprocessing"))
    return rows


def _purpose(told: Description) -> str:
    if told.row.answers == "value":
        return f"It answers with {told.labels[0]}, a number."
    tells = f"{', '.join(told.labels[:-1])} from {told.labels[-1]}"
    return f"It tells {tells}." if told.row.answers == "class" else f"It says which of {', '.join(told.labels)} apply."


def _origins(facts: Facts) -> list[tuple[str, str]]:
    told = facts.description
    rows = [("data", told.data_digest), *((f"data: {key}", str(facts.data.get(key))) for key in ("train", "test"))]
    if facts.data.get("vocabulary"):
        rows.append(("data: vocabulary", str(facts.data["vocabulary"])))
    rows += [("weights", told.weights_digest), ("fingerprint", told.fingerprint), ("run", told.run_id)]
    return [(what, f"`{value}`") for what, value in rows]


def _limits(facts: Facts) -> list[str]:
    train = _samples(facts.data, "train")
    return [
        *LIMITS[facts.takes],
        f"It knows {train} samples of {facts.description.title} and nothing else: elsewhere its figures do not hold.",
        "Probabilities are the network's own and were not calibrated.",
        "The gain over the champion before it holds for the validation split and the spread of seeds; data that drift"
        " away from it are not covered.",
    ]


def wilson(share: float, samples: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of so many samples."""
    z = float(ndtri(0.975))
    middle = (share + z * z / (2 * samples)) / (1 + z * z / samples)
    half = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples**2)) / (1 + z * z / samples)
    return middle - half, middle + half


def _samples(data: Mapping[str, object], part: str) -> int:
    samples = data.get("samples")
    return int(samples.get(part, 0)) if isinstance(samples, Mapping) else 0


def _interval(low: float, high: float) -> str:
    return f"[{low:.4f}, {high:.4f}]"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
