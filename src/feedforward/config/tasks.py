"""The table of tasks from the lecture: last layer, loss, and kind of prediction."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """A row of the table; activation and loss have their Keras names.

    answers: what is predicted: a `class` (one of the labels), `labels` (any number of them) or a `value` (a number; the
    only label is its name). most_labels: None means no limit. standardized: targets are standardized for training.
    """

    activation: str
    loss: str
    answers: Literal["class", "labels", "value"]
    least_labels: int
    most_labels: int | None = None
    standardized: bool = False

    def outputs(self, labels: int) -> int:
        """Units of the last layer: one for two classes or for a value, otherwise one per label.

        >>> TASKS["binary"].outputs(2), TASKS["multiclass"].outputs(10)
        (1, 10)
        """
        return 1 if self.activation != "softmax" and self.answers != "labels" else labels

    def wants(self, labels: int) -> str:
        """The expected number of labels, in words; empty if `labels` is valid.

        >>> TASKS["binary"].wants(3), TASKS["multilabel"].wants(1), TASKS["multiclass"].wants(10)
        ('2', 'at least 2', '')
        """
        if self.least_labels <= labels <= (self.most_labels or labels):
            return ""
        return f"{self.least_labels}" if self.most_labels == self.least_labels else f"at least {self.least_labels}"


TASKS = {
    "binary": Task("sigmoid", "binary_crossentropy", "class", 2, 2),
    # labels remain class numbers, which is equivalent to one-hot labels with categorical cross-entropy
    "multiclass": Task("softmax", "sparse_categorical_crossentropy", "class", 2),
    "multilabel": Task("sigmoid", "binary_crossentropy", "labels", 2),
    "regression": Task("linear", "mean_squared_error", "value", 1, 1, standardized=True),
    "unit_regression": Task("sigmoid", "binary_crossentropy", "value", 1, 1),
}
