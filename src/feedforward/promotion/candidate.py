"""Turn a finished final run into a registered version: network, preprocessing, and a replica of each variant."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from feedforward.config.schema import Dataset, Params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.data import manifest as manifest_file
from feedforward.data import validation_split
from feedforward.data.readers import encoders
from feedforward.data.readers.encoders import Encoder
from feedforward.models import keras_archive, network_files
from feedforward.promotion import audit_log, bundle, champion, current_runs, version_bundles
from feedforward.promotion.bundle import Description
from feedforward.tracking import LoggedRun, model_version, records
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry


def choose(params: Params, name: str, registry: "Registry", run_id: str | None) -> LoggedRun:
    """Choose the final run to promote: the given one, or the latest one with the current data and parameters.

    Raises:
        ParamsError: `run_id` does not name exactly one final run. DataError: there is no final run, or it was trained
            on different data or with different parameters.
    """
    runs = registry.find_runs(name, role="final")
    if not runs:
        # With a new store, `feedforward run` finds all results up to date and trains nothing.
        is_vectorized = (paths.vectorized(name) / "manifest.json").is_file()
        remedy = f"feedforward train {name}" if is_vectorized else "feedforward run"
        raise DataError(f"{name}: has no finished final run in the tracking store; run `{remedy}`")
    if run_id is None:
        current = next((run for run in runs if current_runs.variants_of(params, name, run)), None)
        if current is None:
            problem = current_runs.outdated_reason(params, name, runs[0])
            raise DataError(f"{name}: {problem}; run `feedforward train {name}`")
        return current
    matches = [run for run in runs if run.run_id.startswith(run_id)]
    if len(matches) != 1:
        examples = ", ".join(f"{run.run_id[:8]} ({run.name})" for run in runs[:5])
        raise ParamsError([f"--run: must name one final run of {name}, such as {examples}; got {run_id}"])
    if problem := current_runs.outdated_reason(params, name, matches[0]):
        raise DataError(f"{name}: {problem}; without --run, the latest current run is promoted")
    return matches[0]


def register(
    params: Params, name: str, run: LoggedRun, registry: "Registry", calibration: Mapping[str, float]
) -> Version:
    """Return the version with a current final run's network and, under its current name, a replica of each variant.

    It is registered unless the run already has a version with the same contents that need not be replaced. calibration:
    the metrics from `evaluation.final_calibration`.

    Raises:
        DataError: a logged model is damaged, or its weights differ from those that its run recorded.
        ParamsError: the version must be signed, but the private key is missing or wrong.
    """
    dataset = params.datasets[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder, encoder = Path(temporary), encoder_of(name, dataset)
        final, temperature = dataset.training.final.variant, calibration.get("temperature", 1.0)
        role = model_version.SERVED
        digest = package(name, dataset, run, final, registry, encoder, folder, role, temperature)
        folders, digests = {model_version.SERVED: folder / model_version.SERVED}, {}
        for variant, replica in replicas(params, name, run, registry).items():
            role = f"{model_version.VARIANTS}/{variant}"
            folders[role] = folder / role
            temperature = temperature_of(replica, registry)
            digests[variant] = package(
                name, dataset, replica, variant, registry, encoder, folder, role, temperature, keras=False
            )
        tags = {key: run.tags[key] for key in ("seed", "protocol", "data_digest", "weights_digest")}
        tags |= {model_version.DIGEST: digest, "title": dataset.title, "variant": final}
        tags["labels"] = atomic_files.digest(dataset.labels)  # MLflow limits the length of tags
        tags |= {model_version.CALIBRATION: atomic_files.canonical_json(calibration)} if calibration else {}
        tags[model_version.VARIANTS] = json.dumps(digests)  # in the order of params.yaml
        for version in registry.versions(name, run.run_id):
            is_equal = all(version.tags.get(key) == tags[key] for key in (model_version.DIGEST, model_version.VARIANTS))
            if is_equal and not _must_be_replaced(version):
                return version
        return registry.register(name, run.run_id, folders, tags)


def rolled_back(version: Version, current: Version | None, registry: "Registry") -> Version | None:
    """The latest rolled-back version that is the same model as this one; None if there is none.

    current: the champion. Also None for a new version that answers like the champion: it may replace the champion, even
    if the model was rolled back when it had other labels.
    """
    marked = [other for other in rolled_back_versions(version.dataset, registry) if is_same_model(version, other)]
    is_marked = any(version.number == other.number for other in marked)
    if current is not None and answer_alike(version, current) and not is_marked:
        return None
    return next(iter(marked), None)


def rolled_back_versions(name: str, registry: "Registry") -> list[Version]:
    """The versions of a dataset that were rolled back, the latest first."""
    return [
        version for version in registry.versions(name) if version.tags.get(champion.DECISION) == audit_log.ROLLED_BACK
    ]


def is_same_model(one: Version, other: Version) -> bool:
    """Whether two versions have the same weights; titles and the names of variants and labels may differ."""
    digest = one.tags.get("weights_digest")
    return digest is not None and digest == other.tags.get("weights_digest")


def answer_alike(one: Version, other: Version) -> bool:
    """Whether two versions have the same weights and labels; versions of release 0.2 do not name labels."""
    return is_same_model(one, other) and one.tags.get("labels") == other.tags.get("labels")


def _must_be_replaced(version: Version) -> bool:
    """Whether the run must be registered again, because a file of this version is damaged or not signed.

    A version that is older than the key, for example, has no signature. A rolled-back version is never replaced.
    """
    if version.tags.get(champion.DECISION) == audit_log.ROLLED_BACK:
        return False
    try:
        version_bundles.check(version)
    except DataError:
        return True
    return False


def encoder_of(name: str, dataset: Dataset) -> Encoder:
    """Load the preprocessing that vectorizes the dataset."""
    return encoders.of_dataset(dataset.reader, paths.vectorized(name))


def package(
    name: str,
    dataset: Dataset,
    run: LoggedRun,
    variant: str,
    registry: "Registry",
    encoder: Encoder,
    folder: Path,
    role: str,
    temperature: float,
    keras: bool = True,
) -> str:
    """Write a bundle with a run's network and preprocessing to `folder`/`role`; return the digest of its manifest.

    variant: its current name. role: see `bundle.write`. temperature: stored in the description. keras: whether to
    include model.keras.

    Raises:
        DataError: the logged model is damaged, or its weights differ from those that the run recorded.
        ParamsError: the bundle must be signed, but the private key is missing or wrong.
    """
    title = f"model of run {run.run_id[:8]}"
    files = registry.model_files(run)
    model = files.pop(bundle.MODEL, b"")
    if keras:
        keras_archive.check(model, f"{title}: {bundle.MODEL}")
        files[bundle.MODEL] = model
    weights = network_files.read(files, title).weights_digest()
    if weights != run.tags.get("weights_digest", ""):
        raise DataError(f"{title}: its weights differ from those that the run recorded; {records.TRAIN_AGAIN}")
    manifest = manifest_file.load(name)
    target = manifest.get("target")
    held_out = 0 if run.params["train"] == "all" else int(run.params["validation_samples"])
    description = Description(
        dataset=name,
        title=dataset.title,
        labels=dataset.labels,
        variant=variant,
        seed=int(run.tags["seed"]),
        epochs=int(run.params["epochs"]),
        samples=validation_split.share_size(
            manifest["samples"]["train"] - held_out, float(run.params.get("train_share", 1))
        ),
        run_id=run.run_id,
        fingerprint=run.tags["fingerprint"],
        data_digest=run.tags["data_digest"],
        weights_digest=weights,
        task=dataset.task,
        target=(target["mean"], target["scale"]) if target else None,
        spread=_spread(name) if dataset.task == "unit_regression" else None,
        temperature=temperature,
    )
    return bundle.write(folder / role, files, description, encoder, role)


def _spread(name: str) -> float:
    """The standard deviation of the target in the training data."""
    return float(np.asarray(manifest_file.load_split(name, "train").labels, np.float64).std())


def holdout_seeds(params: Params, seed: int) -> list[int]:
    """The seeds of the models that are trained without the held-out samples.

    The first is the seed of the final model; the others count up from 0.
    """
    others = [other for other in range(params.promotion.holdout_models) if other != seed]
    return [seed, *others][: params.promotion.holdout_models]


def temperature_of(replica: LoggedRun, registry: "Registry") -> float:
    """Look up the temperature for the replica's weights, from its last epoch or, with early stopping, its best epoch.

    Training fits a temperature after each epoch on validation samples. Returns 1 if none was fitted, as for regression.
    """
    curve = registry.curve(replica, "calibration/temperature")
    if "early_stopping_patience" in replica.params and curve:
        losses = registry.curve(replica, "val_cross_entropy")
        return curve[losses.index(min(losses))]
    return curve[-1] if curve else 1.0


def replicas(params: Params, name: str, run: LoggedRun, registry: "Registry") -> dict[str, LoggedRun]:
    """Find a replica of each variant in params.yaml: with the run's seed or, if there is none, with the lowest seed.

    Variants that have no current replica are left out.
    """
    runs = registry.find_runs(name, role="replica", protocol=run.tags["protocol"])
    current = [(replica, current_runs.variants_of(params, name, replica)) for replica in runs]

    def order(replica: LoggedRun) -> tuple[bool, int]:
        return replica.tags["seed"] != run.tags["seed"], int(replica.tags["seed"])

    chosen = {}
    for variant in params.variants:
        candidates = [replica for replica, variants in current if variant in variants]
        if candidates:
            chosen[variant] = min(candidates, key=order)
    return chosen


def recorded_cross_entropy(params: Params, name: str, run: LoggedRun, registry: "Registry") -> float | None:
    """Look up the validation cross-entropy of the replica with the run's seed, after as many epochs as the run has.

    run: a current final run. The replica measured it on the validation split of that seed. None if there is no such
    replica or epoch.
    """
    tags = {key: run.tags[key] for key in ("protocol", "seed")}
    for replica in registry.find_runs(name, role="replica", **tags):
        if params.datasets[name].training.final.variant in current_runs.variants_of(params, name, replica):
            curve = registry.curve(replica, "val_cross_entropy")
            last = int(run.params["epochs"])
            return curve[last - 1] if len(curve) >= last else None
    return None


def final_metrics(params: Params, name: str, run: LoggedRun, registry: "Registry") -> Sequence[Mapping[str, float]]:
    """Collect the metrics of the current final runs of the run's protocol: one mapping per seed, from its latest run.

    Only one variant has current final runs.
    """
    runs = registry.find_runs(name, role="final", protocol=run.tags["protocol"])
    current = [final for final in reversed(runs) if current_runs.variants_of(params, name, final)]
    return list({final.tags["seed"]: final.metrics for final in current}.values())
