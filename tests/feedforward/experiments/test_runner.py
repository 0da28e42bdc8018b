"""Runs trained on small data, logged to a real store, and read back with a plain MLflow client."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from small_data import TEST, TRAIN, params, params_with
from synthetic_runs import SHAPES, final_run, replica_run
from threads import at_once
from tracked_runs import client, stored_runs

from feedforward.config.schema import Optimizer, Params
from feedforward.core import atomic_files, paths
from feedforward.core import code_digest as code_digest_module
from feedforward.core.code_digest import closure, code_digest
from feedforward.core.errors import DataError, TrainingError
from feedforward.data import manifest as manifest_file
from feedforward.data.splits import Split, Subset
from feedforward.experiments import evaluation, parent_runs, plan, reuse, runner
from feedforward.experiments.plan import Pack
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


def replicas_of(
    *variants: str, dataset: str = "notes", protocol: str = "fair", seed: int = 0, **changes: Any
) -> tuple[Params, Pack]:
    """Return the params with `changes`, and the pack of these replicas."""
    chosen = params(**changes)
    packs = plan.plan(chosen, protocol, [dataset], variants, [seed])
    return chosen, next(pack for pack in packs if pack.role == "replica")


def final_of(dataset: str) -> tuple[Params, Pack]:
    packs = plan.plan(params(), "fair", [dataset], ["original"])
    return params(), next(pack for pack in packs if pack.role == "final")


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


# --- reuse of stored runs ----------------------------------------------------------------------


@pytest.mark.slow
def test_only_a_changed_variant_is_trained_again(small_store: "Store") -> None:
    chosen, pack = replicas_of("dropout", "original")
    planned = plan.plan(chosen, "fair", ["notes"], ["dropout", "original", "l2"], [0])
    assert reuse.find_finished(planned, small_store) == {}
    trained = runner.train_pack(pack, chosen, small_store)

    known = reuse.find_finished(planned, small_store)
    assert len(trained) == 2
    assert all(result in trained for result in parent_runs.results_of(planned, known))  # bit for bit
    missing = [(member.variant, p.role) for p in planned for member in p.without(known).members]
    assert sorted(missing) == [("l2", "replica"), ("original", "final")]

    more_seeds = plan.plan(params(seeds=3), "fair", ["notes"], ["dropout"])
    known = reuse.find_finished(more_seeds, small_store)
    assert len(known) == 1
    assert {p.seed for p in more_seeds if p.without(known).members} == {1, 2}

    changed_params = params(variants={"dropout": {"dropout_rate": 0.2}, "original": {}, "l2": {}})
    changed = plan.plan(changed_params, "fair", ["notes"], ["dropout", "original"], [0])
    known = reuse.find_finished(changed, small_store)
    missing = [(member.variant, p.role) for p in changed for member in p.without(known).members]
    assert sorted(missing) == [("dropout", "replica"), ("original", "final")]
    renamed = params(variants={"half": {"dropout_rate": 0.5}, "original": {}, "l2": {}})
    packs = plan.plan(renamed, "fair", ["notes"], ["half"], [0])
    [reused] = parent_runs.results_of(packs, reuse.find_finished(packs, small_store))
    assert (reused.variant, reused.weights_digest) == (
        "half",
        next(r for r in trained if r.variant == "dropout").weights_digest,
    )


@pytest.mark.slow
def test_a_partly_trained_pack_is_completed_with_identical_results(small_store: "Store") -> None:
    chosen, pack = replicas_of("dropout", "original", "l2", pack_units=80)
    runner.train_pack(pack.without(pack.fingerprints[:1]), chosen, small_store)
    missing = pack.without(reuse.find_finished([pack], small_store))
    assert missing.fingerprints == pack.fingerprints[:1]
    runner.train_pack(missing, chosen, small_store)
    tags = [run.data.tags["fingerprint"] for run in stored_runs("notes", role="replica")]
    assert sorted(tags) == sorted(pack.fingerprints)  # each is recorded once
    reused = parent_runs.results_of([pack], reuse.find_finished([pack], small_store))
    assert reused == runner.train_pack(pack, chosen, small_store)


@pytest.mark.proves("A process whose code was changed after it started records no results")
@pytest.mark.slow
def test_runs_whose_code_was_changed_during_the_training_are_not_recorded(
    small_store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, pack = replicas_of("l2")
    path = closure(plan.WEIGHTS)["feedforward.training.trainer"]

    def edit(_steps: int, _note: str) -> None:  # as if the file had been another one when the training was planned
        monkeypatch.setitem(code_digest_module._file_digests, path, "another digest")

    with pytest.raises(DataError, match=r"trainer\.py: was changed while this process was running"):
        runner.train_pack(pack, chosen, small_store, edit)
    assert [run.info.status for run in stored_runs("notes", role="replica")] == ["FAILED"]
    monkeypatch.undo()
    assert reuse.find_finished([pack], small_store) == {}


@pytest.mark.proves("Runs are recorded only if the data stayed the same from the plan to the result")
@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before loading", "during the training"])
def test_runs_whose_data_were_vectorized_again_are_not_recorded(small_store: "Store", moment: str) -> None:
    chosen, pack = final_of("notes")
    path = paths.vectorized("notes") / "manifest.json"
    planned = path.read_bytes()

    def vectorize_again(*_: object) -> None:
        atomic_files.write_json(path, {**json.loads(planned), "data_digest": "another digest"})

    if moment == "before loading":
        vectorize_again()
    with pytest.raises(DataError, match="notes: was vectorized again while this process was running"):
        runner.train_pack(pack, chosen, small_store, vectorize_again)
    path.write_bytes(planned)
    statuses = [run.status for run in small_store.find_runs("notes", None, role="final")]
    assert statuses == ([] if moment == "before loading" else ["FAILED"])
    assert reuse.find_finished([pack], small_store) == {}


def simulate_edit(monkeypatch: pytest.MonkeyPatch, *roots: tuple[str, ...]) -> None:
    """Simulate an edit to these modules or to code that they import."""
    real = code_digest

    def edited(modules: Any, *arguments: Any) -> str:
        return ("0" if tuple(modules) in roots else "") + real(modules, *arguments)

    for module in (plan, reuse, runner):
        monkeypatch.setattr(module, "code_digest", edited)


@pytest.mark.proves("After a change to a metric's code, the metric is computed again from the stored weights")
@pytest.mark.slow
@pytest.mark.parametrize("role", ["replica", "final"])
def test_changed_evaluation_code_recomputes_metrics_without_training(
    small_store: "Store", monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    chosen, pack = replicas_of("l2") if role == "replica" else final_of("notes")
    [before] = runner.train_pack(pack, chosen, small_store)
    real = evaluation.summarize
    monkeypatch.setattr(evaluation, "summarize", lambda *arguments: real(*arguments) | {"last_cross_entropy": 0.125})
    [reused] = reuse.find_finished([pack], small_store).values()
    assert reused == before  # because the digest of the code is still the same
    simulate_edit(monkeypatch, plan.EVALUATION)

    [recomputed] = reuse.find_finished([pack], small_store).values()
    expected = {**before.metrics, "last_cross_entropy": 0.125}
    assert recomputed.metrics == pytest.approx(expected)
    assert (recomputed.curves, recomputed.weights_digest, recomputed.hardest) == (
        before.curves,
        before.weights_digest,
        before.hardest,
    )
    (run,) = stored_runs("notes", role=role)  # the same run, with its new metrics
    assert run.data.metrics["last_cross_entropy"] == 0.125
    assert run.data.tags["evaluation_digest"].startswith("0")
    monkeypatch.setattr(evaluation, "summarize", real)
    assert reuse.find_finished([pack], small_store) == {pack.fingerprints[0]: recomputed}  # stored, not computed again


@pytest.mark.proves("After a change to code that determines weights, every run is trained again")
@pytest.mark.slow
def test_changed_training_code_invalidates_all_runs(small_store: "Store", monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, pack = replicas_of("l2")
    runner.train_pack(pack, chosen, small_store)
    simulate_edit(monkeypatch, plan.WEIGHTS)
    changed = plan.plan(chosen, "fair", ["notes"], ["l2"], [0])
    assert reuse.find_finished(changed, small_store) == {}


def test_evaluation_digest_covers_metric_code_and_weights_digest_covers_layer_code() -> None:
    weights_code, metrics_code = closure(plan.WEIGHTS), closure(plan.EVALUATION)
    assert {
        "feedforward.training.packed_model",
        "feedforward.data.validation_split",
        "feedforward.config.tasks",
    } <= set(weights_code)
    assert {"feedforward.models.metrics", "feedforward.models.attribution", "feedforward.data.splits"} <= set(
        metrics_code
    )
    assert "feedforward.models.metrics" not in weights_code
    assert "feedforward.training.packed_model" not in metrics_code


@pytest.mark.slow
def test_seeds_of_a_variant_share_a_parent_until_a_parameter_changes(small_store: "Store") -> None:
    chosen = params()
    packs = plan.plan(chosen, "fair", ["notes"], ["larger"])
    assert len(packs) == 2
    at_once(lambda pack: runner.train_pack(pack, chosen, small_store), packs)
    (parent,) = stored_runs("notes", role="variant")
    assert {run.data.tags["mlflow.parentRunId"] for run in stored_runs("notes", role="replica")} == {parent.info.run_id}

    [pack, _], [member] = packs, packs[0].members
    faster = dataclasses.replace(member, parameters={**member.parameters, "optimizer_learning_rate": 0.01})
    assert (
        parent_runs.start_parent(pack, faster, small_store).id != parent_runs.start_parent(pack, member, small_store).id
    )


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
