"""A side of a comparison: a run, a model version or a commit, as plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.tasks import TASKS
from feedforward.core.errors import DataError
from feedforward.data.splits import Features, Split
from feedforward.models.numpy_network import Network

Kind = Literal["class", "labels", "value"]


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % interval; None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Answers:
    """Predictions for the test samples.

    kind: `class`, `labels` or `value`, as in config.tasks. outputs: (samples, labels) probabilities, or values in the
    unit of the target. truth: (samples,) class numbers or values, or (samples, labels) of 0 and 1. source: equal for
    equal test samples. show: rows → the raw samples as text.
    """

    labels: tuple[str, ...]
    kind: Kind
    outputs: npt.NDArray[np.float64]
    truth: npt.NDArray[np.generic]
    source: str
    show: Callable[[Sequence[int]], list[str]]


@dataclass(frozen=True)
class Model:
    """A trained network. digest: of its weights and its data; models of equal digests give equal answers.

    answers: raises FeedforwardError if network or test samples are not available.
    """

    digest: str
    answers: Callable[[], Answers]


@dataclass(frozen=True)
class Side:
    """One of two results.

    commit: of the code; None if it is unknown. dirty: whether the code differed from the commit. verdicts: claim →
    outcome. promotion: for a model version, the figures of its evaluation and the decision on it. models: by dataset.
    remarks: what cannot be compared, and why.
    """

    title: str
    params: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool = False
    figures: Mapping[str, Figure] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    promotion: Mapping[str, str] | None = None
    models: Mapping[str, Model] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def ask(network: Network, features: Features, kind: Kind, target: tuple[float, float]) -> npt.NDArray[np.float64]:
    """(samples, labels): probabilities, or values in the unit of the target; target: its (mean, scale) in training.

    Raises:
        DataError: the features have another number of columns.
    """
    if kind == "class":
        return network.probabilities(features)
    mean, scale = target if kind == "value" else (0.0, 1.0)
    return network.outputs(features) * scale + mean


def kind_of(task: str) -> Kind:
    """Kind of prediction of a task."""
    return TASKS[task].answers


def truth(split: Split, kind: Kind, target: tuple[float, float]) -> npt.NDArray[np.generic]:
    """The labels of a split in the unit of the target; see Answers."""
    mean, scale = target
    return np.asarray(split.labels, np.float64) * scale + mean if kind == "value" else np.asarray(split.labels)


def check_weights(network: Network, recorded: str, title: str) -> None:
    """Raises DataError unless the weights have the recorded digest."""
    if network.weights_digest() != recorded:
        raise DataError(f"{title}: its weights are not those that the run recorded; train it again")
