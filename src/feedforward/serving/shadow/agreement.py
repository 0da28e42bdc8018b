"""How a challenger's answers differ from those of the champion, sample by sample."""

from collections.abc import Mapping, Sequence
from typing import Any

from feedforward.promotion.bundle import Servable
from feedforward.promotion.shadow_evidence import Evidence, Tally

SAME_VALUE = 0.1  # standard deviations of the target: values that are no farther apart count as the same answer

Answer = Mapping[str, Any]


def compared(champion: Sequence[Answer], challenger: Sequence[Answer], served: Servable, seconds: float) -> Evidence:
    """The evidence of one request. served: the challenger. seconds: its CPU time.

    Two answers agree if they have the same label, the same set of labels, or values within SAME_VALUE.
    """
    evidence = Evidence(requests=1, samples=len(champion), seconds=seconds)
    for one, other in zip(champion, challenger, strict=True):
        agrees, differences = _difference(one, other, served)
        evidence.agreed += agrees
        for label, difference in differences.items():
            same = agrees if "labels" not in one else (label in one["labels"]) == (label in other["labels"])
            tally = Tally(1, int(same), difference, abs(difference))
            evidence.labels.setdefault(label, Tally()).add(tally)
    return evidence


def _difference(one: Answer, other: Answer, served: Servable) -> tuple[bool, dict[str, float]]:
    """Whether two answers agree, and the difference by label of the champion's answer; see `Tally`."""
    if "value" in one:
        _, deviation = served.description.target or (0.0, 1.0)
        difference = (other["value"] - one["value"]) / (deviation or 1.0)
        return abs(difference) <= SAME_VALUE, {served.description.labels[0]: difference}
    shares, others = one["probabilities"], other["probabilities"]
    if "labels" in one:
        differences = {label: others[label] - share for label, share in shares.items()}
        return set(one["labels"]) == set(other["labels"]), differences
    label = one["label"]
    return label == other["label"], {label: others[label] - shares[label]}
