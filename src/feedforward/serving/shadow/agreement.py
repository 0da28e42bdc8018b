"""How a challenger's answers differ from the champion's, sample by sample."""

from collections.abc import Mapping, Sequence
from typing import Any

from feedforward.promotion.bundle import Servable
from feedforward.promotion.shadow_evidence import Evidence, Tally

SAME_VALUE = 0.1  # in standard deviations of the target; values no farther apart count as the same answer

Answer = Mapping[str, Any]


def compare(champion: Sequence[Answer], challenger: Sequence[Answer], served: Servable, seconds: float) -> Evidence:
    """Compare the answers to one request. served: the challenger. seconds: the challenger's CPU time.

    Two answers agree if they have the same label, the same set of labels, or values within SAME_VALUE.
    """
    evidence = Evidence(requests=1, samples=len(champion), seconds=seconds)
    for expected, answer in zip(champion, challenger, strict=True):
        agrees, differences = _difference(expected, answer, served)
        evidence.agreed += agrees
        for label, difference in differences.items():
            same = agrees if "labels" not in expected else (label in expected["labels"]) == (label in answer["labels"])
            tally = Tally(1, int(same), difference, abs(difference))
            evidence.labels.setdefault(label, Tally()).add(tally)
    return evidence


def _difference(expected: Answer, answer: Answer, served: Servable) -> tuple[bool, dict[str, float]]:
    """Whether the answers agree, and the difference for each label that is compared; see `Tally`."""
    if "value" in expected:
        _, deviation = served.description.target or (0.0, 1.0)
        difference = (answer["value"] - expected["value"]) / (deviation or 1.0)
        return abs(difference) <= SAME_VALUE, {served.description.labels[0]: difference}
    reference, probabilities = expected["probabilities"], answer["probabilities"]
    if "labels" in expected:
        differences = {label: probabilities[label] - reference[label] for label in reference}
        return set(expected["labels"]) == set(answer["labels"]), differences
    label = expected["label"]
    return label == answer["label"], {label: probabilities[label] - reference[label]}
