"""Against real stores: sqlite in a temporary folder, killed child processes, an `mlflow server` that freezes."""

import contextlib
import dataclasses
import logging
import math
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tracked_runs import (
    DIGEST,
    all_runs,
    child,
    client,
    free_port,
    history,
    in_spool,
    log,
    result,
    server,
    tags,
    wait_for,
)

from feedforward import tracking
from feedforward.core import provenance
from feedforward.core.errors import TrackingError, TrainingError
from feedforward.tracking import DataInput, Sample, database, mlflow_tables, records

if TYPE_CHECKING:
    from feedforward.tracking import Store


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "work"
    (root / "mlruns").mkdir(parents=True)
    (root / "params.yaml").write_text("seeds: 1\n")
    shutil.copy(empty_database, root / "mlruns" / "mlflow.db")
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.fixture
def store(workspace: Path) -> "Store":
    return tracking.open_store()


# --- what is kept ----------------------------------------------------------------------------


@pytest.mark.slow
def test_everything_of_a_run_is_found_by_a_plain_client(store: "Store", workspace: Path) -> None:
    import keras
    from matplotlib.figure import Figure

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")])
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([1, 2])
    (workspace / "table.csv").write_text("a,b\n")
    inputs = [
        DataInput("words train", DIGEST, "training", "data/vectorized/words/train"),
        DataInput("words validation", DIGEST, "validation", "https://host/words.tar"),
    ]
    parent = store.start(tags("variant", None), "original")
    run = log(
        store,
        parent=parent,
        params={"epochs": 20, "optimizer.name": "rmsprop", "learning_rate": 1e-3},
        files={"figures/loss.png": figure, "table.csv": workspace / "table.csv", "note.txt": "é"},
        model=model,
        inputs=inputs,
        samples=[Sample(5, {"cpu_utilization_percentage": 50.0}), Sample(6, {"cpu_utilization_percentage": 60.0})],
    )
    store.finish(parent, metrics={"mean_best_val_cross_entropy": 0.25})

    children = [each for each in all_runs() if each.data.tags["role"] == "replica"]
    assert len(children) == 1
    kept = client().get_run(children[0].info.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.info.run_name == "original seed 0"
    assert client().get_experiment(kept.info.experiment_id).name == "words"
    expected = tags(fingerprint=f"{0:064x}").tags() | {"weights_digest": DIGEST, "record_id": run.id}
    assert expected.items() <= kept.data.tags.items()
    assert {"git_commit", "git_dirty", "version.keras", "cpu", "host"} <= kept.data.tags.keys()
    above = client().get_run(kept.data.tags["mlflow.parentRunId"])
    assert (above.data.tags["role"], above.data.metrics) == ("variant", {"mean_best_val_cross_entropy": 0.25})
    assert kept.data.params == {"epochs": "20", "optimizer.name": "rmsprop", "learning_rate": "0.001"}

    logged = result()
    for name, curve in logged.curves.items():
        assert history(kept.info.run_id, name) == list(enumerate(curve, 1))
    assert {name: kept.data.metrics[name] for name in logged.metrics} == logged.metrics
    assert history(kept.info.run_id, "system/cpu_utilization_percentage") == [(0, 50.0), (1, 60.0)]

    listed = {each.path for each in client().list_artifacts(kept.info.run_id)}
    assert {"figures", "table.csv", "note.txt", "result.json"} <= listed
    assert [each.path for each in client().list_artifacts(kept.info.run_id, "figures")] == ["figures/loss.png"]
    local = client().download_artifacts(kept.info.run_id, "figures/loss.png", str(workspace))
    assert Path(local).read_bytes().startswith(b"\x89PNG")

    used = {each.dataset.name: each for each in kept.inputs.dataset_inputs}
    assert used.keys() == {"words train", "words validation"}
    assert used["words train"].dataset.digest == DIGEST[:36]
    assert {tag.key: tag.value for tag in used["words validation"].tags} == {
        "mlflow.data.context": "validation",
        "sha256": DIGEST,
    }
    assert_model_answers(kept, model)
    assert in_spool() == []


def assert_model_answers(kept: Any, model: Any) -> None:
    """The logged model loads back from its own address and gives the same probabilities."""
    import mlflow

    model_id = kept.outputs.model_outputs[0].model_id
    logged = client().get_logged_model(model_id)
    assert str(logged.status) == "READY"
    assert logged.source_run_id == kept.info.run_id
    assert {metric.key for metric in logged.metrics} >= {"best_val_cross_entropy"}
    folder = mlflow.artifacts.download_artifacts(logged.artifact_location)
    described = mlflow.models.Model.load(folder)
    assert (described.model_id, described.run_id) == (model_id, kept.info.run_id)
    assert described.signature.inputs.inputs[0].shape == (-1, 7)
    assert described.signature.outputs.inputs[0].shape == (-1, 1)
    needed = (Path(folder) / "requirements.txt").read_text().split()
    assert {re.split("==", line)[0].removesuffix("-cpu") for line in needed} == {
        "keras",
        "tensorflow",
        "mlflow",
        "numpy",
    }
    assert not list(Path(folder).rglob("*.pkl"))
    features = np.linspace(0, 1, 21, dtype=np.float32).reshape(3, 7)
    again = mlflow.keras.load_model(folder)
    np.testing.assert_array_equal(again.predict(features, verbose=0), model.predict(features, verbose=0))


def test_runs_are_found_by_their_tags(store: "Store") -> None:
    for seed in range(3):
        log(store, seed)
    open_run = store.start(tags(seed=9), "still training")
    assert {found.tags["seed"] for found in store.find_runs("words", role="replica")} == {"0", "1", "2"}
    assert [found.tags["seed"] for found in store.find_runs("words", seed="1")] == ["1"]
    running = store.find_runs("words", status="RUNNING")
    assert [found.tags["record_id"] for found in running] == [open_run.id]
    assert store.find_runs("words", role="final") == []
    assert store.find_runs("pictures") == []
    with pytest.raises(ValueError, match="no quote"):
        store.find_runs("words", variant="a' or '1")


def test_long_parameters_are_cut_where_mlflow_cuts_them(store: "Store") -> None:
    log(store, params={"long": "x" * 7000})
    assert len(all_runs()[0].data.params["long"]) == 6000


def test_a_folder_is_one_run_that_is_renewed(store: "Store", tmp_path: Path) -> None:
    folder = tmp_path / "comparison"
    (folder / "figures").mkdir(parents=True)
    (folder / "table.csv").write_text("first")
    (folder / "figures" / "a.png").write_bytes(b"1")
    store.log_folder(tags("comparison", None), "comparison", folder, {"variants": 5.0})
    (folder / "table.csv").write_text("second")
    store.log_folder(tags("comparison", None), "comparison", folder, {"variants": 5.0})
    (run,) = all_runs()
    assert run.info.status == "FINISHED"
    assert history(run.info.run_id, "variants") == [(0, 5.0)]
    path = client().download_artifacts(run.info.run_id, "table.csv", str(tmp_path))
    assert Path(path).read_text() == "second"
    assert [each.path for each in client().list_artifacts(run.info.run_id, "figures")] == ["figures/a.png"]


@pytest.mark.slow
def test_the_machine_is_sampled_while_a_block_runs() -> None:
    with tracking.sampling(0.2) as samples:
        time.sleep(0.5)
    assert 2 <= len(samples) <= 4
    for sample in samples:
        assert {"cpu_utilization_percentage", "system_memory_usage_megabytes"} <= sample.values.keys()
        assert all(math.isfinite(value) for value in sample.values.values())
    assert samples[0].time < samples[-1].time


# --- reuse -----------------------------------------------------------------------------------


def test_a_finished_run_is_reused_bit_for_bit(store: "Store") -> None:
    wanted = {f"{seed:064x}": result(seed) for seed in range(3)}
    for seed in range(3):
        log(store, seed)
    found = tracking.open_store().find_results("words", "fair", "replica", [*wanted, DIGEST])
    assert found == wanted
    for key, value in wanted.items():
        assert [x.hex() for x in found[key].curves["loss"]] == [x.hex() for x in value.curves["loss"]]


def test_in_a_large_store_older_results_are_found_too(store: "Store", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedforward.tracking.queries.NEAR", 2)
    for seed in range(4):
        log(store, seed)
    wanted = {f"{seed:064x}": result(seed) for seed in range(4)}
    assert store.find_results("words", "fair", "replica", [*wanted, DIGEST]) == wanted


def test_only_the_same_protocol_and_role_are_reused(store: "Store") -> None:
    log(store)
    key = [f"{0:064x}"]
    assert store.find_results("words", "fair", "replica", key)
    assert not store.find_results("words", "lecture", "replica", key)
    assert not store.find_results("words", "fair", "final", key)
    assert not store.find_results("pictures", "fair", "replica", key)


def test_a_run_that_is_not_finished_is_not_reused(store: "Store") -> None:
    store.fail(store.start(tags(), "broken"), "disk full")
    store.start(tags(), "still training")
    assert store.find_results("words", "fair", "replica", [DIGEST]) == {}


@pytest.mark.parametrize("damage", ["removed", "changed", "cut"])
def test_a_run_whose_result_is_lost_or_changed_is_not_reused(store: "Store", workspace: Path, damage: str) -> None:
    log(store)
    (path,) = (workspace / "mlruns" / "artifacts").rglob("result.json")
    text = path.read_text()
    path.write_text({"removed": "", "changed": text.replace('"seed": 0', '"seed": 1'), "cut": text[:100]}[damage])
    if damage == "removed":
        path.unlink()
    assert store.find_results("words", "fair", "replica", [f"{0:064x}"]) == {}
    log(store)  # trained again: the whole run counts, the damaged one stays
    assert store.find_results("words", "fair", "replica", [f"{0:064x}"]) == {f"{0:064x}": result()}


def test_a_moved_checkout_keeps_its_artifacts_and_leaves_the_original_alone(
    store: "Store", workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(store, 0)
    moved = workspace.with_name("it's moved")
    shutil.copytree(workspace, moved)
    before = sorted(workspace.rglob("*"))
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(moved))
    there = tracking.open_store()
    shutil.rmtree(workspace / "mlruns" / "artifacts")
    assert there.find_results("words", "fair", "replica", [f"{0:064x}"])
    log(there, 1)
    assert len(list((moved / "mlruns" / "artifacts").rglob("result.json"))) == 2
    assert not [path for path in workspace.rglob("*") if path not in before]


# --- one run, one time -----------------------------------------------------------------------


def test_a_parent_is_kept_over_several_jobs(store: "Store") -> None:
    first = store.start(tags("variant", None), "original", resume=True)
    log(store, 0, first)
    store.finish(first, metrics={"mean_loss": 0.5, "replicas": 1.0}, params={"epochs": 20})
    later = tracking.open_store()
    again = later.start(tags("variant", None), "original", resume=True)
    assert [found.status for found in later.find_runs("words", None, role="variant")] == ["RUNNING"]
    log(later, 1, again)
    later.finish(again, metrics={"mean_loss": 0.5, "replicas": 2.0}, params={"epochs": 20})

    (parent,) = later.find_runs("words", role="variant")
    assert parent.metrics == {"mean_loss": 0.5, "replicas": 2.0}
    assert history(parent.run_id, "mean_loss") == [(0, 0.5)]
    children = later.find_runs("words", role="replica")
    assert {child.tags["mlflow.parentRunId"] for child in children} == {parent.run_id}
    assert len(all_runs()) == 3


def test_a_parent_that_failed_is_taken_up_again(store: "Store") -> None:
    store.fail(store.start(tags("variant", None), "original", resume=True), "no space left")
    assert [run.tags["error"] for run in store.find_runs("words", "FAILED")] == ["no space left"]
    store.finish(store.start(tags("variant", None), "original", resume=True), metrics={"mean_loss": 0.5})
    (run,) = all_runs()
    assert run.info.status == "FINISHED"
    assert "error" not in run.data.tags


def test_finishing_twice_logs_once(store: "Store") -> None:
    run = log(store)
    store.finish(run, result=result())
    (kept,) = all_runs()
    assert history(kept.info.run_id, "loss") == list(enumerate(result().curves["loss"], 1))
    assert history(kept.info.run_id, "third") == [(0, 1 / 3)]
    assert store.find_results("words", "fair", "replica", [f"{0:064x}"]) == {f"{0:064x}": result()}


def test_a_record_that_is_sent_again_changes_nothing(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = log(tracking.open_store(), params={"epochs": 20}, inputs=[DataInput("words", DIGEST, "training", "data")])
    shutil.copytree(records.spool() / run.id, tmp_path / "held")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    store = tracking.open_store()
    assert store.sync() == tracking.Synced(1, 0, [])
    (before,) = all_runs()
    client().set_terminated(before.info.run_id, "KILLED")  # as if the process had died just before it closed the run
    shutil.copytree(tmp_path / "held", records.spool() / run.id)
    assert store.sync() == tracking.Synced(1, 0, [])
    (after,) = all_runs()
    assert (after.info.status, after.info.end_time) == (before.info.status, before.info.end_time)
    assert after.data.metrics == before.data.metrics
    assert len(after.inputs.dataset_inputs) == 1
    assert history(after.info.run_id, "loss") == list(enumerate(result().curves["loss"], 1))


def test_doubles_of_a_request_that_was_served_late_are_removed(store: "Store") -> None:
    from feedforward.tracking import sync

    run = log(store)
    experiment = client().get_experiment_by_name("words").experiment_id
    sync.create(client(), experiment, run, None)
    assert len(all_runs()) == 2
    kept = sync.find(client(), experiment, run.id)
    assert kept is not None
    assert kept.info.status == "FINISHED"
    assert [each.info.run_id for each in all_runs()] == [kept.info.run_id]


@pytest.mark.slow
def test_threads_log_side_by_side(store: "Store") -> None:
    parent = store.start(tags("variant", None), "original")
    threads = [threading.Thread(target=log, args=(store, seed, parent)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.find_runs("words", role="replica")
    assert {run.tags["seed"] for run in found} == {str(seed) for seed in range(8)}
    for run in found:
        assert history(run.run_id, "val_loss") == list(enumerate(result(int(run.tags["seed"])).curves["val_loss"], 1))
    assert in_spool() == []


def test_threads_that_resume_one_parent_share_it(store: "Store") -> None:
    together = threading.Barrier(6)

    def one_seed(seed: int) -> None:
        together.wait()
        log(store, seed, store.start(tags("variant", None), "original", resume=True))

    threads = [threading.Thread(target=one_seed, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (parent,) = store.find_runs("words", status=None, role="variant")
    assert {run.tags["mlflow.parentRunId"] for run in store.find_runs("words", role="replica")} == {parent.run_id}


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_fails_the_run_and_is_not_logged(store: "Store", value: float) -> None:
    broken = dataclasses.replace(result(), curves={"loss": [0.5, value, 0.1]})
    run = store.start(tags(), "original seed 0")
    with pytest.raises(TrainingError, match=r"original seed 0: loss must be finite, got -?(nan|inf) at epoch 2"):
        store.finish(run, result=broken)
    (kept,) = all_runs()
    assert kept.info.status == "FAILED"
    assert kept.data.metrics == {}
    assert "must be finite" in kept.data.tags["error"]
    assert store.find_results("words", "fair", "replica", [DIGEST]) == {}


def test_an_infinite_figure_of_a_parent_is_refused_too(store: "Store") -> None:
    with pytest.raises(TrainingError, match="mean_loss must be finite, got inf;"):
        store.finish(store.start(tags("variant", None), "original"), metrics={"mean_loss": math.inf})


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no memory\nleft"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_an_exception_closes_the_runs_that_are_open(store: "Store", error: BaseException, status: str) -> None:
    done, left = store.start(tags(seed=0), "a"), store.start(tags(seed=1), "b")
    with contextlib.suppress(type(error)), store.closing(done, left):
        store.finish(done, result=result())
        raise error
    states = {each.data.tags["seed"]: each for each in all_runs()}
    assert states["0"].info.status == "FINISHED"
    assert states["1"].info.status == status
    assert states["1"].data.tags["error"] == ("no memory" if str(error) else "KeyboardInterrupt")


def move_to(run_id: str, host: str) -> None:
    """As if a process of another checkout on that host had logged the run."""
    for key, value in (("host", host), ("store", f"of {host}")):
        client().set_tag(run_id, key, value)


def test_containers_with_one_name_do_not_close_each_others_runs(
    store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process numbers mean nothing in another container; the lock in the shared folder does."""
    run = store.start(tags(seed=0), "in another container")
    (found,) = store.find_runs("words", None, record_id=run.id)
    client().set_tag(found.run_id, "process", "1@1")
    monkeypatch.setattr("feedforward.core.provenance.host_digest", lambda: "other container")
    assert store.reconcile() == 0


@pytest.mark.slow
def test_runs_of_a_container_that_was_removed_are_closed(store: "Store", workspace: Path) -> None:
    code = (
        "from feedforward.core import provenance; provenance.host_digest = lambda: 'removed';"
        "tracking.open_store().start(tags(), 'x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert child(workspace, code).returncode == -signal.SIGKILL
    assert store.reconcile() == 1
    assert [run.info.status for run in all_runs()] == ["KILLED"]


def test_a_copied_store_does_not_close_the_runs_of_the_original(
    store: "Store", workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.start(tags(), "in the original")
    copy = workspace.with_name("copy")
    shutil.copytree(workspace, copy)
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(copy))
    assert tracking.open_store().reconcile() == 0


@pytest.mark.slow
def test_runs_of_a_dead_process_are_closed_and_those_of_a_living_one_are_not(store: "Store", workspace: Path) -> None:
    code = "s = tracking.open_store(); log(s, 0); s.start(tags(seed=1), 'x'); os.kill(os.getpid(), signal.SIGKILL)"
    assert child(workspace, code).returncode == -signal.SIGKILL
    store.start(tags(seed=2), "mine")
    elsewhere = store.start(tags(seed=3), "of another host")
    (found,) = store.find_runs("words", None, record_id=elsewhere.id)
    move_to(found.run_id, "another")
    assert store.reconcile() == 1
    states = {run.tags["seed"]: run.status for run in store.find_runs("words", None)}
    assert states == {"0": "FINISHED", "1": "KILLED", "2": "RUNNING", "3": "RUNNING"}


def test_runs_that_a_lost_host_left_are_closed_by_who_knows_that_it_is_lost(store: "Store") -> None:
    for seed, host in enumerate(("lost", "at work", provenance.host_digest())):
        run = store.start(tags(seed=seed, fingerprint=f"{host} {DIGEST}"), f"on {host}")
        (found,) = store.find_runs("words", None, record_id=run.id)
        move_to(found.run_id, host)
    assert store.reconcile(lost={f"lost {DIGEST}", f"{provenance.host_digest()} {DIGEST}"}) == 1
    states = {run.tags["seed"]: run.status for run in store.find_runs("words", None)}
    assert states == {"0": "KILLED", "1": "RUNNING", "2": "RUNNING"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "status"), [("log.before_rename", "KILLED"), ("log.before_close", "FINISHED")], ids=["record", "close"]
)
def test_killed_while_logging(store: "Store", workspace: Path, point: str, status: str) -> None:
    """Before the record is whole the run is lost and known to be; after that nothing is."""
    done = child(workspace, "log(tracking.open_store(), params={'epochs': 20})", FAULT=point)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store.reconcile()
    (run,) = all_runs()
    assert run.info.status == status
    assert bool(store.find_results("words", "fair", "replica", [f"{0:064x}"])) == (status == "FINISHED")
    assert history(run.info.run_id, "loss") == (
        list(enumerate(result().curves["loss"], 1)) if status == "FINISHED" else []
    )
    assert list(records.spool().glob("*")) == []


UNUSED_LOCATIONS = {
    ("evaluation_dataset_records", "source"),
    ("mcp_server_versions", "source"),
}  # features not used here


@pytest.mark.slow
def test_the_template_has_the_tables_and_columns_that_we_name(tmp_path: Path) -> None:
    """A new store has no experiment whose artifacts belong to another folder."""
    database.migrate(tmp_path / "mlflow.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {(name, row[1]) for name in names for row in connection.execute(f"PRAGMA table_info({name})")}
        assert connection.execute("SELECT * FROM experiments").fetchall() == []
    pattern = r"artifact_(uri|location)|storage_location|^source$"
    locations = {(table, name) for table, name in columns if re.search(pattern, name)}
    assert locations - UNUSED_LOCATIONS == set(mlflow_tables.ARTIFACT_LOCATIONS)


@pytest.mark.slow
def test_a_store_whose_making_was_cut_off_is_made_again(workspace: Path) -> None:
    path = workspace / "mlruns" / "mlflow.db"
    path.unlink()
    assert child(workspace, "tracking.open_store()", FAULT="schema.before_rename").returncode == -signal.SIGKILL
    assert not path.exists()
    log(tracking.open_store())
    assert [each.name for each in path.parent.glob("mlflow.db*")] == ["mlflow.db"]


@pytest.mark.slow
def test_four_processes_write_into_a_store_that_does_not_exist_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("seeds: 1\n")
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code = "s = tracking.open_store(); [log(s, 10 * int(os.environ['PART']) + k) for k in range(5)]"
    done: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(target=lambda part=part: done.append(child(tmp_path, code, PART=str(part))))
        for part in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * 4  # no warning either
    runs = all_runs()
    assert len(runs) == 20
    assert sum(len(history(run.info.run_id, "loss")) for run in runs) == 20 * 20
    assert in_spool() == []


@pytest.mark.slow
def test_an_older_schema_is_upgraded(workspace: Path) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from sqlalchemy import create_engine, text

    uri = f"sqlite:///{workspace}/mlruns/mlflow.db"
    config = _get_alembic_config(uri)
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    assert head is not None
    with contextlib.suppress(NotImplementedError):
        command.downgrade(config, "-1")
    with create_engine(uri).connect() as connection:
        (before,) = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
    if before == head:
        pytest.skip("MLflow's last migration cannot be undone")
    log(tracking.open_store())
    with create_engine(uri).connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [head]


def test_a_folder_is_no_store(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(TrackingError, match=r"MLFLOW_TRACKING_URI: must start with sqlite:///.* got ./mlruns"):
        tracking.open_store()


def test_a_damaged_database_is_one_line(workspace: Path) -> None:
    (workspace / "mlruns" / "mlflow.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(TrackingError, match=r"mlflow.db: cannot be opened \(.*not a database.*\)") as caught:
        tracking.open_store()
    assert "\n" not in str(caught.value)


def test_importing_the_package_does_not_import_mlflow() -> None:
    code = "import sys, feedforward.tracking; print('mlflow' in sys.modules, 'psutil' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_secret_is_in_no_database_artifact_or_message(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "c4n4ry-1f0a9b"
    monkeypatch.setenv("UPLOAD_TOKEN", canary)
    for uri in ("", f"http://user:{canary}@127.0.0.1:9"):  # a store that is kept, and one that cannot be reached
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        store = tracking.open_store()
        run = store.start(dataclasses.replace(tags(), variant=f"v-{canary}"), f"name {canary}")
        store.finish(
            run,
            result=result(),
            params={"url": f"https://me:{canary}@host", "plain": canary, "api_key": "short"},
            tags={"note": canary},
            inputs=[DataInput("words", DIGEST, "training", f"https://host/x?token={canary}")],
        )
        store.fail(store.start(tags(seed=1), "b"), f"refused {canary}")
    found = [path for path in workspace.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]
    assert found == []
    assert "send them with `feedforward sync`" in caplog.text
    assert canary not in caplog.text
    assert len(in_spool()) == 2


# --- a store that is down or frozen ----------------------------------------------------------


def test_without_a_store_training_goes_on_and_results_are_reused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    store = tracking.open_store()
    parent = store.start(tags("variant", None), "original", resume=True)
    for seed in range(5):
        log(store, seed, parent)
    store.finish(parent, metrics={"mean_loss": 0.5})
    assert len([line for line in caplog.records if line.levelno == logging.WARNING]) == 1
    assert len(in_spool()) == 6
    wanted = {f"{seed:064x}": result(seed) for seed in range(5)}
    assert tracking.open_store().find_results("words", "fair", "replica", wanted) == wanted
    with pytest.raises(TrackingError):
        store.find_runs("words")
    assert store.reconcile() == 0
    synced = store.sync()
    assert (synced.sent, synced.waiting, len(synced.problems)) == (0, 6, 1)

    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # the same records, sent to the store of this checkout
    assert tracking.open_store().sync() == tracking.Synced(6, 0, [])
    runs = {run.tags.get("seed"): run for run in tracking.open_store().find_runs("words")}
    assert len(runs) == 6
    assert {runs[str(seed)].tags["mlflow.parentRunId"] for seed in range(5)} == {runs[None].run_id}


def test_a_child_that_outlived_its_job_brings_its_parent_along(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    store = tracking.open_store()
    log(store, 0, store.start(tags("variant", None), "original", resume=True))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    later = tracking.open_store()
    later.sync()
    parent = later.start(tags("variant", None), "original", resume=True)
    later.finish(parent, metrics={"mean_loss": 0.5})
    (above,) = later.find_runs("words", role="variant")
    (below,) = later.find_runs("words", role="replica")
    assert below.tags["mlflow.parentRunId"] == above.run_id


def test_a_damaged_record_does_not_hold_up_the_others(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    store = tracking.open_store()
    runs = [log(store, seed) for seed in range(2)]
    (records.spool() / runs[0].id / "record.json").write_text('{"run": 1}')
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.open_store().sync().sent == 1
    assert "cannot be read" in caplog.text
    assert in_spool() == [runs[0].id]


def test_a_database_that_takes_no_more_is_told_in_one_line_and_the_record_waits(
    store: "Store", caplog: pytest.LogCaptureFixture
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))  # bytes a file; the database has more already
    try:
        log(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    (said,) = caplog.records
    assert re.fullmatch(r"sqlite:.*: start original seed 0 failed \(disk I/O error\); records wait .*", said.message)
    assert len(in_spool()) == 1
    assert tracking.open_store().sync() == tracking.Synced(1, 0, [])


@pytest.mark.slow
def test_a_server_that_is_down_and_then_freezes_loses_nothing(
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
    assert len(in_spool()) == 1
    with server(folder, port) as process:
        assert store.sync() == tracking.Synced(1, 0, [])
        log(store, 1, parent, model=model)
        assert in_spool() == []
        caught = store.start(tags(seed=2, fingerprint=f"{2:064x}"), "original seed 2", parent)
        os.killpg(process.pid, signal.SIGSTOP)
        store.finish(caught, result=result(2), model=model)
        for seed in (3, 4):
            log(store, seed, parent, model=model)
        log(tracking.open_store(), 5, parent)  # another job finds the server frozen
        assert len(in_spool()) == 4
        os.killpg(process.pid, signal.SIGCONT)
        wait_for(port, process)
        assert store.sync() == tracking.Synced(4, 0, [])
        store.finish(parent, metrics={"mean_loss": 0.5})
        assert tracking.open_store().sync() == tracking.Synced(0, 0, [])
        assert_complete(6)


def assert_complete(replicas: int) -> None:
    """Each replica is there once, with each point once, its result and its model, below one parent."""
    store = tracking.open_store()
    runs = store.find_runs("words", role="replica")
    assert sorted(int(run.tags["seed"]) for run in runs) == list(range(replicas))
    assert len(all_runs()) == replicas + 1
    (parent,) = store.find_runs("words", role="variant")
    assert {run.tags["mlflow.parentRunId"] for run in runs} == {parent.run_id}
    for run in runs:
        assert history(run.run_id, "loss") == list(enumerate(result(int(run.tags["seed"])).curves["loss"], 1))
    wanted = {f"{seed:064x}": result(seed) for seed in range(replicas)}
    assert store.find_results("words", "fair", "replica", wanted) == wanted
    experiment = client().get_experiment_by_name("words").experiment_id
    models = [model for model in client().search_logged_models([experiment]) if str(model.status) == "READY"]
    assert len({model.source_run_id for model in models}) == len(models) == 5
