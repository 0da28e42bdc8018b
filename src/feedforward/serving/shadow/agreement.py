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
    for old, new in zip(champion_answers, challenger_answers, strict=True):
        agrees, differences = _difference(old, new, challenger)
        evidence.agreed += agrees
        for label, difference in differences.items():
            same = agrees if "labels" not in old else (label in old["labels"]) == (label in new["labels"])
            tally = Tally(1, int(same), difference, abs(difference))
            evidence.labels.setdefault(label, Tally()).add(tally)
    return evidence


def _difference(old: Answer, new: Answer, challenger: Servable) -> tuple[bool, dict[str, float]]:
    """Whether the champion's (old) and the challenger's (new) answer agree, and their difference for each label.

    For the labels that are compared, and the unit of the difference, see `Tally`.
    """
    if "value" in old:
        _, deviation = challenger.description.target or (0.0, challenger.description.spread)
        difference = (new["value"] - old["value"]) / (deviation or 1.0)
        return abs(difference) <= MAX_DIFFERENCE, {challenger.description.labels[0]: difference}
    old_probabilities, new_probabilities = old["probabilities"], new["probabilities"]
    if "labels" in old:
        differences = {label: new_probabilities[label] - old_probabilities[label] for label in old_probabilities}
        return set(old["labels"]) == set(new["labels"]), differences
    label = old["label"]
    return label == new["label"], {label: new_probabilities[label] - old_probabilities[label]}
