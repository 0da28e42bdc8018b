"""No run is lost while a store is down, full or frozen: its record waits and is sent later, exactly once."""

import contextlib
import logging
import os
import re
import resource
import shutil
import signal
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live_servers import free_port, wait_for
from tracked_runs import (
    all_runs,
    client,
    health,
    history,
    log,
    result,
    results_in,
    server,
    spooled_ids,
    tags,
)

from feedforward import tracking
from feedforward.core.errors import TrackingError
from feedforward.tracking import records
from feedforward.tracking.registry import download

if TYPE_CHECKING:
    from feedforward.tracking import Store


def test_training_continues_without_a_store_and_results_are_reused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    store = tracking.open_store()
    parent = store.start(tags("variant", None), "original", resume=True)
    for seed in range(5):
        log(store, seed, parent)
    store.finish(parent, metrics={"mean_loss": 0.5})
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert len(spooled_ids()) == 6
    expected = {f"{seed:064x}": result(seed) for seed in range(5)}
    assert results_in(tracking.open_store(), "words", "fair", "replica", expected) == expected
    with pytest.raises(TrackingError):
        store.find_runs("words")
    assert store.reconcile() == 0
    synced = store.sync()
    assert (synced.sent, synced.waiting, len(synced.problems)) == (0, 6, 1)

    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # the same records, sent to the store of this checkout
    assert tracking.open_store().sync() == tracking.SyncResult(6, 0, [])
    runs = {run.tags.get("seed"): run for run in tracking.open_store().find_runs("words")}
    assert len(runs) == 6
    assert {runs[str(seed)].tags["mlflow.parentRunId"] for seed in range(5)} == {runs[None].run_id}


def test_a_waiting_child_is_sent_with_its_parent(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    store = tracking.open_store()
    log(store, 0, store.start(tags("variant", None), "original", resume=True))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    local_store = tracking.open_store()
    local_store.sync()
    parent = local_store.start(tags("variant", None), "original", resume=True)
    local_store.finish(parent, metrics={"mean_loss": 0.5})
    (parent_run,) = local_store.find_runs("words", role="variant")
    (child_run,) = local_store.find_runs("words", role="replica")
    assert child_run.tags["mlflow.parentRunId"] == parent_run.run_id


def test_a_damaged_record_does_not_block_the_others(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    store = tracking.open_store()
    runs = [log(store, seed) for seed in range(2)]
    (records.spool() / runs[0].id / "record.json").write_text('{"run": 1}')
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.open_store().sync().sent == 1
    assert "cannot be read" in caplog.text
    assert spooled_ids() == [runs[0].id]


@pytest.mark.proves("A full disk is reported in one line, and no record is lost")
def test_a_full_disk_is_reported_in_one_line_and_the_record_waits(
    store: "Store", caplog: pytest.LogCaptureFixture
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))  # bytes per file; the database is already larger
    try:
        log(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    (message,) = caplog.records
    assert re.fullmatch(
        r"sqlite:.*: start original seed 0 failed \(disk I/O error\); records that cannot be sent wait .*",
        message.message,
    )
    assert len(spooled_ids()) == 1
    assert tracking.open_store().sync() == tracking.SyncResult(1, 0, [])


class Refusing(BaseHTTPRequestHandler):
    """An S3 store that refuses all requests."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.mark.proves("A job finishes if the S3 store of its artifacts refuses it or does not answer")
@pytest.mark.parametrize(
    ("location", "key", "is_reachable", "reason"),
    [
        ("s3", "", True, "Unable to locate credentials"),
        ("s3", "a", False, "Could not connect to the endpoint"),
        ("s3", "a", True, r".*\b403\b"),
        ("gs", "", True, "No module named 'google.cloud'; install google-cloud-storage"),
    ],
    ids=["no credentials", "no answer", "no access", "no package"],
)
def test_a_record_waits_if_its_artifacts_cannot_be_written(
    store: "Store",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    location: str,
    key: str,
    is_reachable: bool,
    reason: str,
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        variables = {"SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "EC2_METADATA_DISABLED": "true"}
        variables |= {"MAX_ATTEMPTS": "1", "DEFAULT_REGION": "x", "ACCESS_KEY_ID": key, "SECRET_ACCESS_KEY": key}
        for name, value in variables.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        url = f"http://127.0.0.1:{endpoint.server_port if is_reachable else 9}"
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", url)  # MLflow keeps one client for each address
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # keeps the credentials of earlier tests
        client().create_experiment("words", f"{location}://bucket/words")
        log(store)
        assert re.search(
            rf"send original seed 0 failed \({reason}.*; records that cannot be sent wait in ", caplog.text
        )
        other = store.start(tags(dataset="other"), "other")
        store.finish(other, result=result())  # its artifacts are in a folder
        assert len(spooled_ids()) == (1 if is_reachable else 2)
        synced = store.sync()
        assert (synced.waiting, len(synced.problems)) == (len(spooled_ids()), 1)
        with pytest.raises(TrackingError, match=rf"^{location}://bucket/model: cannot be fetched \("):
            download(f"{location}://bucket/model", tmp_path)
        endpoint.shutdown()


@pytest.mark.proves("No metrics are lost if `MLFLOW_ENABLE_ASYNC_LOGGING` is set and a request fails")
def test_a_record_waits_if_its_metrics_are_rejected_although_mlflow_logs_asynchronously(
    store: "Store", workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    with contextlib.closing(sqlite3.connect(workspace / "mlruns" / "mlflow.db", isolation_level=None)) as database:
        database.execute("CREATE TRIGGER reject BEFORE INSERT ON metrics BEGIN SELECT RAISE(ABORT, 'rejected'); END")
        log(store)
        assert len(spooled_ids()) == 1
        database.execute("DROP TRIGGER reject")
    assert store.sync() == tracking.SyncResult(1, 0, [])
    (run,) = all_runs()
    assert history(run.info.run_id, "loss") == list(enumerate(result().curves["loss"], 1))


@pytest.mark.proves("Every record arrives exactly once, even if the tracking server was down or frozen")
@pytest.mark.slow
def test_no_record_is_lost_if_a_server_is_down_and_then_freezes(
    workspace: Path, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(1, "sigmoid")])
    port, folder = free_port(), tmp_path / "server"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    store = tracking.open_store()
    parent = store.start(tags("variant", None), "original", resume=True)
    log(store, 0, parent, model=model)
    assert len(spooled_ids()) == 1
    with server(folder, port) as process:
        assert store.sync() == tracking.SyncResult(1, 0, [])
        log(store, 1, parent, model=model)
        assert spooled_ids() == []
        unfinished = store.start(tags(seed=2, fingerprint=f"{2:064x}"), "original seed 2", parent)
        os.killpg(process.pid, signal.SIGSTOP)
        store.finish(unfinished, result=result(2), model=model)
        for seed in (3, 4):
            log(store, seed, parent, model=model)
        log(tracking.open_store(), 5, parent)  # another job finds the server frozen
        assert len(spooled_ids()) == 4
        os.killpg(process.pid, signal.SIGCONT)
        wait_for(health(port), process)
        assert store.sync() == tracking.SyncResult(4, 0, [])
        store.finish(parent, metrics={"mean_loss": 0.5})
        assert tracking.open_store().sync() == tracking.SyncResult(0, 0, [])
        assert_complete(6)


def assert_complete(replicas: int) -> None:
    """Check that each replica exists once, with its curves and result, under one parent, and five have a model."""
    store = tracking.open_store()
    runs = store.find_runs("words", role="replica")
    assert sorted(int(run.tags["seed"]) for run in runs) == list(range(replicas))
    assert len(all_runs()) == replicas + 1
    (parent,) = store.find_runs("words", role="variant")
    assert {run.tags["mlflow.parentRunId"] for run in runs} == {parent.run_id}
    for run in runs:
        assert history(run.run_id, "loss") == list(enumerate(result(int(run.tags["seed"])).curves["loss"], 1))
    expected = {f"{seed:064x}": result(seed) for seed in range(replicas)}
    assert results_in(store, "words", "fair", "replica", expected) == expected
    experiment = client().get_experiment_by_name("words").experiment_id
    models = [model for model in client().search_logged_models([experiment]) if str(model.status) == "READY"]
    assert len({model.source_run_id for model in models}) == len(models) == 5
