"""Baselines: constant predictions, and models without hidden layers that scikit-learn fits.

Each fit yields a network of one layer for each setting that is tried, so that its losses, accuracies and errors are
computed by the same code as those of the variants.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC

from feedforward.config.schema import Dataset
from feedforward.config.tasks import TASKS, Task
from feedforward.data.splits import MultiHot, Split
from feedforward.models.numpy_network import Layer, Network

Numbers = npt.NDArray[np.float64]

C_VALUES = (0.01, 0.1, 1.0)  # of logistic regression: inverses of the strength of the L2 penalty
SVM_C_VALUES = (0.01, 0.1)  # of NB-SVM; the paper uses 1, which suits only a vocabulary that includes rare words
INTERPOLATIONS = (0.25, 0.5, 1.0)  # beta of NB-SVM
RARE = 0.5  # a class without samples is treated as if it had this many
ITERATIONS, TOLERANCE = 100, 3e-4  # stopping criteria of L-BFGS
SVM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Problem:
    """The training data of a baseline.

    matrix: shape (samples, features); dense features are already divided by the dataset's `network.scale`.
    labels: one per sample, as in Split. classes: number of different labels in the dataset.
    factor: 1 / `network.scale`, by which the fitted networks multiply raw features.
    """

    matrix: Any  # a CSR matrix for multi-hot rows, otherwise an array, float32
    labels: npt.NDArray[np.generic]
    task: Task
    classes: int
    factor: float

    @property
    def outputs(self) -> int:
        """The number of outputs of the network."""
        return self.task.outputs(self.classes)

    def network(self, kernel: npt.NDArray[Any], bias: npt.NDArray[Any]) -> Network:
        """A network of one layer; kernel has shape (features, outputs), bias has shape (outputs,)."""
        arrays = np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32)
        return Network(self.factor, (Layer(*arrays, self.task.activation),))


@dataclass(frozen=True)
class Baseline:
    """A baseline: its name in tables, and the function that fits it once for each setting.

    has_loss: whether its outputs are logits or values, so that a loss is defined.
    """

    name: str
    fit: Callable[[Problem], Iterator[Network]]
    has_loss: bool = True


def problem(split: Split, dataset: Dataset) -> Problem:
    """The samples of a split as the training data of baselines."""
    features = split.features
    matrix: Any
    if isinstance(features, MultiHot):
        ones, indices = np.ones(len(features.indices), np.float32), np.asarray(features.indices).astype(np.int32)
        matrix = sparse.csr_matrix((ones, indices, features.indptr), features.shape)
    else:
        matrix = features.astype(np.float32)
        matrix /= np.float32(dataset.network.scale)
    return Problem(matrix, split.labels, TASKS[dataset.task], len(dataset.labels), 1 / dataset.network.scale)


def baselines(dataset: Dataset, is_text: bool) -> list[Baseline]:
    """The baselines of a dataset, the simplest first. is_text: whether its features are multi-hot words."""
    answers, standardized = TASKS[dataset.task].answers, TASKS[dataset.task].standardized
    if answers == "value":
        linear = Baseline("linear regression", _ridge) if standardized else Baseline("logistic regression", _fractional)
        return [Baseline("mean", _constant), linear]
    constant = Baseline("majority class" if answers == "class" else "label frequencies", _constant)
    models = [constant, Baseline("logistic regression", _logistic)]
    return [*models, Baseline("NB-SVM", _nb_svm, has_loss=False)] if is_text and answers == "class" else models


# --- fits --------------------------------------------------------------------------------------


def _constant(data: Problem) -> Iterator[Network]:
    """The constant prediction with the lowest loss on the training samples."""
    yield data.network(np.zeros((data.matrix.shape[1], data.outputs)), _best_constant(data))


def _best_constant(data: Problem) -> Numbers:
    if data.task.standardized:
        return np.array([np.mean(np.asarray(data.labels, np.float64))])
    if data.task.activation == "softmax":
        counts = np.bincount(data.labels.astype(np.int64), minlength=data.classes)
        return np.asarray(np.log(np.maximum(counts, RARE) / len(data.labels)))
    shares = np.atleast_1d(np.asarray(data.labels, np.float64).mean(axis=0))
    shares = np.clip(shares, RARE / len(data.labels), 1 - RARE / len(data.labels))
    return np.asarray(np.log(shares / (1 - shares)))


def _logistic(data: Problem) -> Iterator[Network]:
    """Logistic regression with an L2 penalty, for each value of C; one model per label if samples have several.

    Dense features are centered, which affects only the bias and reduces the number of iterations to a third.
    """
    matrix, means = data.matrix, np.zeros(data.matrix.shape[1], np.float32)
    if isinstance(matrix, np.ndarray):
        means = matrix.mean(axis=0)
        matrix = matrix - means
    columns = list(data.labels.T) if data.labels.ndim == 2 else [data.labels]
    models = [LogisticRegression(warm_start=True, max_iter=ITERATIONS, tol=TOLERANCE) for _ in columns]
    for c in C_VALUES:
        kernel, bias = np.zeros((matrix.shape[1], data.outputs)), _best_constant(data)
        for column, (model, labels) in enumerate(zip(models, columns, strict=True)):
            if len(np.unique(labels)) < 2:
                continue  # the constant prediction remains
            model.set_params(C=c).fit(matrix, labels)
            if data.task.activation == "softmax":
                _set_classes(kernel, bias, model)
            else:
                kernel[:, column], bias[column] = model.coef_[0], model.intercept_[0]
        yield data.network(kernel, bias - means @ kernel)


def _set_classes(kernel: Numbers, bias: Numbers, model: LogisticRegression) -> None:
    """Set the columns of the classes that the model has seen; the others keep the bias of a rare class."""
    weights, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # for two classes, scikit-learn has one row, that of the second class
        weights, intercepts = np.concatenate([0 * weights, weights]), np.concatenate([0 * intercepts, intercepts])
    classes = model.classes_.astype(np.int64)
    kernel[:, classes], bias[classes] = weights.T, intercepts


def _fractional(data: Problem) -> Iterator[Network]:
    """Logistic regression of values v from 0 to 1: each sample is in class 1 with weight v, in class 0 with 1 − v."""
    values = np.asarray(data.labels, np.float64)
    labels, weights = np.repeat([1, 0], len(values)), np.concatenate([values, 1 - values])
    for c in C_VALUES:
        model = LogisticRegression(C=c, max_iter=ITERATIONS, tol=TOLERANCE)
        model.fit(np.concatenate([data.matrix, data.matrix]), labels, weights)
        yield data.network(model.coef_.T, model.intercept_)


def _ridge(data: Problem) -> Iterator[Network]:
    """Linear regression with a small L2 penalty, so that the solution is unique even if features are collinear."""
    model = Ridge(alpha=1.0).fit(data.matrix, np.asarray(data.labels, np.float64))
    yield data.network(np.reshape(model.coef_, (-1, 1)), np.atleast_1d(model.intercept_))


def _nb_svm(data: Problem) -> Iterator[Network]:
    """NB-SVM, for each class against the rest (Wang and Manning, "Baselines and bigrams", ACL 2012).

    A linear SVM on multi-hot rows that are scaled by log-count ratios. Its weights are interpolated with their mean
    magnitude; if every weight were equal to that mean, the model would be multinomial naive Bayes.
    """
    classes = [1] if data.outputs == 1 else range(data.classes)
    for c in SVM_C_VALUES:
        columns = [_svm(data.matrix, data.labels == label, c) for label in classes]
        ratios, weights = (np.stack(arrays, axis=1) for arrays in list(zip(*columns, strict=True))[:2])
        bias = np.array([bias for *_, bias in columns])
        for share in INTERPOLATIONS:
            mixed = (1 - share) * np.abs(weights).mean(axis=0) + share * weights
            yield data.network(ratios * mixed, share * bias)


def _svm(matrix: Any, is_label: npt.NDArray[np.bool_], c: float) -> tuple[Numbers, Numbers, float]:
    """For one class: log-count ratios and weights, both of shape (features,), and the bias.

    The ratios use add-one smoothing. If all samples or none belong to the class, only the bias is nonzero.
    """
    if is_label.all() or not is_label.any():
        return np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1]), 1.0 if is_label.any() else -1.0
    inside, outside = (1 + np.asarray(matrix[rows].sum(axis=0), np.float64).ravel() for rows in (is_label, ~is_label))
    ratios = np.log((inside / inside.sum()) / (outside / outside.sum()))
    scaled = sparse.csr_matrix(matrix.multiply(ratios))
    # With dual=False, the samples are not visited in random order, so the result is deterministic.
    model = LinearSVC(C=c, dual=False, tol=SVM_TOLERANCE).fit(scaled, is_label)
    return ratios, model.coef_[0], float(model.intercept_[0])
