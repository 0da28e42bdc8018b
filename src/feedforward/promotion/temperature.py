"""The temperature by which the logits of a served final model are divided.

A final model is trained on all training samples, so none of them shows how overconfident it is. A replica is trained on
fewer samples, so its overconfidence differs. Therefore the same recipe is trained again without a tenth of the samples,
and the temperature is fitted on that tenth. The test split is not used.
"""

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Params
from feedforward.data import manifest as manifest_file
from feedforward.data import validation_split
from feedforward.data.splits import Subset
from feedforward.experiments import runner
from feedforward.models import calibration
from feedforward.models.numpy_network import Array

RANDOM_STREAM = 3  # for drawing the held-out samples; validation_split uses the streams 0 to 2
DESIRED_SAMPLES = 5000  # held out to fit a temperature
MAX_PARTS = 3  # maximum number of models that are trained to reach that number


def fit(params: Params, name: str, seed: int) -> dict[str, float]:
    """Fit the temperature for the final model of a seed; return it with its effect on `samples` held-out samples.

    The temperature changes `ece` to `scaled_ece` (models.calibration), and `cross_entropy` to `scaled_cross_entropy`.
    The final model is trained again without a tenth of the samples, on which the temperature is fitted. If a tenth has
    fewer than DESIRED_SAMPLES samples, this is repeated with other tenths, up to MAX_PARTS times in all.

    Raises:
        TrainingError: a loss is not finite.
    """
    logits, labels = held_out_predictions(params, name, seed)
    measured = calibration.measure(logits, labels)
    class_logits, classes, _ = calibration.as_classes(logits, labels)
    log_probabilities = calibration.log_probabilities(class_logits)
    return {
        "temperature": measured.temperature,
        "ece": measured.ece,
        "scaled_ece": measured.scaled_ece,
        "cross_entropy": float(-log_probabilities[np.arange(len(classes)), classes].mean()),
        "scaled_cross_entropy": measured.refinement,
        "samples": float(len(labels)),
    }


def held_out_predictions(params: Params, name: str, seed: int) -> tuple[Array, npt.NDArray[np.generic]]:
    """Train with the final model's recipe, holding out samples; return the logits and labels of these (see `fit`)."""
    from feedforward.experiments import training_run
    from feedforward.training import trainer

    dataset, all_samples = params.dataset(name), manifest_file.load_split(name, "train")
    variant = dataset.training.final.variant
    order = validation_split.generator(seed, RANDOM_STREAM).permutation(len(all_samples))
    size = max(1, len(all_samples) // 10)
    runner.prepare(1)
    logits, labels = [], []
    for part in range(min(MAX_PARTS, -(-DESIRED_SAMPLES // size))):
        held_out = np.zeros(len(all_samples), bool)
        held_out[order[part * size : (part + 1) * size]] = True
        training = validation_split.draw_share(Subset(all_samples, np.flatnonzero(~held_out)), dataset, seed)
        trained = training_run.train_final(dataset, {variant: params.variant(variant)}, training, seed)
        samples = Subset(all_samples, np.flatnonzero(held_out)).to_split()
        logits.append(trainer.as_arrays(trained.model).logits(samples.features))
        labels.append(np.asarray(samples.labels))
    return np.concatenate(logits), np.concatenate(labels)
