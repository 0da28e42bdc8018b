"""A run or a model version as a side of a comparison. Both make predictions for the workspace's test samples."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from feedforward.analysis import intervals
from feedforward.analysis.run_result import SCORES
from feedforward.analysis.statistics import STATISTICS
from feedforward.config.schema import Dataset, Params
from feedforward.core import paths, provenance
from feedforward.core.errors import DataError
from feedforward.data import consistency, encoded_again
from feedforward.data import manifest as manifest_file
from feedforward.data.splits import Split, Subset
from feedforward.diff import sides
from feedforward.diff.predictions import shorten
from feedforward.diff.sides import Answers, Figure, Model, Side
from feedforward.models import network_files
from feedforward.promotion import champion, version_bundles
from feedforward.promotion.bundle import Servable
from feedforward.tracking import LoggedRun, model_version
from feedforward.tracking.experiment_pages import bounds
from feedforward.tracking.model_version import METRICS, Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

IDENTITY = ("dataset", "variant", "protocol", "role", "seed")
# metrics with one value per epoch, whose last values are not compared
CURVES = {prefix + name for prefix in ("", "val_") for name in ("loss", *SCORES, "cross_entropy")}
ERROR = "_se"  # suffix of metrics that are standard errors
CHARACTERS = 200  # shown of a raw sample


def run_side(run: LoggedRun, registry: "Registry", params: Params) -> Side:
    """The side for a run. A variant's parent run has metrics but no model."""
    tags = run.tags
    libraries = {name: tags.get(f"version.{name}", "unknown") for name in provenance.LIBRARIES}
    digest = f"{tags.get('weights_digest')} {tags.get('data_digest')}"
    return Side(
        title=f"run {run.run_id[:8]} ({run.name})",
        params=dict(run.params) | {key: tags[key] for key in IDENTITY if key in tags},
        data={f"vectorized {tags.get('dataset', 'data')}": tags.get("data_digest", "unknown")},
        environment={**libraries, "kind of CPU": tags.get("cpu", "unknown")},
        commit=None if tags.get("git_commit", "none") == "none" else tags["git_commit"],
        dirty=tags.get("git_dirty") == "true",
        figures=_figures(run),
        models={tags["dataset"]: Model(digest, lambda: _answers_of_run(run, registry, params))}
        if {"dataset", "weights_digest"} <= tags.keys()  # tags can be deleted in MLflow
        else {},
    )


def version_side(version: Version, run: LoggedRun, registry: "Registry", params: Params) -> Side:
    """The side for a model version: its run's side, plus the evaluation metrics and the promotion decision."""
    digest = version.tags.get(model_version.DIGEST, "")
    return dataclasses.replace(
        run_side(run, registry, params),
        title=version.name,
        promotion=_promotion(version),
        models={version.dataset: Model(digest, lambda: _answers_of_version(version, params))},
    )


def _promotion(version: Version) -> dict[str, str]:
    """The decision and the evaluation metrics, except the latency, which differs in every measurement."""
    try:
        figures = json.loads(version.tags.get(METRICS, "{}"))
        metrics = {name: f"{value:.6g}" for name, value in figures.items() if name != "latency_ms"}
    except (ValueError, AttributeError, TypeError):
        metrics = {}
    return metrics | {"decision": version.tags.get(champion.DECISION, "none yet")}


def _figures(run: LoggedRun) -> dict[str, Figure]:
    """The metrics of a run with intervals over test samples; for a parent run, the means with intervals over seeds.

    They are read from the metrics, because the stored result of a run may be unreadable in another release.
    """
    metrics = run.metrics
    means = [name for name in metrics if name.startswith("mean_")]
    if means:
        intervals_by_name = {name: [metrics.get(key) for key in bounds(name.removeprefix("mean_"))] for name in means}
        return {name: Figure(metrics[name], *intervals_by_name[name]) for name in sorted(means)}
    return {
        name: _figure(name, value, metrics.get(f"{name}{ERROR}"))
        for name, value in sorted(metrics.items())
        if name not in CURVES and "/" not in name and not name.endswith(ERROR)
    }


def _figure(name: str, value: float, standard_error: float | None) -> Figure:
    if not standard_error or name not in STATISTICS:  # the error of a mean over one sample is unknown, and stored as 0
        return Figure(value)
    return Figure(value, *intervals.over_samples(value, standard_error, STATISTICS[name].bounds))


# --- predictions -----------------------------------------------------------------------------


def _answers_of_run(run: LoggedRun, registry: "Registry", params: Params) -> Answers:
    name = run.tags["dataset"]
    dataset, manifest = params.dataset(name), manifest_file.load(name)
    if manifest["data_digest"] != run.tags.get("data_digest"):
        raise DataError(f"predictions of {name}: run {run.run_id[:8]} was not trained on the data in data/vectorized")
    network = network_files.read(registry.model_files(run), run.name)
    sides.check_weights(network, run.tags["weights_digest"], f"run {run.run_id[:8]}")
    test = manifest_file.load_split(name, "test")
    kind, target = sides.kind_of(dataset.task), target_of(manifest)
    outputs = sides.outputs_of(network, test.features, kind, target)
    return _workspace_answers(name, dataset, manifest, test, outputs)


def _answers_of_version(version: Version, params: Params) -> Answers:
    name = version.dataset
    dataset, manifest = params.dataset(name), manifest_file.load(name)
    if model_version.DIGEST not in version.tags:
        raise DataError(f"predictions of {name}: {version.name} was not created by a promotion")
    servable = version_bundles.served(version)
    test = manifest_file.load_split(name, "test")
    return _workspace_answers(
        name, dataset, manifest, test, servable.predict(_features(test, servable, manifest, dataset))
    )


def _features(test: Split, servable: Servable, manifest: Mapping[str, Any], dataset: Dataset) -> Any:
    """The test samples, encoded by the model version's preprocessing."""
    description = servable.description
    if description.labels != dataset.labels or description.task_name != dataset.task:
        raise DataError(f"predictions of {description.dataset}: the version's labels or task differ from params.yaml")
    if description.data_digest == manifest["data_digest"]:
        return test.features
    return encoded_again.samples(description.dataset, dataset, "test", Subset(test), servable.encoder).features


def _workspace_answers(name: str, dataset: Dataset, manifest: Mapping[str, Any], test: Split, outputs: Any) -> Answers:
    kind = sides.kind_of(dataset.task)

    def show(rows: Sequence[int]) -> list[str]:
        try:
            return shorten(consistency.raw_samples(dataset, paths.raw(name), manifest, rows), CHARACTERS)
        except (DataError, OSError):
            return ["(no matching raw data in the workspace)"] * len(rows)

    truth = sides.truth(test, kind, target_of(manifest))
    return Answers(dataset.labels, kind, outputs, truth, manifest["data_digest"], show)


def target_of(manifest: Mapping[str, Any]) -> tuple[float, float]:
    """(mean, scale) of the target in the training data; (0, 1) unless a regression standardizes it."""
    target = manifest.get("target")
    return (float(target["mean"]), float(target["scale"])) if target else (0.0, 1.0)
