"""All parts of a run are logged and can be read with a plain MLflow client, and no part contains a secret."""

import dataclasses
import math
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tracked_runs import (
    DIGEST,
    all_runs,
    client,
    history,
    log,
    result,
    spooled_ids,
    tags,
)

from feedforward import tracking
from feedforward.tracking import DataInput, Sample

if TYPE_CHECKING:
    from feedforward.tracking import Store


@pytest.mark.slow
def test_mlflow_client_reads_everything_that_was_logged(store: "Store", workspace: Path) -> None:
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

    children = [run for run in all_runs() if run.data.tags["role"] == "replica"]
    assert len(children) == 1
    stored_run = client().get_run(children[0].info.run_id)
    assert stored_run.info.status == "FINISHED"
    assert stored_run.info.run_name == "original seed 0"
    assert client().get_experiment(stored_run.info.experiment_id).name == "words"
    expected = tags(fingerprint=f"{0:064x}").tags() | {"weights_digest": DIGEST, "record_id": run.id}
    assert expected.items() <= stored_run.data.tags.items()
    assert {"git_commit", "git_dirty", "version.keras", "cpu", "host"} <= stored_run.data.tags.keys()
    parent_run = client().get_run(stored_run.data.tags["mlflow.parentRunId"])
    assert (parent_run.data.tags["role"], parent_run.data.metrics) == ("variant", {"mean_best_val_cross_entropy": 0.25})
    assert stored_run.data.params == {"epochs": "20", "optimizer.name": "rmsprop", "learning_rate": "0.001"}

    expected_result = result()
    for name, curve in expected_result.curves.items():
        assert history(stored_run.info.run_id, name) == list(enumerate(curve, 1))
    assert {name: stored_run.data.metrics[name] for name in expected_result.metrics} == expected_result.metrics
    assert history(stored_run.info.run_id, "system/cpu_utilization_percentage") == [(0, 50.0), (1, 60.0)]

    artifacts = {entry.path for entry in client().list_artifacts(stored_run.info.run_id)}
    assert {"figures", "table.csv", "note.txt", "result.json"} <= artifacts
    assert [entry.path for entry in client().list_artifacts(stored_run.info.run_id, "figures")] == ["figures/loss.png"]
    local = client().download_artifacts(stored_run.info.run_id, "figures/loss.png", str(workspace))
    assert Path(local).read_bytes().startswith(b"\x89PNG")

    data_inputs = {entry.dataset.name: entry for entry in stored_run.inputs.dataset_inputs}
    assert data_inputs.keys() == {"words train", "words validation"}
    assert data_inputs["words train"].dataset.digest == DIGEST[:36]  # the length of MLflow's field
    assert {tag.key: tag.value for tag in data_inputs["words validation"].tags} == {
        "mlflow.data.context": "validation",
        "sha256": DIGEST,
    }
    assert_logged_model_matches(stored_run, model)
    assert spooled_ids() == []


def assert_logged_model_matches(stored_run: Any, model: Any) -> None:
    """Check that the logged model has a description, can be loaded, and gives the same probabilities as `model`."""
    import mlflow

    model_id = stored_run.outputs.model_outputs[0].model_id
    logged = client().get_logged_model(model_id)
    assert str(logged.status) == "READY"
    assert logged.source_run_id == stored_run.info.run_id
    assert {metric.key for metric in logged.metrics} >= {"best_val_cross_entropy"}
    folder = mlflow.artifacts.download_artifacts(logged.artifact_location)
    model_info = mlflow.models.Model.load(folder)
    assert (model_info.model_id, model_info.run_id) == (model_id, stored_run.info.run_id)
    assert model_info.signature.inputs.inputs[0].shape == (-1, 7)
    assert model_info.signature.outputs.inputs[0].shape == (-1, 1)
    requirements = (Path(folder) / "requirements.txt").read_text().split()
    assert {re.split("==", line)[0].removesuffix("-cpu") for line in requirements} == {
        "keras",
        "tensorflow",
        "mlflow",
        "numpy",
    }
    assert not list(Path(folder).rglob("*.pkl"))
    features = np.linspace(0, 1, 21, dtype=np.float32).reshape(3, 7)
    loaded = mlflow.keras.load_model(folder)
    np.testing.assert_array_equal(loaded.predict(features, verbose=0), model.predict(features, verbose=0))


def test_runs_are_found_by_their_tags(store: "Store") -> None:
    for seed in range(3):
        log(store, seed)
    open_run = store.start(tags(seed=9), "still training")
    assert {run.tags["seed"] for run in store.find_runs("words", role="replica")} == {"0", "1", "2"}
    assert [run.tags["seed"] for run in store.find_runs("words", seed="1")] == ["1"]
    running = store.find_runs("words", status="RUNNING")
    assert [run.tags["record_id"] for run in running] == [open_run.id]
    assert store.find_runs("words", role="final") == []
    assert store.find_runs("pictures") == []
    with pytest.raises(ValueError, match="must not contain a quote"):
        store.find_runs("words", variant="a' or '1")


def test_experiments_open_in_the_training_view_and_keep_the_users_description(store: "Store") -> None:
    mlflow_client = client()
    experiment_id = mlflow_client.create_experiment("words", tags={"mlflow.note.content": "by hand"})
    log(store)
    experiment_tags = mlflow_client.get_experiment(experiment_id).tags
    assert experiment_tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment_tags["mlflow.note.content"] == "by hand"
    store.start(tags(dataset="pictures"), "original seed 0")
    assert "tags.role = 'variant'" in mlflow_client.get_experiment_by_name("pictures").tags["mlflow.note.content"]


def test_long_parameters_are_cut_at_the_limit_of_mlflow(store: "Store") -> None:
    log(store, params={"long": "x" * 7000})
    assert len(all_runs()[0].data.params["long"]) == 6000


def test_logging_a_folder_again_updates_its_run(store: "Store", tmp_path: Path) -> None:
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
    assert [entry.path for entry in client().list_artifacts(run.info.run_id, "figures")] == ["figures/a.png"]


@pytest.mark.slow
def test_system_metrics_are_sampled_during_the_block() -> None:
    with tracking.sampling(0.2) as samples:
        time.sleep(0.5)
    assert 2 <= len(samples) <= 4
    for sample in samples:
        assert {"cpu_utilization_percentage", "system_memory_usage_megabytes"} <= sample.values.keys()
        assert all(math.isfinite(value) for value in sample.values.values())
    assert samples[0].time < samples[-1].time


def test_importing_the_package_does_not_import_mlflow() -> None:
    code = "import sys, feedforward.tracking; print('mlflow' in sys.modules, 'psutil' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_no_database_artifact_or_message_contains_a_secret(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "c4n4ry-1f0a9b"
    monkeypatch.setenv("UPLOAD_TOKEN", canary)
    for uri in ("", f"http://user:{canary}@127.0.0.1:9"):  # the local store, and a server that cannot be reached
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
    leaks = [path for path in workspace.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]
    assert leaks == []
    assert "send them with `feedforward sync`" in caplog.text
    assert canary not in caplog.text
    assert len(spooled_ids()) == 2
