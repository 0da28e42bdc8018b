"""Send a record to MLflow; sending it twice has the same result as sending it once."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    InputTag,
    LoggedModel,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
    ViewType,
)
from mlflow.entities import Run as StoredRun
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from feedforward.core import atomic_files
from feedforward.tracking import database, experiment_pages, records
from feedforward.tracking.records import DataInput, Point, Record, Run

DIGEST_DIGITS = 36  # the length of MLflow's field
RUNS_PER_REQUEST = 1000
PARAM_LENGTH = 6000  # MLflow truncates longer values silently
_logger = logging.getLogger("feedforward.tracking")


def experiment_id(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    """Return the ID of the experiment; create it if it is missing; if it was deleted, restore it without its runs."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(
                client.create_experiment(
                    name, artifact_location=artifact_location, tags=experiment_pages.missing_tags({})
                )
            )
        except MlflowException:  # another process was faster
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if artifact_location:  # of a store without a server
        database.require_artifacts(experiment)
    if experiment.lifecycle_stage != "active":
        _restore(client, experiment)
    delete_restored_runs(client, experiment)
    for key, text in experiment_pages.missing_tags(experiment.tags).items():  # missing if an older release created it
        client.set_experiment_tag(experiment.experiment_id, key, text)
    return str(experiment.experiment_id)


def _restore(client: MlflowClient, experiment: Experiment) -> None:
    """Restore the experiment, and record the runs that MLflow restores with it, even those deleted one by one before.

    They are recorded first, because this process may be killed before `delete_restored_runs` has deleted them again.
    """
    deleted = _search_all(client, experiment.experiment_id, "", ViewType.DELETED_ONLY)
    path = _restored_runs(client, experiment)
    earlier_ids = atomic_files.read_json(path) if path.exists() else []  # of an attempt that may have been executed
    run_ids = sorted({run.info.run_id for run in deleted} | set(earlier_ids))
    atomic_files.write_text(path, atomic_files.canonical_json(run_ids))
    client.restore_experiment(experiment.experiment_id)


def delete_restored_runs(client: MlflowClient, experiment: Experiment) -> None:
    """Delete the runs that were restored only because their experiment was; must precede each use of its runs."""
    path = _restored_runs(client, experiment)
    if not path.exists():
        return
    run_ids = atomic_files.read_json(path)
    for run in _search_all(client, experiment.experiment_id, ""):  # without those that `mlflow gc` has removed
        if run.info.run_id in run_ids:
            client.delete_run(run.info.run_id)
    path.unlink(missing_ok=True)
    if run_ids:
        text = "experiment %s had been deleted; it was restored without its %d runs; restore those you need in MLflow"
        _logger.warning(text, experiment.name, len(run_ids))


def _restored_runs(client: MlflowClient, experiment: Experiment) -> Path:
    """The file with the IDs of the runs to delete again; its name depends on the store, which can be changed."""
    digest = atomic_files.digest({"store": client.tracking_uri, "experiment": str(experiment.experiment_id)})
    return records.spool() / f"restored-{digest[:32]}.json"


def find(client: MlflowClient, experiment: str, record_id: str) -> StoredRun | None:
    """Find a record's run. A request that timed out may have been executed later, so duplicate runs are deleted."""
    runs = client.search_runs([experiment], f"tags.record_id = '{record_id}'", order_by=["attributes.start_time ASC"])
    runs = sorted(runs, key=lambda run: run.info.status != "FINISHED")  # a finished run is kept, if there is one
    for duplicate in runs[1:]:
        _merge(client, duplicate, str(runs[0].info.run_id))
    return runs[0] if runs else None


def _merge(client: MlflowClient, run: StoredRun, target_id: str) -> None:
    """Nest the children of `run` under the run with the ID `target_id`, then delete `run`."""
    where = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    for child in _search_all(client, run.info.experiment_id, where):
        client.set_tag(child.info.run_id, "mlflow.parentRunId", target_id, synchronous=True)
    client.delete_run(run.info.run_id)


def _search_all(client: MlflowClient, experiment: str, where: str, view: int = ViewType.ACTIVE_ONLY) -> list[StoredRun]:
    """All runs of the experiment that match `where`, requested page by page."""
    token: str | None = ""
    runs: list[StoredRun] = []
    while token is not None:
        page = client.search_runs([experiment], where, view, RUNS_PER_REQUEST, page_token=token or None)
        runs += page
        token = page.token or None
    return runs


def create(client: MlflowClient, experiment: str, run: Run, parent_id: str | None) -> str:
    """Create the run as RUNNING, with its tags; return its MLflow ID."""
    tags = run.tags | ({"mlflow.parentRunId": parent_id} if parent_id else {})
    stored = client.create_run(experiment, start_time=run.started, tags=tags, run_name=run.name)
    return str(stored.info.run_id)


def reopen(client: MlflowClient, stored: StoredRun, run: Run) -> None:
    """Set an ended run to RUNNING again, as a run of this process."""
    run_id = stored.info.run_id
    client.update_run(run_id, status="RUNNING")
    _log_batch(client, run_id, tags=[RunTag(key, value) for key, value in run.tags.items()])
    if "error" in stored.data.tags:  # of the previous attempt
        client.delete_tag(run_id, "error")


@dataclass(frozen=True)
class FetchedRun:
    """A run as it is in the store. curves: the values of its curves, by key and step."""

    run: StoredRun
    curves: dict[tuple[str, int], float]

    def has_other_curves(self, points: list[Point]) -> bool:
        """Whether a curve among `points` has a different value at a step that the run already has.

        The curves of a variant change when seeds are added, and MLflow cannot remove points.
        """
        return any(self.curves.get((key, step), value) != value for key, value, _, step in points if step)


def fetch(client: MlflowClient, run_id: str, points: list[Point]) -> FetchedRun:
    """Fetch the run with this ID, and those of its curves that occur in `points`."""
    run = client.get_run(run_id)
    keys = {key for key, _, _, step in points if step} & run.data.metrics.keys()
    histories = {key: client.get_metric_history(run_id, key) for key in sorted(keys)}
    return FetchedRun(run, {(key, point.step): point.value for key, history in histories.items() for point in history})


def send(
    client: MlflowClient, experiment: str, run_id: str, folder: Path, record: Record, stored: FetchedRun | None
) -> None:
    """Complete the run from the record in `folder` and close it.

    stored: the run in the store; None if nothing has been added since `create`.
    """
    run = stored.run if stored else None
    if run and run.info.status == record.status and run.info.end_time == record.ended:
        return
    params, tags = (run.data.params, run.data.tags) if run else ({}, record.run.tags)
    model = _logged_model(client, experiment, run_id, record, run) if (folder / "model").is_dir() else None
    _log_batch(
        client,
        run_id,
        metrics=[_metric(point, model) for point in _new_points(stored, record.points)],
        params=[Param(key, value[:PARAM_LENGTH]) for key, value in record.params.items() if key not in params],
        tags=[RunTag(key, value) for key, value in record.tags.items() if tags.get(key) != value],
    )
    if record.inputs:
        client.log_inputs(run_id, [_input(entry) for entry in record.inputs])
    if (folder / "files").is_dir():
        client.log_artifacts(run_id, str(folder / "files"))
    if model and model.status != LoggedModelStatus.READY:
        _send_model(client, model, run_id, folder / "model")
    atomic_files.crash_point("log.before_close")
    client.set_terminated(run_id, record.status, record.ended)


def log_metrics(client: MlflowClient, run_id: str, points: list[Point], tags: dict[str, str]) -> None:
    """Log metrics (step 0) and tags of a run in one request."""
    metrics, run_tags = [_metric(point, None) for point in points], [RunTag(*item) for item in tags.items()]
    _log_batch(client, run_id, metrics=metrics, tags=run_tags)


def _log_batch(client: MlflowClient, run_id: str, **batch: Any) -> None:
    """Log and wait: with $MLFLOW_ENABLE_ASYNC_LOGGING, MLflow would drop a batch that fails, and raise nothing."""
    client.log_batch(run_id, **batch, synchronous=True)


def replace(client: MlflowClient, run: StoredRun, record: Record) -> str:
    """Create a new run for the record, give it the children of `run`, and delete `run`; return the new run's ID."""
    new_id = create(client, run.info.experiment_id, record.run, run.data.tags.get("mlflow.parentRunId"))
    _merge(client, run, new_id)
    return new_id


def _new_points(stored: FetchedRun | None, points: list[Point]) -> list[Point]:
    """Points that the run does not have yet. Curves are compared by step and value, scalars (step 0) by last value."""
    if stored is None:
        return points
    stored_values = {(key, 0): value for key, value in stored.run.data.metrics.items()} | stored.curves
    return [point for point in points if stored_values.get((point[0], point[3])) != point[1]]


def _metric(point: Point, model: LoggedModel | None) -> Metric:
    """Convert a point. Scalars of the run are also metrics of its model, but curves and system metrics are not."""
    key, value, time, step = point
    is_model_metric = step == 0 and not key.startswith("system/")
    return Metric(key, value, time, step, model_id=model.model_id if model and is_model_metric else None)


def _input(entry: DataInput) -> DatasetInput:
    source = {"url": entry.source} if "://" in entry.source else {"uri": entry.source}
    kind = "http" if "url" in source else "local"
    dataset = Dataset(entry.name, entry.digest[:DIGEST_DIGITS], kind, json.dumps(source))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", entry.context), InputTag("sha256", entry.digest)])


def _logged_model(
    client: MlflowClient, experiment: str, run_id: str, record: Record, stored: StoredRun | None
) -> LoggedModel:
    """Return the run's logged model; create and link it if necessary."""
    models = client.search_logged_models([experiment], f"source_run_id = '{run_id}'") if stored else []
    if models:
        model = models[0]
    else:
        names = ("dataset", "variant", "seed", "protocol", "role", "fingerprint", "data_digest", "weights_digest")
        tags = {name: record.tags[name] for name in names if name in record.tags}
        params = {key: value[:PARAM_LENGTH] for key, value in record.params.items()}
        model = client.create_logged_model(experiment, "model", run_id, tags, params)
    outputs: Any = stored.outputs.model_outputs if stored and stored.outputs else []
    if model.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return model


def _send_model(client: MlflowClient, model: LoggedModel, run_id: str, folder: Path) -> None:
    """Upload the model and only then mark it READY."""
    description = Model.load(str(folder))
    description.run_id, description.model_id = run_id, model.model_id
    description.artifact_path = model.artifact_location
    description.save(str(folder / "MLmodel"))
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
