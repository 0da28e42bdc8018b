"""The metrics of a run, computed from its curves and its model.

The store keeps curves and models, so metrics whose code has changed are recomputed without training. Only this module
and its imports determine the metrics. The digest of their code is recorded with each run; it is not part of the
fingerprint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression
from typing import Any

from feedforward.data import manifest as manifest_file
from feedforward.models import attribution, error_analysis, metrics, sampling_errors
from feedforward.models.numpy_network import Network

# metric → the curve whose last value it is; regressions have no such curves
CALIBRATION = {"last_calibration_error": "calibration/ece", "last_brier_score": "calibration/brier"}


def summarize(curves: Mapping[str, Sequence[float]], measured: Mapping[str, float]) -> dict[str, float]:
    """The metrics of a run at its best epoch (lowest validation cross-entropy) and at its last epoch.

    `generalization_gap` is the validation loss minus the training loss, both with the weights after the best epoch and
    in inference mode. `slope` is the least-squares slope of the validation loss, per epoch, from its minimum to the
    last epoch; there is none if these are the same epoch. Without validation, there are only the metrics of the last
    epoch. measured: see RunResult.
    """
    score = "mae" if "mae" in curves else "accuracy"
    values = {f"last_{score}": curves[score][-1], "last_cross_entropy": curves["cross_entropy"][-1]}
    if "val_cross_entropy" not in curves:
        return values
    losses = curves["val_cross_entropy"]
    best = min(range(len(losses)), key=losses.__getitem__)
    tail = losses[best:]
    slope = {"slope": linear_regression(range(len(tail)), tail).slope} if len(tail) > 1 else {}
    calibration = {name: curves[curve][-1] for name, curve in CALIBRATION.items() if curve in curves}
    return values | {
        "best_epoch": float(best + 1),
        "best_val_cross_entropy": losses[best],
        f"best_val_{score}": curves[f"val_{score}"][best],
        **measured,
        "generalization_gap": losses[best] - measured["best_cross_entropy"],
        "last_val_cross_entropy": losses[-1],
        f"last_val_{score}": curves[f"val_{score}"][-1],
        **calibration,
        "rise": losses[-1] - losses[best],
        **slope,
    }


@dataclass(frozen=True)
class FinalEvaluation:
    """The results of a final model on the test samples.

    metrics: `test_<name>` and `test_<name>_se`, its standard error over the test samples. hardest: the samples that it
    gets most wrong (attribution.hardest). errors: see error_analysis.analyze.
    """

    metrics: dict[str, float]
    hardest: list[dict[str, Any]]
    errors: dict[str, Any]


def evaluate_on_test(dataset: str, network: Network) -> FinalEvaluation:
    """Evaluate a final model on the test samples.

    Raises:
        DataError: the data are not vectorized.
    """
    test = manifest_file.load_split(dataset, "test")
    target = manifest_file.load(dataset).get("target") or {"mean": 0.0, "scale": 1.0}
    mean, unit = float(target["mean"]), float(target["scale"])
    logits = network.logits(test.features)
    losses = metrics.losses(network, logits, test.labels)
    score, scores = metrics.scores(network, logits, test.labels)
    if score == "mae":
        scores = scores * unit
    of_score = sampling_errors.of_mean if score == "mae" else sampling_errors.of_accuracy
    values = {"loss": float(losses.mean()), score: float(scores.mean())}
    errors = {"loss": sampling_errors.of_loss(losses, network, logits, test.labels), score: of_score(scores)}
    values |= metrics.measure(network, logits, test.labels)
    errors |= sampling_errors.measure(network, logits, test.labels)
    measured = {f"test_{name}": value for name, value in values.items()}
    measured |= {f"test_{name}_se": errors[name] for name in values}
    is_class = not metrics.is_value(test.labels) and test.labels.ndim == 1
    details = error_analysis.analyze(network, logits, test.labels, mean, unit)
    return FinalEvaluation(measured, attribution.hardest(network, test) if is_class else [], details)
