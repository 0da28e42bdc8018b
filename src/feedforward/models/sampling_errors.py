"""Standard errors of metrics over the samples that they were measured on.

A metric changes by `influence / n` if a sample's weight changes by `1 / n`. The variance of the influence values,
divided by the number of samples, is the variance of the metric: the infinitesimal jackknife (Efron, "The jackknife,
the bootstrap and other resampling plans", SIAM 1982). For a mean, this is the usual standard error; for the area
under the ROC curve, it is the estimate of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988). A mean over
classes takes the mean of their influence values, because a sample that is confused counts for two classes.

The estimated variance of a share is increased by as much as two more correct and two more wrong answers change it
(analysis.shares), which is negligible for thousands of samples. For this purpose, F1 and the area under the ROC curve
are also treated as shares.

Losses and absolute errors are skewed: a few samples cost far more than all others, and a small test split may contain
none of these. Their variance is therefore computed with two more samples that cost as much as the most expensive one
(docs/comparison.md has a simulation).
"""

import math

import numpy as np

from feedforward.analysis.shares import added_variance
from feedforward.models import metrics
from feedforward.models.metrics import Labels, Numbers, Truths
from feedforward.models.numpy_network import Array, Network

LEAST_CERTAIN = 0.1  # share of samples


def of_mean(costs: Numbers, wrong: float = 0.0) -> float:
    """Standard error of the mean of costs, such as absolute errors, of shape (samples,); 0 for one sample.

    wrong: what a wrong answer costs, if that is known; the two additional samples cost at least as much.
    """
    n = len(costs)
    if n == 1:
        return 0.0
    extreme = max(float(costs.max()), wrong)
    return math.sqrt(float(np.var(np.append(costs, [extreme] * 2), ddof=1)) / n)


def of_loss(losses: Numbers, network: Network, logits: Array, labels: Labels) -> float:
    """Standard error of the mean of `losses`, the result of `metrics.losses` for the other arguments.

    The two additional samples cost at least as much as a wrong answer would in the tenth of the samples for which the
    model is least certain.
    """
    if metrics.is_value(labels):
        return of_mean(losses)
    if labels.ndim == 2:
        costs = np.logaddexp(0, np.abs(network.scale_logits(logits))).min(axis=1) / labels.shape[1]
    else:
        costs = -np.partition(network.log_probabilities(logits), -2, axis=1)[:, -2]
    return of_mean(losses, float(np.quantile(costs, LEAST_CERTAIN)))


def of_accuracy(scores: Numbers) -> float:
    """Standard error of the mean of shares in [0, 1], shape (samples,)."""
    return _error(scores, added_variance(float(scores.mean()), len(scores)))


def measure(network: Network, logits: Array, labels: Labels) -> dict[str, float]:
    """The standard errors of the metrics that `metrics.measure` computes; 0 for one that is undefined."""
    if metrics.is_value(labels):
        return {"r2": _of_r2(np.asarray(labels, np.float64).reshape(-1), network.activate(logits)[:, 0])}
    truths, probabilities, predictions = metrics.by_class(network, logits, labels)
    columns = metrics.f1_columns(truths, predictions)
    return {
        "f1": _of_class_mean([_f1(truths[:, k], predictions[:, k]) for k in columns]),
        "auc": _of_class_mean([_auc(truths[:, k], probabilities[:, k]) for k in range(truths.shape[1])]),
    }


def _error(influence: Numbers, added: float = 0.0) -> float:
    n = len(influence)
    return math.sqrt((float(np.var(influence, ddof=1)) / n if n > 1 else 0.0) + added)


def _of_class_mean(classes: list[tuple[Numbers, float]]) -> float:
    """From the influence values and the added variance of each class."""
    influences, added = zip(*classes, strict=True)
    return _error(np.mean(influences, axis=0), sum(added) / len(added) ** 2)


def _f1(truths: Truths, predictions: Truths) -> tuple[Numbers, float]:
    """F1 is 2 J / (1 + J) of the Jaccard index J, the share of true positives among all samples but true negatives."""
    correct, counts = truths & predictions, truths.astype(float) + predictions
    relevant = int((counts > 0).sum())
    if not relevant:
        return np.zeros(len(truths)), 0.0
    f1 = metrics.f1(truths, predictions)
    slope = (2 - f1) ** 2 / 2  # dF1 / dJ
    return (2 * correct - f1 * counts) / counts.mean(), slope**2 * added_variance(f1 / (2 - f1), relevant)


def _auc(truths: Truths, probabilities: Numbers) -> tuple[Numbers, float]:
    """The area is treated as a share of 4 / (1 / positive + 1 / negative) answers.

    With this number of answers, the variance of a share equals that of an area near 1 (Hanley and McNeil, Radiology
    143, 1982).
    """
    area, wins = metrics.auc(truths, probabilities), _wins(truths, probabilities)
    positive, negative = int(truths.sum()), int((~truths).sum())
    if area is None:
        return np.zeros(len(truths)), 0.0
    influence = (wins - area) * len(truths) / np.where(truths, positive, negative)
    return influence, added_variance(area, 4 / (1 / positive + 1 / negative))


def _wins(truths: Truths, probabilities: Numbers) -> Numbers:
    """For each sample, the share of the other class's samples that are ranked correctly against it; ties count half."""
    others = np.sort(probabilities[~truths]), np.sort(probabilities[truths])
    # for each sample, the share of negative and of positive samples with a lower probability
    below, above = (
        (np.searchsorted(group, probabilities, "left") + np.searchsorted(group, probabilities, "right"))
        / (2 * max(1, len(group)))
        for group in others
    )
    return np.where(truths, below, 1 - above)


def _of_r2(truths: Numbers, predictions: Numbers) -> float:
    """R² is 1 minus a ratio of mean squares; that of the denominator is taken around the mean of the true values."""
    residuals, deviations = (truths - predictions) ** 2, (truths - truths.mean()) ** 2
    if not deviations.any():
        return 0.0
    ratio = residuals.mean() / deviations.mean()
    return of_mean((residuals - ratio * deviations) / deviations.mean())
