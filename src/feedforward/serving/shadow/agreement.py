"""How a challenger's answers differ from the champion's, sample by sample."""

from collections.abc import Mapping, Sequence
from typing import Any

from feedforward.promotion.bundle import Servable
from feedforward.promotion.shadow_evidence import Evidence, Tally

MAX_DIFFERENCE = 0.1  # standard deviations of the target; values no farther apart count as the same answer

Answer = Mapping[str, Any]


def compare(
    champion_answers: Sequence[Answer], challenger_answers: Sequence[Answer], challenger: Servable, seconds: float
) -> Evidence:
    """Compare the answers of champion and challenger to one request. seconds: the challenger's CPU time.

    Two answers agree if they have the same label, the same set of labels, or values within MAX_DIFFERENCE.
    """
    evidence = Evidence(requests=1, samples=len(champion_answers), seconds=seconds)
    for expected, answer in zip(champion_answers, challenger_answers, strict=True):
        agrees, differences = _difference(expected, answer, challenger)
        evidence.agreed += agrees
        for label, difference in differences.items():
            same = agrees if "labels" not in expected else (label in expected["labels"]) == (label in answer["labels"])
            tally = Tally(1, int(same), difference, abs(difference))
            evidence.labels.setdefault(label, Tally()).add(tally)
    return evidence


def _difference(expected: Answer, answer: Answer, challenger: Servable) -> tuple[bool, dict[str, float]]:
    """Whether the answers agree, and the difference for each compared label (see `Tally`). expected: the champion's."""
    if "value" in expected:
        _, deviation = challenger.description.target or (0.0, 1.0)
        difference = (answer["value"] - expected["value"]) / (deviation or 1.0)
        return abs(difference) <= MAX_DIFFERENCE, {challenger.description.labels[0]: difference}
    reference, probabilities = expected["probabilities"], answer["probabilities"]
    if "labels" in expected:
        differences = {label: probabilities[label] - reference[label] for label in reference}
        return set(expected["labels"]) == set(answer["labels"]), differences
    label = expected["label"]
    return label == answer["label"], {label: probabilities[label] - reference[label]}
