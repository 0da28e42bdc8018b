"""A side of a comparison: a run, a model version or a commit in one common form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from feedforward.config.tasks import TASKS
from feedforward.core.errors import DataError
from feedforward.data.splits import Features, Split
from feedforward.models.numpy_network import Network
from feedforward.tracking import records

Kind = Literal["class", "labels", "value"]


@dataclass(frozen=True)
class Figure:
    """The value of a metric with the ends of its 95 % interval, which are None if it has no interval."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Answers:
    """Predictions for the test samples.

    kind: `class`, `labels` or `value`, as in config.tasks. outputs: shape (samples, labels), probabilities, or values
    in the target's unit. truth: class numbers or values of shape (samples,), or zeros and ones of shape (samples,
    labels). source: identifies the test samples. show: returns the raw samples of the given rows as text.
    """

    labels: tuple[str, ...]
    kind: Kind
    outputs: npt.NDArray[np.float64]
    truth: npt.NDArray[np.generic]
    source: str
    show: Callable[[Sequence[int]], list[str]]


@dataclass(frozen=True)
class Model:
    """A trained network. digest: identifies its weights and data; models with equal digests make equal predictions.

    answers: makes the predictions; raises FeedforwardError if the network or the test samples are unavailable.
    """

    digest: str
    answers: Callable[[], Answers]


@dataclass(frozen=True)
class Side:
    """One of the two results that are compared.

    commit: the code's commit; None if unknown. dirty: whether the code had uncommitted changes. figures: None if they
    cannot be read. only_main_figures: whether the other figures and the intervals cannot be read. verdicts: claim →
    outcome; None if they cannot be read. promotion: for a model version, its evaluation metrics and the promotion
    decision. models: by dataset. remarks: what cannot be compared, and why.
    """

    title: str
    params: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool = False
    figures: Mapping[str, Figure] | None = field(default_factory=dict)
    only_main_figures: bool = False
    verdicts: Mapping[str, str] | None = field(default_factory=dict)
    promotion: Mapping[str, str] | None = None
    models: Mapping[str, Model] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def outputs_of(
    network: Network, features: Features, kind: Kind, target: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Outputs of shape (samples, labels): probabilities, or values in the target's unit.

    target: mean and scale of the target in the training data.

    Raises:
        DataError: the number of feature columns is not the network's number of inputs.
    """
    if kind == "class":
        return network.probabilities(features)
    mean, scale = target if kind == "value" else (0.0, 1.0)
    return network.outputs(features) * scale + mean


def kind_of(task: str) -> Kind:
    """The kind of prediction that a task makes."""
    return TASKS[task].answers


def truth(split: Split, kind: Kind, target: tuple[float, float]) -> npt.NDArray[np.generic]:
    """The true labels of a split, in the form of `Answers.truth`. target: its mean and scale, as in `outputs_of`."""
    mean, scale = target
    return np.asarray(split.labels, np.float64) * scale + mean if kind == "value" else np.asarray(split.labels)


def check_weights(network: Network, recorded_digest: str, title: str) -> None:
    """Check that the weights have the recorded digest.

    Raises:
        DataError: they do not.
    """
    if network.weights_digest() != recorded_digest:
        raise DataError(f"{title}: its weights differ from those that the run recorded; {records.TRAIN_AGAIN}")
