"""Runs trained on small data, logged to a real store, and read back through MLflow as people and scripts do."""

import dataclasses
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from small_data import HELD_OUT, TEST, TRAIN, dense, params, split
from synthetic_runs import LIKE_THE_LECTURE, like_the_lecture, one_run

from feedforward.analysis import run_result
from feedforward.config.schema import Optimizer, Params
from feedforward.core import paths, provenance
from feedforward.core.errors import DataError, TrainingError
from feedforward.data import manifest as manifest_file
from feedforward.data.splits import Split
from feedforward.experiments import plan, runner
from feedforward.experiments.plan import Pack
from feedforward.training import trainer

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.usefixtures("tensorflow")
NAMES = ["dataset", "variant", "seed", "protocol", "role", "fingerprint", "data_digest"]


def client() -> Any:
    from feedforward.tracking import settings

    settings.apply()
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{os.environ['FEEDFORWARD_ROOT']}/mlruns/mlflow.db")


def stored(dataset: str, **tags: str) -> list[Any]:
    """The runs of an experiment with these tags, as a plain client sees them."""
    mlflow = client()
    experiment_id = mlflow.get_experiment_by_name(dataset).experiment_id
    return list(
        mlflow.search_runs([experiment_id], " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items()))
    )


def curve(run: Any, name: str) -> list[float]:
    points = client().get_metric_history(run.info.run_id, name)
    assert [point.step for point in points] == list(range(1, len(points) + 1))
    return [point.value for point in points]


def files(run: Any, folder: str | None = None) -> set[str]:
    return {entry.path for entry in client().list_artifacts(run.info.run_id, folder)}


def replicas_of(variant: str, dataset: str = "notes", protocol: str = "fair", **changes: Any) -> tuple[Params, Pack]:
    chosen = params(**changes)
    packs = plan.plan(chosen, protocol, [dataset], [variant])
    return chosen, next(pack for pack in packs if pack.role == "replica")


def final_of(dataset: str) -> tuple[Params, Pack]:
    packs = plan.plan(params(), "fair", [dataset], ["original"])
    return params(), next(pack for pack in packs if pack.role == "final")


# --- figures of a run --------------------------------------------------------------------------

CURVES = {
    "loss": [0.9, 0.5, 0.2],
    "accuracy": [0.5, 0.8, 0.9],
    "cross_entropy": [0.8, 0.4, 0.1],
    "val_loss": [0.7, 0.6, 0.9],
    "val_accuracy": [0.6, 0.7, 0.65],
    "val_cross_entropy": [0.6, 0.5, 0.8],
}


def test_the_figures_of_a_run_are_those_of_its_best_and_its_last_epoch() -> None:
    assert runner.summarize(CURVES, {}) == pytest.approx(
        {
            "best_epoch": 2,
            "best_val_cross_entropy": 0.5,
            "best_val_accuracy": 0.7,
            "generalization_gap": 0.5 - 0.4,
            "last_val_cross_entropy": 0.8,
            "last_val_accuracy": 0.65,
            "last_accuracy": 0.9,
            "last_cross_entropy": 0.1,
        }
    )


def test_the_best_epoch_is_that_of_the_cross_entropy_and_not_of_the_penalised_loss() -> None:
    assert runner.summarize(CURVES | {"val_loss": [0.9, 0.8, 0.1]}, {})["best_epoch"] == 2


def test_of_equal_epochs_the_first_is_best() -> None:
    assert runner.summarize(CURVES | {"val_cross_entropy": [0.5, 0.5, 0.5]}, {})["best_epoch"] == 1


def test_a_final_run_has_figures_of_the_test_split_and_no_best_epoch() -> None:
    unwatched = {name: values for name, values in CURVES.items() if not name.startswith("val_")}
    found = runner.summarize(unwatched, {"loss": 0.4, "cross_entropy": 0.3, "accuracy": 0.88})
    assert found == {"last_accuracy": 0.9, "last_cross_entropy": 0.1, "test_loss": 0.3, "test_accuracy": 0.88}


# --- parts of the training split ---------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["tones", "notes"])
def test_held_out_samples_are_the_first_or_the_last_and_nobody_trains_on_them(dataset: str) -> None:
    whole = split(dataset)
    train, validation = runner.split_training(whole, params().datasets[dataset])
    numbers = np.arange(TRAIN)
    held_out = numbers[:HELD_OUT] if dataset == "notes" else numbers[-HELD_OUT:]  # `take` of the small params
    np.testing.assert_array_equal(dense(validation.features), dense(whole.features)[held_out])
    np.testing.assert_array_equal(train.labels, whole.labels[np.setdiff1d(numbers, held_out)])


def test_something_must_be_left_to_train_on() -> None:
    with pytest.raises(DataError, match=r"validation\.samples must be below the 24 training samples, got 24"):
        runner.split_training(split("notes", HELD_OUT), params().datasets["notes"])


# --- one pack, seen through MLflow -------------------------------------------------------------


@pytest.mark.slow
def test_everything_of_replicas_is_found_under_the_names_that_scripts_rely_on(small_store: "Store") -> None:
    chosen, pack = replicas_of("l2")
    notes: list[tuple[int, str]] = []
    trained = runner.train_pack(pack, chosen, small_store, lambda steps, note: notes.append((steps, note)))
    runner.conclude([pack], dict(zip(pack.fingerprints, trained, strict=True)), chosen, small_store)

    found = {int(run.data.tags["seed"]): run for run in stored("notes", role="replica")}
    (parent,) = stored("notes", role="variant")
    assert set(found) == {0, 1}
    assert [steps for steps, _ in notes] == [2, 2, 2]
    for result, fingerprint in zip(trained, pack.fingerprints, strict=True):
        run = found[result.seed]
        expected = ["notes", "l2", str(result.seed), "fair", "replica", fingerprint, pack.data_digest]
        assert [run.data.tags[name] for name in NAMES] == expected
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["weights_digest"] == result.weights_digest
        assert {"git_commit", "git_dirty", "cpu", "version.keras"} <= run.data.tags.keys()
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "cross_entropy", "val_cross_entropy"):
            assert curve(run, name) == result.curves[name]
            assert len(result.curves[name]) == 3
        for name in ("best_epoch", "best_val_cross_entropy", "best_val_accuracy", "generalization_gap"):
            assert run.data.metrics[name] == result.metrics[name]
        assert {name for name in run.data.metrics if name.startswith("system/")}
        assert run.info.status == "FINISHED"

    parameters = found[0].data.params
    assert {name: parameters[name] for name in ("l2", "hidden_units", "seed", "epochs", "batch_size")} == {
        "l2": "0.01",
        "hidden_units": "[16, 16]",
        "seed": "0",
        "epochs": "3",
        "batch_size": "20",
    }
    assert {"optimizer_name", "optimizer_learning_rate", "optimizer_rho", "data_order_seed"} <= parameters.keys()
    assert "figures/curves.png" in files(found[0], "figures")
    manifest = manifest_file.load("notes")
    inputs = {
        (entry.dataset.name, {tag.key: tag.value for tag in entry.tags}["sha256"])
        for entry in found[0].inputs.dataset_inputs
    }
    assert inputs == {("notes-training", manifest["train"]), ("notes-validation", manifest["train"])}


@pytest.mark.slow
def test_the_run_of_a_variant_holds_means_and_intervals_over_its_replicas(small_store: "Store") -> None:
    chosen, pack = replicas_of("original")
    trained = [one_run("notes", "original", seed, 20, LIKE_THE_LECTURE["original"]) for seed in (0, 1)]
    runner.conclude([pack], dict(zip(pack.fingerprints, trained, strict=True)), chosen, small_store)
    (parent,) = stored("notes", role="variant")
    assert parent.info.status == "FINISHED"
    losses = [result.metrics["best_val_cross_entropy"] for result in trained]
    metrics = parent.data.metrics
    assert metrics["seeds"] == 2
    assert metrics["mean_best_val_cross_entropy"] == pytest.approx(np.mean(losses))
    half = 12.706204736 * np.std(losses, ddof=1) / np.sqrt(2)  # Student's t, one degree of freedom
    assert metrics["high_best_val_cross_entropy"] == pytest.approx(np.mean(losses) + half)
    assert metrics["low_best_val_cross_entropy"] == pytest.approx(np.mean(losses) - half)
    assert "figures/curves.png" in files(parent, "figures")
    assert parent.data.params["variant"] == "original"


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["tones", "notes"])
def test_a_final_run_meets_the_test_split_and_its_model_is_the_one_that_was_trained(
    small_store: "Store", dataset: str
) -> None:
    chosen, pack = final_of(dataset)
    (result,) = runner.train_pack(pack, chosen, small_store)
    (run,) = stored(dataset, role="final")
    assert "mlflow.parentRunId" not in run.data.tags
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
    (figures,) = trainer.evaluate([model], test)
    assert figures["cross_entropy"] == pytest.approx(result.metrics["test_loss"], rel=1e-6)
    assert figures["accuracy"] == result.metrics["test_accuracy"]


@pytest.mark.slow
def test_a_variant_validated_on_test_names_its_inputs(small_store: "Store") -> None:
    chosen, pack = replicas_of("l2", protocol="lecture")
    (first, _) = runner.train_pack(pack, chosen, small_store)
    assert set(first.curves) == set(CURVES)
    runs = stored("notes", protocol="lecture")
    names = {entry.dataset.name for entry in next(r for r in runs if "seed" in r.data.tags).inputs.dataset_inputs}
    assert names == {"notes-all", "notes-test"}


# --- what is known -----------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_known_is_not_trained_again_and_a_changed_variant_alone_is_left(small_store: "Store") -> None:
    chosen, pack = replicas_of("dropout")
    planned = plan.plan(chosen, "fair", ["notes"], ["dropout", "l2"])
    assert runner.find_known(planned, small_store) == {}
    trained = runner.train_pack(pack, chosen, small_store)

    known = runner.find_known(planned, small_store)
    assert runner.results_of(planned, known) == trained  # bit for bit
    assert {p.variant for p in planned if p.without(known).seeds} == {"l2"}

    more = plan.plan(params(seeds=4), "fair", ["notes"], ["dropout"])
    known = runner.find_known(more, small_store)
    assert len(known) == 2
    assert {seed for p in more for seed in p.without(known).seeds} == {2, 3}

    other = params(variants={"dropout": {"dropout_rate": 0.2}, "original": {}, "l2": {}})
    assert runner.find_known(plan.plan(other, "fair", ["notes"], ["dropout"]), small_store) == {}
    renamed = params(variants={"half": {"dropout_rate": 0.5}, "original": {}, "l2": {}})
    half = plan.plan(renamed, "fair", ["notes"], ["half"])
    found = runner.results_of(half, runner.find_known(half, small_store))
    assert [(run.variant, run.weights_digest) for run in found] == [("half", run.weights_digest) for run in trained]


@pytest.mark.slow
@pytest.mark.parametrize("pack_decides", [False, True])
def test_a_pack_that_is_known_in_part_goes_on_to_the_same_bytes(
    small_store: "Store", monkeypatch: pytest.MonkeyPatch, pack_decides: bool
) -> None:
    """The rest alone where that gives the same bytes; else the whole pack, of which the rest is recorded."""
    if provenance.pack_decides() and not pack_decides:
        pytest.skip("products of this machine depend on their width")
    monkeypatch.setattr(provenance, "pack_decides", lambda: pack_decides)
    chosen, pack = replicas_of("dropout", pack_units=80, seeds=4)
    runner.train_pack(pack.without(pack.fingerprints[:1]), chosen, small_store)
    left = pack.without(runner.find_known([pack], small_store))
    assert left.seeds == ((0, 1, 2, 3) if pack_decides else (0,))
    runner.train_pack(left, chosen, small_store)
    tags = [run.data.tags["fingerprint"] for run in stored("notes", role="replica")]
    assert sorted(tags) == sorted(pack.fingerprints)  # each recorded once
    found = runner.results_of([pack], runner.find_known([pack], small_store))
    assert found == runner.train_pack(pack, chosen, small_store)


@pytest.mark.slow
def test_packs_of_one_variant_share_one_parent_that_a_changed_parameter_does_not_touch(small_store: "Store") -> None:
    chosen, _ = replicas_of("larger")
    packs = plan.plan(chosen, "fair", ["notes"], ["larger"])
    assert len(packs) == 2  # too wide for a common pack
    threads = [threading.Thread(target=runner.train_pack, args=(p, chosen, small_store)) for p in packs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (parent,) = stored("notes", role="variant")
    assert {run.data.tags["mlflow.parentRunId"] for run in stored("notes", role="replica")} == {parent.info.run_id}

    faster = params(seeds=1)
    learning = dataclasses.replace(packs[0], parameters={**packs[0].parameters, "optimizer_learning_rate": 0.01})
    assert runner.parent_run(learning, small_store).id != runner.parent_run(packs[0], small_store).id
    assert runner.parent_run(plan.plan(faster, "fair", ["notes"], ["larger"])[0], small_store).id == (
        runner.parent_run(packs[0], small_store).id
    )


# --- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_loss_that_is_not_finite_leaves_failed_runs_and_no_model(small_store: "Store") -> None:
    chosen, pack = replicas_of("l2")
    data = chosen.datasets["notes"]
    wild = Optimizer(name="sgd", learning_rate=10.0, momentum=0.99)
    steep = chosen.model_copy(
        update={
            "datasets": {
                "notes": data.model_copy(update={"training": data.training.model_copy(update={"optimizer": wild})})
            },
            "variants": {"l2": chosen.variants["l2"].model_copy(update={"l2": 10.0})},
        }
    )
    long = dataclasses.replace(pack, epochs=40)
    with pytest.raises(TrainingError, match=r"Small texts, seed \d: .* at epoch"):
        runner.train_pack(long, steep, small_store)
    runner.conclude([long], {}, steep, small_store)
    runs = stored("notes")
    assert {run.info.status for run in runs} == {"FAILED"}
    errors = {run.data.tags["role"]: run.data.tags["error"] for run in runs}
    assert "expected a finite number" in errors["replica"]
    assert errors["variant"] == "seeds [0, 1] are not trained; run the command again"
    assert not any(run.outputs.model_outputs for run in runs)
    assert runner.find_known([long], small_store) == {}


def test_damaged_data_are_refused_before_a_run_is_made(small_store: "Store") -> None:
    chosen, pack = replicas_of("original")
    path = paths.vectorized("notes") / "train" / "labels.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"labels\.npy: cannot be read .*; run `dvc repro vectorize`"):
        runner.train_pack(pack, chosen, small_store)
    assert client().get_experiment_by_name("notes") is None


# --- compare -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_comparison_lies_in_reports_and_in_the_store(small_store: "Store") -> None:
    chosen = params()
    run_result.save(paths.trained("fair"), like_the_lecture(chosen, range(3)), "cpu")
    runner.compare(chosen)
    assert (paths.comparison() / "table.md").exists()
    for dataset in chosen.datasets:
        (run,) = stored(dataset, role="comparison")
        assert {"table.md", "metrics.json", "figures", "index.html"} <= files(run)
