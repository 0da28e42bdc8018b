"""A run exists only once, even if jobs, threads or requests repeat it or its record is sent twice."""

import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from threads import at_once
from tracked_runs import (
    DIGEST,
    all_runs,
    client,
    history,
    log,
    result,
    results_in,
    spooled_ids,
    tags,
)

from feedforward import tracking
from feedforward.tracking import DataInput, records

if TYPE_CHECKING:
    from feedforward.tracking import Store


def test_a_parent_run_is_reused_by_later_jobs(store: "Store") -> None:
    first = store.start(tags("variant", None), "original", resume=True)
    log(store, 0, first)
    store.finish(first, metrics={"mean_loss": 0.5, "replicas": 1.0}, params={"epochs": 20})
    next_store = tracking.open_store()
    resumed = next_store.start(tags("variant", None), "original", resume=True)
    assert [run.status for run in next_store.find_runs("words", None, role="variant")] == ["RUNNING"]
    log(next_store, 1, resumed)
    next_store.finish(resumed, metrics={"mean_loss": 0.5, "replicas": 2.0}, params={"epochs": 20})

    (parent,) = next_store.find_runs("words", role="variant")
    assert parent.metrics == {"mean_loss": 0.5, "replicas": 2.0}
    assert history(parent.run_id, "mean_loss") == [(0, 0.5)]
    children = next_store.find_runs("words", role="replica")
    assert {child.tags["mlflow.parentRunId"] for child in children} == {parent.run_id}
    assert len(all_runs()) == 3


def test_an_open_parent_run_is_returned_and_a_finished_one_is_started_again(store: "Store") -> None:
    first = store.start(tags("variant", None), "original", resume=True)
    assert store.start(tags("variant", None), "original", resume=True) is first
    store.finish(first, metrics={"mean_loss": 0.5})
    assert store.start(tags("variant", None), "original", resume=True) is not first
    assert [run.status for run in store.find_runs("words", None, role="variant")] == ["RUNNING"]


def test_a_failed_parent_run_is_resumed(store: "Store") -> None:
    store.fail(store.start(tags("variant", None), "original", resume=True), "no space left")
    assert [run.tags["error"] for run in store.find_runs("words", "FAILED")] == ["no space left"]
    store.finish(store.start(tags("variant", None), "original", resume=True), metrics={"mean_loss": 0.5})
    (run,) = all_runs()
    assert run.info.status == "FINISHED"
    assert "error" not in run.data.tags


def test_finishing_a_run_twice_logs_once(store: "Store") -> None:
    run = log(store)
    store.finish(run, result=result())
    (stored_run,) = all_runs()
    assert history(stored_run.info.run_id, "loss") == list(enumerate(result().curves["loss"], 1))
    assert history(stored_run.info.run_id, "third") == [(0, 1 / 3)]
    assert results_in(store, "words", "fair", "replica", [f"{0:064x}"]) == {f"{0:064x}": result()}


def test_sending_a_record_twice_changes_nothing(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = log(tracking.open_store(), params={"epochs": 20}, inputs=[DataInput("words", DIGEST, "training", "data")])
    shutil.copytree(records.spool() / run.id, tmp_path / "copy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    store = tracking.open_store()
    assert store.sync() == tracking.SyncResult(1, 0, [])
    (before,) = all_runs()
    client().set_terminated(before.info.run_id, "KILLED")  # as if the process had died just before it closed the run
    shutil.copytree(tmp_path / "copy", records.spool() / run.id)
    assert store.sync() == tracking.SyncResult(1, 0, [])
    (after,) = all_runs()
    assert (after.info.status, after.info.end_time) == (before.info.status, before.info.end_time)
    assert after.data.metrics == before.data.metrics
    assert len(after.inputs.dataset_inputs) == 1
    assert history(after.info.run_id, "loss") == list(enumerate(result().curves["loss"], 1))


@pytest.mark.proves("A run that a late request created a second time exists only once in the end")
def test_a_duplicate_run_from_a_late_request_is_removed(store: "Store") -> None:
    from feedforward.tracking import sync

    run = log(store)
    experiment = client().get_experiment_by_name("words").experiment_id
    sync.create(client(), experiment, run, None)
    assert len(all_runs()) == 2
    remaining = sync.find(client(), experiment, run.id)
    assert remaining is not None
    assert remaining.info.status == "FINISHED"
    assert [run.info.run_id for run in all_runs()] == [remaining.info.run_id]


@pytest.mark.slow
def test_threads_log_concurrently(store: "Store") -> None:
    parent = store.start(tags("variant", None), "original")
    at_once(lambda seed: log(store, seed, parent), range(8))
    runs = store.find_runs("words", role="replica")
    assert {run.tags["seed"] for run in runs} == {str(seed) for seed in range(8)}
    for run in runs:
        assert history(run.run_id, "val_loss") == list(enumerate(result(int(run.tags["seed"])).curves["val_loss"], 1))
    assert spooled_ids() == []


@pytest.mark.proves("Jobs that start the same parent run at the same time share one")
def test_concurrent_threads_resume_the_same_parent_run(store: "Store") -> None:
    barrier = threading.Barrier(6)

    def log_seed(seed: int) -> None:
        barrier.wait()
        log(store, seed, store.start(tags("variant", None), "original", resume=True))

    at_once(log_seed, range(6))
    (parent,) = store.find_runs("words", status=None, role="variant")
    assert {run.tags["mlflow.parentRunId"] for run in store.find_runs("words", role="replica")} == {parent.run_id}
