"""The model registry: versions of one registered model per dataset, their aliases and tags."""

import contextlib
import errno
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from feedforward.core import atomic_files
from feedforward.core.errors import DataError, TrackingError, one_line
from feedforward.core.redaction import redact, redact_json
from feedforward.tracking import model_folder, names, records, settings
from feedforward.tracking.connection import Connection, failures, first_line
from feedforward.tracking.model_version import SERVED, Version
from feedforward.tracking.queries import runs, runs_with_id_prefix
from feedforward.tracking.records import LoggedRun

DESCRIPTION_LENGTH = 5000  # of MLflow's field
MAX_MODEL_BYTES = 2**30
DISK_FULL = re.compile(rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG})\]")  # the store itself may be intact
NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # error codes: no such model or alias


class Registry:
    """MLflow's registry. Every method calls the store and raises TrackingError if the call fails."""

    def __init__(self, uri: str | None = None) -> None:
        self._connection = Connection(uri or settings.tracking_uri())
        self._client = self._connection.client

    def find_runs(self, dataset: str, **tags: str) -> list[LoggedRun]:
        """Finished runs with these tags, the latest first."""
        return runs(self._connection, dataset, "FINISHED", tags)

    def runs_with_id_prefix(self, prefix: str) -> list[LoggedRun]:
        """Runs, from any experiment and with any status, whose run ID starts with `prefix` (hexadecimal digits)."""
        return runs_with_id_prefix(self._connection, prefix)

    def model_files(self, run: LoggedRun) -> dict[str, bytes]:
        """The files of the model that the run logged, by name: the .keras file and the files of its NumPy form.

        Raises:
            DataError: the run logged no complete model, or a file of it is missing or too large.
        """
        title = f"run {run.name} ({run.run_id})"
        try:
            experiment = self._client.get_run(run.run_id).info.experiment_id
            logged_models = self._client.search_logged_models([experiment], f"source_run_id = '{run.run_id}'")
            # the models of registered versions, named SERVED, belong to the run as well
            models = [
                model for model in logged_models if model.name != SERVED and model.status == LoggedModelStatus.READY
            ]
            if not models:
                raise DataError(f"{title}: logged no complete model; {records.TRAIN_AGAIN}")
            with tempfile.TemporaryDirectory() as folder:
                model = download(models[0].artifact_location, Path(folder))
                files = [model / "data" / "model.keras", *sorted((model / model_folder.NETWORK).glob("*"))]
                if not all(path.is_file() and path.stat().st_size <= MAX_MODEL_BYTES for path in files):
                    raise DataError(f"{title}: a file of its model is missing or too large; {records.TRAIN_AGAIN}")
                return {path.name: path.read_bytes() for path in files}
        except failures() as error:
            raise TrackingError(f"reading the model of run {run.run_id} failed ({first_line(error)})") from None

    def curve(self, run: LoggedRun, name: str) -> list[float]:
        """The values of a curve, one per epoch."""
        try:
            points = self._client.get_metric_history(run.run_id, name)
        except MlflowException as error:
            raise self._error(f"reading {name} of run {run.run_id}", error) from None
        return [point.value for point in sorted(points, key=lambda point: point.step) if point.step > 0]

    # --- versions ----------------------------------------------------------------------------

    def find(self, dataset: str, alias_or_number: str | int) -> Version | None:
        """Find the version with an alias or number; None if there is none."""
        name = names.registered_model(dataset)
        try:
            if isinstance(alias := alias_or_number, str):
                return _version(
                    dataset, self._connection.call(lambda: self._client.get_model_version_by_alias(name, alias))
                )
            number = str(alias_or_number)
            return _version(dataset, self._connection.call(lambda: self._client.get_model_version(name, number)))
        except failures() as error:
            if isinstance(error, MlflowException) and error.error_code in NOT_FOUND:
                return None
            raise self._error(f"reading {dataset} {alias_or_number}", error) from None

    def versions(self, dataset: str, run_id: str | None = None) -> list[Version]:
        """All versions, or those of a run, the latest first."""
        where = f"name = '{names.registered_model(dataset)}'" + (f" and run_id = '{run_id}'" if run_id else "")
        try:
            versions, token = [], None
            while True:
                page = self._client.search_model_versions(where, order_by=["version_number DESC"], page_token=token)
                versions += [_version(dataset, version) for version in page]
                token = page.token
                if not token:
                    return versions
        except MlflowException as error:
            raise self._error(f"reading the versions of {dataset}", error) from None

    def register(self, dataset: str, run_id: str, folders: Mapping[str, Path], tags: Mapping[str, str]) -> Version:
        """Create a version of the registered model `dataset` from these folders; it becomes visible once complete.

        folders: name → folder; MLflow's own server loads the folder named SERVED.
        """
        try:
            experiment = self._client.get_run(run_id).info.experiment_id
            model = self._client.create_logged_model(experiment, SERVED, run_id)
            with tempfile.TemporaryDirectory() as temporary:
                version_folder = Path(temporary) / "version"
                description = Model(artifact_path=model.artifact_location, run_id=run_id, model_id=model.model_id)
                model_folder.save_version(folders[SERVED], version_folder, description)
                self._client.log_model_artifacts(model.model_id, str(version_folder))
            for name, folder in folders.items():
                if name != SERVED:
                    self._client.log_model_artifacts(model.model_id, str(folder), name)
            self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
            atomic_files.crash_point("promote.before_register")
            with contextlib.suppress(MlflowException):  # the registered model may already exist
                self._client.create_registered_model(names.registered_model(dataset))
            model_version = self._client.create_model_version(
                names.registered_model(dataset),
                model.artifact_location,
                run_id,
                {key: redact_json(value) for key, value in {**tags, "model_id": model.model_id}.items()},
                model_id=model.model_id,
            )
        except failures() as error:
            raise self._error(f"registering a version of {dataset}", error) from None
        return _version(dataset, model_version)

    def add(self, version: Version, folder: Path, name: str) -> None:
        """Add the files of `folder` to the version, in its folder `name`."""
        try:
            self._client.log_model_artifacts(version.tags["model_id"], str(folder), name)
        except failures() as error:
            raise self._error(f"adding {name} to {version.name}", error) from None

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags of the version."""
        try:
            for key, value in tags.items():
                self._client.set_model_version_tag(
                    names.registered_model(version.dataset), str(version.number), key, redact_json(value)
                )
        except MlflowException as error:
            raise self._error(f"tagging {version.name}", error) from None

    def describe(self, version: Version, text: str) -> None:
        """Set the description of the version, in Markdown."""
        try:
            self._client.update_model_version(
                names.registered_model(version.dataset), str(version.number), redact(text)[:DESCRIPTION_LENGTH]
            )
        except MlflowException as error:
            raise self._error(f"describing {version.name}", error) from None

    def set_alias(self, version: Version, alias: str) -> None:
        """Move the alias to the version."""
        try:
            self._client.set_registered_model_alias(names.registered_model(version.dataset), alias, str(version.number))
        except MlflowException as error:
            raise self._error(f"making {version.name} {alias}", error) from None

    def remove_alias(self, version: Version, alias: str) -> None:
        """Remove the alias if it belongs to the version."""
        name = names.registered_model(version.dataset)
        try:
            if self._client.get_model_version(name, str(version.number)).aliases.count(alias):
                self._client.delete_registered_model_alias(name, alias)
        except MlflowException as error:
            raise self._error(f"removing the alias {alias} of {version.name}", error) from None

    def _error(self, action: str, error: Exception) -> TrackingError:
        return TrackingError(f"{redact(self._connection.uri)}: {action} failed ({first_line(error)}); try again")


def download(uri: str, target: Path) -> Path:
    """Download a folder of artifacts into `target`, a temporary folder; return its path there.

    Raises:
        TrackingError: it cannot be fetched.
    """
    try:
        return Path(download_artifacts(uri, dst_path=str(target), tracking_uri=settings.tracking_uri()))
    except failures() as error:
        reason = first_line(error) if isinstance(error, ImportError) else one_line(str(error))
        remedy = f"try again once the store answers; if files are lost, restore a backup, or {records.TRAIN_AGAIN}"
        if DISK_FULL.search(reason):
            remedy = f"free space in {target.parent}, or set TMPDIR to a folder with more space, then run again"
        raise TrackingError(redact(f"{uri}: cannot be fetched ({reason[:400]}); {remedy}")) from None


def _version(dataset: str, version: ModelVersion) -> Version:
    return Version(dataset, int(version.version), version.run_id, version.source, dict(version.tags))
