"""The lecture's table of tasks: last layer, loss, and kind of prediction."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """A row of the table. activation, loss: names that Keras uses.

    answers: what is predicted: a `class` (one of the labels), `labels` (any number of them) or a `value` (a number; the
    only label is its name). max_labels: None means no limit. standardized: targets are standardized for training.
    """

    activation: str
    loss: str
    answers: Literal["class", "labels", "value"]
    min_labels: int
    max_labels: int | None = None
    standardized: bool = False

    def outputs(self, labels: int) -> int:
        """Number of units in the last layer: 1 for two classes or a value, otherwise the number of `labels`.

        >>> TASKS["binary"].outputs(2), TASKS["multiclass"].outputs(10)
        (1, 10)
        """
        return 1 if self.activation != "softmax" and self.answers != "labels" else labels

    def required_count(self, labels: int) -> str:
        """The number of labels that the task requires, in words; empty if `labels` is such a number.

        >>> TASKS["binary"].required_count(3), TASKS["binary"].required_count(2), TASKS["multilabel"].required_count(1)
        ('2', '', 'at least 2')
        """
        if self.min_labels <= labels <= (self.max_labels or labels):
            return ""
        return f"{self.min_labels}" if self.max_labels == self.min_labels else f"at least {self.min_labels}"


TASKS = {
    "binary": Task("sigmoid", "binary_crossentropy", "class", 2, 2),
    # labels remain class numbers, which is equivalent to one-hot labels with categorical cross-entropy
    "multiclass": Task("softmax", "sparse_categorical_crossentropy", "class", 2),
    "multilabel": Task("sigmoid", "binary_crossentropy", "labels", 2),
    "regression": Task("linear", "mean_squared_error", "value", 1, 1, standardized=True),
    "unit_regression": Task("sigmoid", "binary_crossentropy", "value", 1, 1),
}

# Names of the baselines in `experiments.baseline_models`, which no variant may have
BASELINES = ("majority class", "label frequencies", "mean", "logistic regression", "linear regression", "NB-SVM")
