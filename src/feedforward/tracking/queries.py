"""Find runs and results in the store and in the spool."""

import contextlib
import dataclasses
import json
import logging
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as StoredRun

from feedforward.analysis.run_result import RunResult
from feedforward.core import atomic_files
from feedforward.core.errors import TrackingError
from feedforward.tracking import database, names, records, sync
from feedforward.tracking.connection import Connection, failures
from feedforward.tracking.records import LoggedRun, StoredResult

PAGE = 1000  # runs per request
LATEST_RUNS = 200  # read in one request when looking for results: 2 ms per run instead of 15 ms
RUNS_PER_RESULT = 8  # read in that request for each result sought, since a separate request would take as long
_logger = logging.getLogger("feedforward.tracking")


def results_in_spool(dataset: str, tags: Mapping[str, str]) -> dict[str, StoredResult]:
    """Results, by fingerprint, of the dataset's finished records with these tags that still wait to be sent."""
    results, experiment = {}, names.experiment(dataset)
    for folder, record in records.waiting_records():
        is_own = record.run.experiment == experiment  # projects can share a spool
        if is_own and record.status == "FINISHED" and tags.items() <= record.tags.items():
            with contextlib.suppress(ValueError, TypeError):
                text = _read_file(folder / "files" / records.RESULT, record.run.name)
                if text is not None:
                    result = read_result(text, record.tags)
                    results[record.tags["fingerprint"]] = _stored_result(result, record.tags, None)
    return results


def results_in_store(
    connection: Connection, dataset: str, tags: Mapping[str, str], fingerprints: Collection[str]
) -> dict[str, StoredResult]:
    """Results of finished runs by fingerprint; if several runs share a fingerprint, that of the latest complete run.

    If the store stops answering, those read until then.
    """
    results: dict[str, StoredResult] = {}

    def read(candidates: list[LoggedRun]) -> None:
        for run in candidates:
            fingerprint = run.tags.get("fingerprint", "")
            is_missing = fingerprint in fingerprints and fingerprint not in results
            if is_missing and _is_identified(run.tags):
                with contextlib.suppress(TrackingError):  # one result that cannot be read does not hide the others
                    if result := _result_of(connection, run):
                        results[fingerprint] = _stored_result(result, run.tags, run)

    limit = max(LATEST_RUNS, RUNS_PER_RESULT * len(fingerprints))
    with contextlib.suppress(TrackingError):  # reported by the connection
        latest_runs = _matching_runs(connection, dataset, "FINISHED", tags, limit)
        read(latest_runs)
        if len(latest_runs) == limit:  # a large store: send one request per fingerprint, and do not read all runs
            for fingerprint in set(fingerprints) - results.keys():
                read(runs(connection, dataset, "FINISHED", {**tags, "fingerprint": fingerprint}))
    return results


def runs(connection: Connection, dataset: str, status: str | None, tags: Mapping[str, str]) -> list[LoggedRun]:
    """Runs of the experiment `dataset` with that status and these tags, the latest first.

    Raises:
        TrackingError: the store does not answer. DataError: the folder of the runs' artifacts does not exist.
        ValueError: a tag contains a quote.
    """
    return [run for run in _matching_runs(connection, dataset, status, tags) if _is_identified(run.tags)]


def _matching_runs(
    connection: Connection, dataset: str, status: str | None, tags: Mapping[str, str], limit: int | None = None
) -> list[LoggedRun]:
    """As `runs`, at most `limit`, with those that lack identifying tags."""
    if invalid_values := [value for value in tags.values() if "'" in value]:
        raise ValueError(f"tags to search for must not contain a quote, got {invalid_values[0]}")
    parts = [f"tags.{key} = '{value}'" for key, value in tags.items()]
    parts += [f"attributes.status = '{status}'"] if status else []

    def search(_: bool) -> list[LoggedRun]:
        experiment = connection.client.get_experiment_by_name(names.experiment(dataset))
        if experiment is None:
            return []
        if not connection.is_server:
            database.require_artifacts(experiment)
        if experiment.lifecycle_stage == "active":
            sync.delete_restored_runs(connection.client, experiment)
        stored_runs = _search_runs(connection, [experiment.experiment_id], " and ".join(parts), limit)
        return list(map(_logged_run, stored_runs))

    return connection.attempt("search", search)


def _is_identified(tags: Mapping[str, str]) -> bool:
    """Whether a network's run still has the tags that identify it, which can be edited and deleted in MLflow."""
    is_network = tags.get("role") in ("replica", "final")
    required = {"seed", "fingerprint"} if is_network else set()
    return required <= tags.keys() and tags.get("seed", "0").isdecimal()


def runs_with_id_prefix(connection: Connection, prefix: str) -> list[LoggedRun]:
    """Runs, from any experiment, whose run ID starts with `prefix`.

    Raises:
        TrackingError: the store does not answer.
        ValueError: `prefix` does not consist of hexadecimal digits.
    """
    if set(prefix) - set("0123456789abcdef"):
        raise ValueError(f"a run ID consists of hexadecimal digits, got {prefix}")

    def search(_: bool) -> list[LoggedRun]:
        experiments = [experiment.experiment_id for experiment in connection.client.search_experiments()]
        stored_runs = _search_runs(connection, experiments, f"attributes.run_id LIKE '{prefix}%'")
        return [_logged_run(run) for run in stored_runs]

    return connection.attempt("search", search)


def running_runs(connection: Connection) -> list[StoredRun]:
    """All runs that are RUNNING, in all experiments."""
    experiments = [experiment.experiment_id for experiment in connection.client.search_experiments()]
    return _search_runs(connection, experiments, "attributes.status = 'RUNNING'")


def result_digest(result: RunResult) -> str:
    """SHA-256 (hex) of a result, used to verify the logged result."""
    return atomic_files.digest(dataclasses.asdict(result))


def read_result(text: str, tags: Mapping[str, str]) -> RunResult:
    """Parse the result in `text`; raise ValueError or TypeError if it is not the one that was logged."""
    entry = json.loads(text)
    # The digest is that of `entry`, not of a RunResult, because an older release logged fewer fields.
    if atomic_files.digest(entry) != tags.get("result_digest"):
        raise ValueError(f"{records.RESULT} is not the one that was logged")
    return RunResult(**entry)


def _stored_result(result: RunResult, tags: Mapping[str, str], run: LoggedRun | None) -> StoredResult:
    return StoredResult(result, tags.get("evaluation_digest", ""), run)


def _result_of(connection: Connection, run: LoggedRun) -> RunResult | None:
    """The result of the run; None if it is lost or damaged, or if its file cannot be read.

    Raises:
        TrackingError: the store does not send it now.
    """
    path = run.tags.get("result_file", records.RESULT)
    uri = f"{run.artifact_uri}/{path}"
    try:
        if uri.startswith("file://"):  # a hundred times faster than a request
            text = _read_file(Path(url2pathname(urlsplit(uri).path)), run.name)
        else:
            name = f"reading the result of {run.name}, which is therefore trained again,"
            text = connection.attempt(name, lambda _: _download(connection, run, path))
        return None if text is None else read_result(text, run.tags)
    except (ValueError, TypeError):
        return None


def _read_file(path: Path, run: str) -> str | None:
    """The text of the file with the result of a run; None if there is no such file, or it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        remedy = "to reuse it instead, stop the job, make the file readable, and run again"
        reason = error.strerror or error
        _logger.warning("%s: %s: the result cannot be read (%s), so it is trained again; %s", path, run, reason, remedy)
        return None


def _download(connection: Connection, run: LoggedRun, path: str) -> str | None:
    """The text of an artifact; None if the store answers that there is none."""
    uri = f"{run.artifact_uri}/{path}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            local_path = download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=connection.uri)
            return Path(local_path).read_text(encoding="utf-8")
    except failures():  # MLflow does not say whether the file is missing or cannot be read
        siblings = connection.client.list_artifacts(run.run_id, path.rpartition("/")[0] or None)
        if path in [entry.path for entry in siblings]:
            raise
        return None


def _search_runs(
    connection: Connection, experiments: list[str], where: str, limit: int | None = None
) -> list[StoredRun]:
    """All runs that match `where`, the latest first, at most `limit`."""
    stored_runs: list[StoredRun] = []
    token = None
    while True:
        size = min(PAGE, limit - len(stored_runs)) if limit else PAGE
        page = connection.client.search_runs(
            experiments, where, max_results=size, order_by=["attributes.start_time DESC"], page_token=token
        )
        stored_runs += page
        token = page.token
        if not token or len(stored_runs) == limit:
            return stored_runs


def _logged_run(run: StoredRun) -> LoggedRun:
    info, data = run.info, run.data
    return LoggedRun(
        run_id=info.run_id,
        name=info.run_name,
        status=info.status,
        tags=dict(data.tags),
        params=dict(data.params),
        metrics=dict(data.metrics),
        artifact_uri=info.artifact_uri,
    )
