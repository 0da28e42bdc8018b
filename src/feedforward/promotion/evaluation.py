"""Evaluate a version in a separate process, and store the metrics and the holdout models with the version."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import Params
from feedforward.config.tasks import TASKS
from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.data import encoded_again
from feedforward.data.splits import Split
from feedforward.models import metrics
from feedforward.promotion import (
    bundle,
    candidate,
    compatibility,
    evaluation_process,
    holdout_split,
    signatures,
    version_bundles,
)
from feedforward.promotion.bundle import Servable
from feedforward.promotion.evaluator import EvaluationFailed, Evaluator
from feedforward.promotion.holdout_split import HoldoutSplit
from feedforward.promotion.policy import Evidence
from feedforward.tracking import LoggedRun, model_version
from feedforward.tracking.model_version import HOLDOUT_MODELS, METRICS, HoldoutModel, Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry


def evaluate(evaluator: Evaluator, name: str, run: LoggedRun, version: Version, registry: "Registry") -> Version:
    """Evaluate a version, unless its evaluation is current, and store the results with it; return the version.

    The results are metrics, in a tag, and holdout models. An evaluation is current if its holdout models are intact,
    have the seeds that params.yaml asks for, and were trained on the training samples of today's split.

    Raises:
        DataError: the version was changed, cannot be loaded, or predicts wrongly; or the held-out samples lack a class.
        EvaluationFailed: the process ended without a result, the registry did not answer, or today's data or
            params.yaml cannot be read.
    """
    params = evaluator.params
    seeds, dataset = candidate.holdout_seeds(params, int(run.tags["seed"])), params.dataset(name)
    evaluated = [model.seed for model in version.holdout_models()] if version.is_evaluated else []
    with _reading_data(version):
        split = holdout_split.of_today(name, dataset)
        is_current = evaluated == seeds and _is_current(version, split)
    holdout_split.check_classes(split, dataset)
    if is_current:
        return version
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        measured = evaluator.run("evaluate", version.name, name, version.number, folder)
        digests = [atomic_files.file_digest(folder / str(seed) / bundle.MANIFEST) for seed in seeds]
        # the first digest names the folder of this evaluation
        models = [HoldoutModel(seed, digest, digests[0][:12]) for seed, digest in zip(seeds, digests, strict=True)]
        for model in models:
            registry.add(version, folder / str(model.seed), model.folder)
    with _reading_data(version):
        recorded = candidate.recorded_cross_entropy(params, name, run, registry)
    if recorded is not None:
        measured["recorded_cross_entropy"] = recorded
    tags = {METRICS: atomic_files.canonical_json(measured), HOLDOUT_MODELS: atomic_files.canonical_json(models)}
    registry.tag(version, tags)
    return dataclasses.replace(version, tags={**version.tags, **tags})


@contextlib.contextmanager
def _reading_data(version: Version) -> Iterator[None]:
    """The block reads today's data; if that fails, this says nothing about the version."""
    try:
        yield
    except DataError as error:
        raise EvaluationFailed(f"{version.name}: its evaluation failed ({error}); run the command again") from None


def _is_current(version: Version, split: HoldoutSplit) -> bool:
    try:
        models = holdout_models(version)
    except DataError:
        return False
    return all(map(split.was_trained_on, models))


def verify(evaluator: Evaluator, name: str, version: Version) -> None:
    """Verify and probe a version in a separate process, without training holdout models.

    Raises:
        DataError: the version was changed, cannot be loaded, or predicts wrongly.
        EvaluationFailed: the process ended without a result, or the registry did not answer.
    """
    with tempfile.TemporaryDirectory() as temporary:
        evaluator.run("verify", version.name, name, version.number, Path(temporary))


def final_calibration(evaluator: Evaluator, name: str, run: LoggedRun, registry: "Registry") -> Mapping[str, float]:
    """Return the results of `temperature.fit` for a final run, from a separate process; empty for regression.

    If a version of the run has stored results, these are returned, so that the run always gives the same version.

    Raises:
        DataError: a loss is not finite. EvaluationFailed: the process ended without a result.
    """
    if TASKS[evaluator.params.dataset(name).task].answers == "value":
        return {}
    for version in registry.versions(name, run.run_id):
        if model_version.CALIBRATION in version.tags:
            return version.calibration()
    with tempfile.TemporaryDirectory() as temporary:
        seed = int(run.tags["seed"])
        return evaluator.run("calibrate", f"{name} seed {seed}", name, seed, Path(temporary))


# --- evidence --------------------------------------------------------------------------------


def holdout_models(version: Version) -> list[Servable]:
    """Load the version's holdout models; the first has the version's own seed.

    Raises:
        DataError: a model was changed, or the version was never evaluated. TrackingError: the store does not answer.
    """
    if not version.is_evaluated:
        raise DataError(f"{version.name}: was never evaluated; run `feedforward promote {version.dataset}`")
    return [version_bundles.holdout_model(version, model) for model in version.holdout_models()]


def evidence(
    models: Sequence[Servable],
    samples: Split,
    target: tuple[float, float] | None,
    unseen: npt.NDArray[np.bool_] | None = None,
) -> Evidence:
    """Measure models that share an encoder on samples that this encoder has encoded.

    target: mean and standard deviation with which the labels are standardized (see `bundle.Description`); those with
    which the models were trained may differ. unseen: whether each sample is new to the models; None if all are.
    """
    mean, scale = target or (0.0, 1.0)
    model_mean, model_scale = models[0].description.target or (0.0, 1.0)
    units = (model_mean - mean) / scale, model_scale / scale
    results = [evaluation_process.losses_and_correct(model.network, samples, units) for model in models]
    r2 = None
    if metrics.is_value(samples.labels):
        new = np.ones(len(samples), np.bool_) if unseen is None else unseen
        predicted = models[0].predict(samples.features)[new, 0]
        r2 = metrics.r2(np.asarray(samples.labels, np.float64)[new] * scale + mean, predicted)
    return Evidence(np.stack([losses for losses, _ in results]), results[0][1], r2, unseen)


@dataclasses.dataclass(frozen=True)
class ChampionEvidence:
    """What is known about the champion, for a comparison.

    evidence: None if there is no champion, or if it is not compared. problem: why an existing champion is not compared;
    else empty. is_served: whether the service can answer with the champion, so that a shadow can be compared with it.
    """

    evidence: Evidence | None = None
    problem: str = ""
    is_served: bool = False


def champion_evidence(
    params: Params,
    name: str,
    champion: Version | None,
    target: tuple[float, float] | None,
    split: HoldoutSplit,
    skip_comparison: str | None,
) -> ChampionEvidence:
    """Measure the champion on today's validation samples.

    target: see `evidence`. skip_comparison: see `promote.promote`.

    Raises:
        EvaluationFailed: `skip_comparison` is None, but the champion is not signed, or it can be served but not
            compared: a holdout model cannot be read, or its preprocessing cannot encode today's samples.
    """
    if champion is None:
        return ChampionEvidence()
    command = f"`feedforward promote {name} --run {champion.run_id[:8]}`"
    remedy = f"{command} registers it again if params.yaml and the data are as for its training; "
    try:
        served = version_bundles.served(champion)
        if problem := compatibility.mismatch(served, params.datasets[name]):
            return ChampionEvidence(problem=f"{champion.name} is not a champion of this dataset: {problem}")
    except signatures.NotSigned as error:  # perhaps only the key has changed: no reason to replace the champion
        return ChampionEvidence(problem=_skipped(name, champion, str(error), remedy, skip_comparison))
    except DataError as error:
        return ChampionEvidence(problem=f"the champion can no longer be served: {error}")
    try:
        models = holdout_models(champion)
    except DataError as error:
        problem = _skipped(name, champion, str(error), remedy, skip_comparison)
        return ChampionEvidence(problem=problem, is_served=True)
    try:
        samples = encoded_again.samples(name, params.datasets[name], "train", split.held_out, models[0].encoder)
    except DataError as error:
        return ChampionEvidence(problem=_skipped(name, champion, str(error), "", skip_comparison), is_served=True)
    return ChampionEvidence(evidence(models, samples, target, split.unseen(models)), is_served=True)


def _skipped(name: str, champion: Version, problem: str, remedy: str, skip_comparison: str | None) -> str:
    """Why the champion is not compared; raises EvaluationFailed if the comparison may not be skipped."""
    problem = f"{champion.name} cannot be compared: {problem}"
    if skip_comparison is not None:
        return f"{problem}; replaced without a comparison: {skip_comparison}"
    raise EvaluationFailed(
        f"{problem}: {remedy}`feedforward promote {name} --skip-comparison REASON` replaces it without a comparison"
    ) from None
