"""Runs and results that the store holds already."""

import contextlib
import dataclasses
import json
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as StoredRun
from mlflow.exceptions import MlflowException

from feedforward.analysis.run_result import RunResult
from feedforward.core import atomic_files
from feedforward.tracking import records
from feedforward.tracking.connection import Connection, first_line
from feedforward.tracking.records import Found

PAGE = 1000  # runs a request
NEAR = 200  # runs that are read at once to find results: 2 ms each; one by one they take 15 ms


def results_in_spool(wanted: Mapping[str, str]) -> dict[str, RunResult]:
    """Results by fingerprint of finished records with the `wanted` tags that still wait to be sent."""
    found = {}
    for folder, record in records.waiting():
        if record.status == "FINISHED" and wanted.items() <= record.tags.items():
            with contextlib.suppress(OSError, ValueError, TypeError):
                text = (folder / "files" / records.RESULT).read_text(encoding="utf-8")
                found[record.tags["fingerprint"]] = read_result(text, record.tags)
    return found


def results_in_store(
    connection: Connection, dataset: str, tags: Mapping[str, str], fingerprints: Collection[str]
) -> dict[str, RunResult]:
    """Results by fingerprint of finished runs; of several the latest that is whole.

    Raises:
        TrackingError: the store does not answer.
    """
    found: dict[str, RunResult] = {}

    def look_at(candidates: list[Found]) -> None:
        for run in candidates:
            fingerprint = run.tags.get("fingerprint", "")
            if fingerprint in fingerprints and fingerprint not in found and (result := _result_of(connection, run)):
                found[fingerprint] = result

    latest = runs(connection, dataset, "FINISHED", tags, NEAR)
    look_at(latest)
    if len(latest) == NEAR:  # a large store: one question a fingerprint instead of reading all of it
        for fingerprint in set(fingerprints) - found.keys():
            look_at(runs(connection, dataset, "FINISHED", {**tags, "fingerprint": fingerprint}))
    return found


def runs(
    connection: Connection, dataset: str, status: str | None, tags: Mapping[str, str], most: int | None = None
) -> list[Found]:
    """Runs of the experiment `dataset` with that status and these tags, the latest first, `most` at most.

    Raises:
        TrackingError: the store does not answer.
        ValueError: a tag holds a quote.
    """
    if bad := [value for value in tags.values() if "'" in value]:
        raise ValueError(f"tags to search for must hold no quote, got {bad[0]}")
    parts = [f"tags.{key} = '{value}'" for key, value in tags.items()]
    parts += [f"attributes.status = '{status}'"] if status else []

    def search(_: bool) -> list[Found]:
        experiment = connection.client.get_experiment_by_name(dataset)
        if experiment is None:
            return []
        return [_found(run) for run in _pages(connection, [experiment.experiment_id], " and ".join(parts), most)]

    return connection.attempt("search", search)


def running(connection: Connection) -> list[StoredRun]:
    """Runs of all experiments that processes of any host left or keep RUNNING."""
    experiments = [experiment.experiment_id for experiment in connection.client.search_experiments()]
    return _pages(connection, experiments, "attributes.status = 'RUNNING'")


def result_digest(result: RunResult) -> str:
    """SHA-256 (hex) by which a result that was logged is known again."""
    return atomic_files.digest(dataclasses.asdict(result))


def read_result(text: str, tags: Mapping[str, str]) -> RunResult:
    """The result that `text` holds; ValueError or TypeError if it is not the one that was logged."""
    result = RunResult(**json.loads(text))
    if result_digest(result) != tags.get("result_digest"):
        raise ValueError(f"{records.RESULT} is not the one that was logged")
    return result


def _result_of(connection: Connection, run: Found) -> RunResult | None:
    began = time.monotonic()
    try:
        return read_result(_artifact(connection, f"{run.artifact_uri}/{records.RESULT}"), run.tags)
    except (ValueError, TypeError):
        return None
    except (MlflowException, OSError) as error:  # lost, or the store does not answer any more
        if connection.answers(began):
            return None
        raise connection.give_up(f"reading {run.name} failed ({first_line(error)})") from None


def _artifact(connection: Connection, uri: str) -> str:
    if uri.startswith("file://"):  # a hundred times faster than to ask for it
        return Path(urllib.request.url2pathname(urllib.parse.urlsplit(uri).path)).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        path = download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=connection.uri)
        return Path(path).read_text(encoding="utf-8")


def _pages(connection: Connection, experiments: list[str], where: str, most: int | None = None) -> list[StoredRun]:
    found: list[StoredRun] = []
    token = None
    while True:
        page = connection.client.search_runs(
            experiments, where, max_results=most or PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        found += page
        token = page.token
        if not token or most:
            return found


def _found(run: StoredRun) -> Found:
    info, data = run.info, run.data
    return Found(
        run_id=info.run_id,
        name=info.run_name,
        status=info.status,
        tags=dict(data.tags),
        params=dict(data.params),
        metrics=dict(data.metrics),
        artifact_uri=info.artifact_uri,
    )
