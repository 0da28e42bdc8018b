"""The temperature that a served final model's logits are divided by.

A final model is trained on all training samples, so none of them shows how overconfident it is. A replica is trained on
fewer samples, so its overconfidence differs. Therefore the same recipe is trained again without a tenth of the samples,
and the temperature is fitted on that tenth. The test split is not used.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from feedforward.config.schema import Params
from feedforward.config.tasks import TASKS
from feedforward.promotion import evaluation
from feedforward.tracking import LoggedRun, model_version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry


def final_calibration(params: Params, name: str, run: LoggedRun, registry: "Registry") -> Mapping[str, float]:
    """The figures of `evaluation_process.calibrate` for a final run; empty if it predicts a value.

    If a version of the run exists, its figures are used again, so that the run always gives the same version.

    Raises:
        DataError: a loss is not finite. EvaluationFailed: the process ended without a result.
    """
    if TASKS[params.dataset(name).task].answers == "value":
        return {}
    for version in registry.versions(name, run.run_id):
        if model_version.CALIBRATION in version.tags:
            return version.calibration()
    return evaluation.calibrate(name, int(run.tags["seed"]))
