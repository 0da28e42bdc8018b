"""Results of finished runs are reused bit for bit; damaged or unfinished ones are not."""

import contextlib
import dataclasses
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient
from tracked_runs import (
    DIGEST,
    client,
    log,
    result,
    results_in,
    tags,
)

from feedforward import tracking
from feedforward.core import atomic_files
from feedforward.tracking import records, settings

if TYPE_CHECKING:
    from feedforward.tracking import Store


def test_a_finished_run_is_reused_bit_for_bit(store: "Store") -> None:
    expected = {f"{seed:064x}": result(seed) for seed in range(3)}
    for seed in range(3):
        log(store, seed)
    reused = results_in(tracking.open_store(), "words", "fair", "replica", [*expected, DIGEST])
    assert reused == expected
    for fingerprint, run in expected.items():
        assert [x.hex() for x in reused[fingerprint].curves["loss"]] == [x.hex() for x in run.curves["loss"]]


def test_older_results_are_found_in_a_large_store(store: "Store", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedforward.tracking.queries.LATEST_RUNS", 2)
    monkeypatch.setattr("feedforward.tracking.queries.RUNS_PER_RESULT", 0)
    for seed in range(4):
        log(store, seed)
    expected = {f"{seed:064x}": result(seed) for seed in range(4)}
    assert results_in(store, "words", "fair", "replica", [*expected, DIGEST]) == expected
    [latest] = store.find_runs("words", fingerprint=f"{3:064x}")
    MlflowClient(settings.tracking_uri()).delete_tag(latest.run_id, "seed")
    del expected[f"{3:064x}"]
    assert results_in(store, "words", "fair", "replica", [*expected, DIGEST]) == expected


def test_many_results_are_read_page_by_page(store: "Store", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedforward.tracking.queries.PAGE", 2)
    monkeypatch.setattr("feedforward.tracking.queries.LATEST_RUNS", 3)
    monkeypatch.setattr("feedforward.tracking.queries.RUNS_PER_RESULT", 1)
    for seed in range(5):
        log(store, seed)
    expected = {f"{seed:064x}": result(seed) for seed in range(5)}
    assert results_in(store, "words", "fair", "replica", list(expected)) == expected


def test_only_runs_with_the_same_protocol_and_role_are_reused(store: "Store") -> None:
    log(store)
    fingerprints = [f"{0:064x}"]
    assert store.find_results("words", "fair", "replica", fingerprints)
    assert not store.find_results("words", "lecture", "replica", fingerprints)
    assert not store.find_results("words", "fair", "final", fingerprints)
    assert not store.find_results("pictures", "fair", "replica", fingerprints)


def test_an_unfinished_run_is_not_reused(store: "Store") -> None:
    store.fail(store.start(tags(), "broken"), "disk full")
    store.start(tags(), "still training")
    assert store.find_results("words", "fair", "replica", [DIGEST]) == {}


@pytest.mark.proves("Runs that were deleted in MLflow stay deleted, also if their experiment was deleted")
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_deleted_run_is_not_reused_after_its_experiment_was_deleted_and_restored(
    store: "Store", workspace: Path, caplog: pytest.LogCaptureFixture, interrupted: bool
) -> None:
    for seed in range(2):
        log(store, seed)
    [run] = store.find_runs("words", seed="0")
    client().delete_run(run.run_id)
    client().delete_experiment(client().get_experiment_by_name("words").experiment_id)
    assert store.find_runs("words") == []
    restoring_store = tracking.open_store()
    if interrupted:  # after MLflow has restored the experiment with its runs, none of them can be deleted
        with contextlib.closing(sqlite3.connect(workspace / "mlruns" / "mlflow.db", isolation_level=None)) as database:
            database.execute(
                "CREATE TRIGGER lock BEFORE UPDATE ON runs WHEN NEW.lifecycle_stage = 'deleted'"
                " BEGIN SELECT RAISE(ABORT, 'database is locked'); END"
            )
            log(restoring_store, 2)
            assert len(client().search_runs([client().get_experiment_by_name("words").experiment_id])) == 2
            database.execute("DROP TRIGGER lock")
        restoring_store = tracking.open_store()
        fingerprints = [f"{seed:064x}" for seed in range(2)]
        assert restoring_store.find_results("words", "fair", "replica", fingerprints) == {}
        restoring_store.sync()
    else:
        log(restoring_store, 2)
    warning = "experiment words had been deleted; it was restored without its 2 runs; restore those you need in MLflow"
    assert caplog.messages.count(warning) == 1
    assert [run.tags["seed"] for run in restoring_store.find_runs("words")] == ["2"]
    client().restore_run(run.run_id)
    assert len(tracking.open_store().find_runs("words")) == 2


@pytest.mark.parametrize("damage", ["removed", "changed", "truncated"])
def test_a_run_with_a_lost_or_changed_result_is_not_reused(store: "Store", workspace: Path, damage: str) -> None:
    log(store)
    (path,) = (workspace / "mlruns" / "artifacts").rglob("result.json")
    text = path.read_text()
    path.write_text({"removed": "", "changed": text.replace('"seed": 0', '"seed": 1'), "truncated": text[:100]}[damage])
    if damage == "removed":
        path.unlink()
    assert store.find_results("words", "fair", "replica", [f"{0:064x}"]) == {}
    log(store)  # trained again: the new run is used, and the damaged one stays in the store
    assert results_in(store, "words", "fair", "replica", [f"{0:064x}"]) == {f"{0:064x}": result()}


@pytest.mark.proves("A result that cannot be read is trained again with a warning, and hides no other result")
@pytest.mark.parametrize("where", ["store", "spool"])
def test_a_result_that_cannot_be_read_is_reported_and_hides_no_other(
    store: "Store", workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    if where == "spool":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        store = tracking.open_store()
    for seed in range(3):
        log(store, seed)
    caplog.clear()
    [path] = [path for path in (workspace / "mlruns").rglob("result.json") if json.loads(path.read_text())["seed"] == 1]
    kept = path.rename(path.with_name("kept"))
    path.symlink_to(path)  # as with a failing disk, reading it is an error, and does not say that it is lost
    expected = {f"{seed:064x}": result(seed) for seed in range(3)}
    del expected[f"{1:064x}"]
    assert results_in(store, "words", "fair", "replica", [*expected, f"{1:064x}"]) == expected
    assert "result.json: original seed 1: the result cannot be read (" in caplog.text
    assert "records that cannot be sent" not in caplog.text
    kept.replace(path)
    expected[f"{1:064x}"] = result(1)
    assert results_in(store, "words", "fair", "replica", expected) == expected


def test_a_record_that_cannot_be_read_hides_no_other(store: "Store", caplog: pytest.LogCaptureFixture) -> None:
    (records.spool() / "unreadable" / "record.json").mkdir(parents=True)
    log(store)
    assert results_in(store, "words", "fair", "replica", [f"{0:064x}"]) == {f"{0:064x}": result()}
    assert store.sync() == tracking.SyncResult(0, 0, [])
    assert "unreadable: cannot be read (" in caplog.text


def test_a_result_from_an_older_version_with_fewer_fields_is_read() -> None:
    """Stores of older versions keep working."""
    from feedforward.tracking import queries

    entry = {name: value for name, value in dataclasses.asdict(result()).items() if name not in ("errors", "samples")}
    run_tags = {"result_digest": atomic_files.digest(entry)}
    assert queries.read_result(json.dumps(entry), run_tags) == dataclasses.replace(result(), errors={}, samples={})
