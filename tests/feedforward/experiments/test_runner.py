"""Runs trained on small data, logged to a real store, and read back with a plain MLflow client."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from small_data import TEST, TRAIN, params, params_with
from small_packs import final_of, replicas_of
from synthetic_runs import SHAPES, final_run, replica_run
from tracked_runs import client, stored_runs

from feedforward.config.schema import Optimizer
from feedforward.core import paths
from feedforward.core.code_digest import code_digest
from feedforward.core.errors import DataError, TrainingError
from feedforward.data import manifest as manifest_file
from feedforward.data.splits import Split, Subset
from feedforward.experiments import parent_runs, plan, reuse, runner
from feedforward.models import sampling_errors
from feedforward.reports import figure_style
from feedforward.training import trainer

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.usefixtures("tensorflow")
TAGS = ["dataset", "variant", "seed", "protocol", "role", "fingerprint", "data_digest"]


def curve(run: Any, name: str) -> list[float]:
    points = client().get_metric_history(run.info.run_id, name)
    assert [point.step for point in points] == list(range(1, len(points) + 1))
    return [point.value for point in points]


def files(run: Any, folder: str | None = None) -> set[str]:
    return {entry.path for entry in client().list_artifacts(run.info.run_id, folder)}


# --- one pack, seen through MLflow -------------------------------------------------------------


@pytest.mark.slow
def test_replicas_are_logged_under_stable_names(small_store: "Store") -> None:
    chosen, pack = replicas_of("l2", "smaller")
    reported: list[tuple[int, str]] = []
    trained = runner.train_pack(pack, chosen, small_store, lambda steps, text: reported.append((steps, text)))
    parent_runs.conclude([pack], dict(zip(pack.fingerprints, trained, strict=True)), chosen, small_store)

    by_variant = {run.data.tags["variant"]: run for run in stored_runs("notes", role="replica")}
    parents = {run.data.tags["variant"]: run for run in stored_runs("notes", role="variant")}
    assert set(by_variant) == set(parents) == {"l2", "smaller"}
    assert [steps for steps, _ in reported] == [2, 2, 2]  # in each of three epochs, a step of two replicas
    for result, member in zip(trained, pack.members, strict=True):
        run = by_variant[member.variant]
        expected = ["notes", member.variant, "0", "fair", "replica", member.fingerprint, pack.data_digest]
        assert [run.data.tags[name] for name in TAGS] == expected
        assert run.data.tags["mlflow.parentRunId"] == parents[member.variant].info.run_id
        assert run.data.tags["weights_digest"] == result.weights_digest
        assert run.data.tags["evaluation_digest"] == code_digest(plan.EVALUATION)
        assert {"git_commit", "git_dirty", "cpu", "version.keras"} <= run.data.tags.keys()
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "cross_entropy", "val_cross_entropy"):
            assert curve(run, name) == result.curves[name]
            assert len(result.curves[name]) == 3
        for name in ("best_epoch", "best_val_cross_entropy", "best_val_accuracy", "generalization_gap"):
            assert run.data.metrics[name] == result.metrics[name]
        assert any(name.startswith("system/") for name in run.data.metrics)
        assert run.info.status == "FINISHED"

    parameters = by_variant["l2"].data.params
    assert {name: parameters[name] for name in ("l2", "hidden_units", "seed", "epochs", "batch_size")} == {
        "l2": "0.01",
        "hidden_units": "[16, 16]",
        "seed": "0",
        "epochs": "3",
        "batch_size": "20",
    }
    assert {"optimizer_name", "optimizer_learning_rate", "optimizer_rho", "validation_samples"} <= parameters.keys()
    assert "figures/curves.svg" in files(by_variant["l2"], "figures")
    manifest = manifest_file.load("notes")
    inputs = {
        (entry.dataset.name, {tag.key: tag.value for tag in entry.tags}["sha256"])
        for entry in by_variant["l2"].inputs.dataset_inputs
    }
    assert inputs == {("notes-training", manifest["train"]), ("notes-validation", manifest["train"])}


@pytest.mark.slow
def test_variant_run_has_means_and_intervals_over_its_replicas(small_store: "Store") -> None:
    chosen = params()
    packs = [pack for pack in plan.plan(chosen, "fair", ["notes"], ["original"]) if pack.role == "replica"]
    trained = [replica_run("notes", "original", pack.seed, 20, SHAPES["original"]) for pack in packs]
    results = {pack.fingerprints[0]: result for pack, result in zip(packs, trained, strict=True)}
    parent_runs.conclude(packs, results, chosen, small_store)
    (parent,) = stored_runs("notes", role="variant")
    assert parent.info.status == "FINISHED"
    losses = [result.metrics["best_val_cross_entropy"] for result in trained]
    metrics = parent.data.metrics
    assert metrics["seeds"] == 2
    assert metrics["mean_best_val_cross_entropy"] == pytest.approx(np.mean(losses))
    half_width = 12.706204736 * np.std(losses, ddof=1) / np.sqrt(2)  # Student's t, one degree of freedom
    assert metrics["interval/best_val_cross_entropy_high"] == pytest.approx(np.mean(losses) + half_width)
    assert metrics["interval/best_val_cross_entropy_low"] == pytest.approx(np.mean(losses) - half_width)
    curves = np.array([result.curves["val_loss"] for result in trained])
    half_width = 12.706204736 * curves.std(axis=0, ddof=1) / np.sqrt(2)
    assert curve(parent, "val_loss") == pytest.approx(curves.mean(axis=0))
    assert curve(parent, "interval/val_loss_low") == pytest.approx(curves.mean(axis=0) - half_width)
    assert curve(parent, "interval/val_loss_high") == pytest.approx(curves.mean(axis=0) + half_width)
    assert set(trained[0].curves) <= set(metrics)
    assert "figures/curves.svg" in files(parent, "figures")
    assert parent.data.params["variant"] == "original"
    assert parent.data.tags["mlflow.runColor"] == figure_style.BLACK  # as in the report
    assert "training runs on this data" in parent.data.tags["mlflow.note.content"]


@pytest.mark.slow
def test_run_of_a_renamed_variant_says_where_its_seeds_are(small_store: "Store") -> None:
    chosen = params(variants={"plain": {}, "original": {"l2": 0.5}, "l2": {"l2": 0.1}})
    packs = [pack for pack in plan.plan(chosen, "fair", ["notes"], ["plain"]) if pack.role == "replica"]
    results = {
        pack.fingerprints[0]: replica_run("notes", earlier_name, pack.seed, 20, SHAPES["original"])
        for pack, earlier_name in zip(packs, ["original", "plain"], strict=True)
    }
    parent_runs.conclude(packs, results, chosen, small_store)
    (parent,) = stored_runs("notes", role="variant")
    assert parent.data.metrics["seeds"] == 2
    note = parent.data.tags["mlflow.note.content"]
    assert note.endswith(" Reused seeds are nested under the variant or trial as which they were trained: `original`.")


@pytest.mark.slow
def test_parent_of_final_runs_has_means_and_intervals(small_store: "Store") -> None:
    chosen = params()
    packs = [pack for pack in plan.plan(chosen, "fair", ["notes"]) if pack.role == "final"]
    tested = [final_run("notes", "original", pack.seed, 5, 0.88) for pack in packs]
    results = {pack.fingerprints[0]: result for pack, result in zip(packs, tested, strict=True)}
    parent_runs.conclude(packs, results, chosen, small_store)
    (parent,) = stored_runs("notes", role="finals")
    metrics, mean = parent.data.metrics, np.mean([result.metrics["test_loss"] for result in tested])
    assert metrics["mean_test_loss"] == pytest.approx(mean)
    assert metrics["interval/test_loss_low"] < mean < metrics["interval/test_loss_high"]
    assert len(curve(parent, "accuracy")) == 5
    assert stored_runs("notes", role="variant") == []


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["tones", "notes"])
def test_final_run_has_test_metrics_and_logs_the_trained_model(small_store: "Store", dataset: str) -> None:
    chosen, pack = final_of(dataset)
    (result,) = runner.train_pack(pack, chosen, small_store)
    (run,) = stored_runs(dataset, role="final")
    (parent,) = stored_runs(dataset, role="finals")
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.metrics["test_loss"] == result.metrics["test_loss"]
    assert run.data.metrics["test_accuracy"] == result.metrics["test_accuracy"]
    assert not [name for name in run.data.metrics if "val_" in name]
    contexts = {
        {tag.key: tag.value for tag in entry.tags}["mlflow.data.context"] for entry in run.inputs.dataset_inputs
    }
    assert contexts == {"training", "test"}

    (model_id,) = [output.model_id for output in run.outputs.model_outputs]
    folder = Path(client().get_logged_model(model_id).artifact_location.removeprefix("file://"))
    model = keras.saving.load_model(next(folder.rglob("*.keras")), safe_mode=True)
    assert trainer.weights_digest(model) == result.weights_digest
    test = Split.load(paths.vectorized(dataset) / "test")
    assert len(test) == TEST
    (metrics,) = trainer.evaluate([model], Subset(test))
    assert metrics["cross_entropy"] == pytest.approx(result.metrics["test_loss"], rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(result.metrics["test_accuracy"], abs=1e-6)
    accuracy = result.metrics["test_accuracy"]
    correct = np.repeat([1.0, 0.0], [round(accuracy * TEST), round((1 - accuracy) * TEST)])
    assert result.metrics["test_accuracy_se"] == pytest.approx(sampling_errors.of_accuracy(correct))
    assert all(result.metrics[f"test_{name}_se"] > 0 for name in ("loss", "f1", "auc"))


@pytest.mark.slow
def test_a_variant_validated_on_test_logs_its_inputs(small_store: "Store") -> None:
    chosen, pack = replicas_of("l2", protocol="lecture")
    (result,) = runner.train_pack(pack, chosen, small_store)
    assert {"val_loss", "val_cross_entropy"} <= set(result.curves)
    runs = stored_runs("notes", protocol="lecture")
    names = {entry.dataset.name for entry in next(r for r in runs if "seed" in r.data.tags).inputs.dataset_inputs}
    assert names == {"notes-all", "notes-test"}


@pytest.mark.slow
def test_final_runs_on_a_share_of_the_samples_do_not_say_that_all_were_used(small_store: "Store") -> None:
    chosen = params_with("datasets/notes/training/train_share", 0.5)
    packs = [pack for pack in plan.plan(chosen, "fair", ["notes"], ["original"]) if pack.role == "final"]
    results = {pack.fingerprints[0]: runner.train_pack(pack, chosen, small_store)[0] for pack in packs}
    parent_runs.conclude(packs, results, chosen, small_store)
    assert {result.samples["train"] for result in results.values()} == {TRAIN // 2}
    for run in stored_runs("notes"):
        assert {entry.dataset.name for entry in run.inputs.dataset_inputs} == {"notes-training", "notes-test"}
    [parent] = [run for run in stored_runs("notes") if run.data.tags["role"] == "finals"]
    assert "(weights, batch order and training samples vary)" in parent.data.tags["mlflow.note.content"]


# --- failures ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_non_finite_loss_gives_failed_runs_without_models(small_store: "Store") -> None:
    chosen, pack = replicas_of("l2", "original")
    data = chosen.datasets["notes"]
    fast = Optimizer(name="sgd", learning_rate=1.0, momentum=0.99)
    diverging = chosen.model_copy(
        update={
            "datasets": {
                "notes": data.model_copy(update={"training": data.training.model_copy(update={"optimizer": fast})})
            },
            "variants": chosen.variants | {"l2": chosen.variants["l2"].model_copy(update={"l2": 10.0})},
        }
    )
    long_pack = dataclasses.replace(pack, epochs=40)
    with pytest.raises(TrainingError, match=r"Small texts, l2, seed 0: .* at epoch"):
        runner.train_pack(long_pack, diverging, small_store)
    known = reuse.find_finished([long_pack], small_store)
    parent_runs.conclude([long_pack], known, diverging, small_store)
    statuses = {(run.data.tags["variant"], run.data.tags["role"]): run.info.status for run in stored_runs("notes")}
    assert statuses == {
        ("l2", "replica"): "FAILED",
        ("l2", "variant"): "FAILED",
        ("original", "replica"): "FINISHED",  # the other member of the same pack
        ("original", "variant"): "FINISHED",
    }
    failed = stored_runs("notes", variant="l2")
    errors = {run.data.tags["role"]: run.data.tags["error"] for run in failed}
    assert "expected a finite number" in errors["replica"]
    assert errors["variant"] == "seeds [0] are not trained; run the command again"
    assert not any(run.outputs.model_outputs for run in failed)
    assert [result.variant for result in known.values()] == ["original"]


def test_damaged_data_are_rejected_before_a_run_is_created(small_store: "Store") -> None:
    chosen, pack = replicas_of("original")
    path = paths.vectorized("notes") / "train" / "labels.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"labels\.npy: cannot be read .*; run `dvc repro vectorize`"):
        runner.train_pack(pack, chosen, small_store)
    assert client().get_experiment_by_name("notes") is None
