"""Sweeps on small data with a real store: nested runs, resuming after a kill, failed trials.

They also test how the best trials are confirmed with fresh seeds, and that the winner is tested only once.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from small_data import HELD_OUT, TRAIN, params_with
from small_data import params as small_params
from synthetic_runs import Shape, final_run, replica_run

from feedforward import tracking
from feedforward.analysis.intervals import Estimate, estimate
from feedforward.config.schema import Params, load_params
from feedforward.experiments import plan, reuse, search_space, sweep_confirmation, sweep_files
from feedforward.experiments.plan import Pack
from feedforward.experiments.search_space import Axis, Point
from feedforward.experiments.sweep import STATISTIC, Sweep, name_of, start
from feedforward.experiments.sweep import trials as plan_trials
from feedforward.experiments.sweep_outcome import Outcome, WinnerTest
from feedforward.models import metrics
from feedforward.reports import sweep_figures

if TYPE_CHECKING:
    from feedforward.tracking import Store


def run_sweep(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "feedforward.cli", "sweep", "notes", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=200
    )


@pytest.mark.slow
@pytest.mark.usefixtures("small_store", "prefect_server")
def test_a_killed_grid_resumes_and_its_runs_are_nested(tmp_path: Path) -> None:
    arguments = ["dropout_rate=0,0.5", "l2=0,0.01", "--confirm", "2", "--fresh-seeds", "2", "--test", "--json"]
    killed = run_sweep(tmp_path, *arguments, FAULT="train.after_log")
    assert killed.returncode == -signal.SIGKILL
    done = run_sweep(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert [trial["values"] for trial in outcome["trials"]] == [
        {"dropout_rate": rate, "l2": l2} for rate in (0, 0.5) for l2 in (0, 0.01)
    ]
    means = [trial["best_val_cross_entropy"]["mean"] for trial in outcome["trials"]]
    assert outcome["best"] == outcome["trials"][int(np.argmin(means))]["values"]

    store = tracking.open_store()
    (parent,) = store.find_runs("notes", None, role="sweep")
    assert parent.status == "FINISHED"
    assert parent.metrics["lowest_mean_best_val_cross_entropy"] == pytest.approx(min(means))
    assert parent.params["dropout_rate"] == "0,0.5"
    assert parent.metrics[f"expected_best_{STATISTIC}"] == pytest.approx(min(means))  # of all trials
    assert parent.metrics["selection_bias"] == pytest.approx(outcome["confirmed"][0]["selection_bias"]["mean"])
    trials = store.find_runs("notes", None, role="trial")
    confirmations = store.find_runs("notes", role="confirmation")
    (test,) = store.find_runs("notes", role="sweep_test")
    assert {run.tags["mlflow.parentRunId"] for run in (*trials, *confirmations, test)} == {parent.run_id}
    assert sorted(run.metrics["mean_best_val_cross_entropy"] for run in trials) == pytest.approx(sorted(means))
    replicas = store.find_runs("notes", role="replica")
    assert len(replicas) == 2 * 4 + 2 * 2  # none was trained twice
    assert {r.tags["mlflow.parentRunId"] for r in replicas} == {run.run_id for run in (*trials, *confirmations)}
    fresh = [r for r in replicas if r.tags["mlflow.parentRunId"] in {run.run_id for run in confirmations}]
    assert {r.tags["seed"] for r in fresh} == {"1000", "1001"}
    assert outcome["confirmed"][0]["values"] == outcome["best"]
    biases = {run.tags["search_rank"]: run.metrics["selection_bias"] for run in confirmations}
    assert biases == {
        str(rank): pytest.approx(entry["fresh"]["mean"] - entry["search"]["mean"])
        for rank, entry in enumerate(outcome["confirmed"], 1)
    }
    for run in trials:
        children = [r for r in replicas if r.tags["mlflow.parentRunId"] == run.run_id]
        assert {(r.params["l2"], r.params["dropout_rate"]) for r in children} == {
            (run.params["l2"], run.params["dropout_rate"])
        }
    (folder,) = (tmp_path / "reports" / "sweeps").iterdir()
    assert folder == sweep_files.folder_of("notes", ["dropout_rate", "l2"])
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "sweep.json").read_text()) == outcome
    assert "dropout_rate=0.5 l2=0.01" in (folder / "table.md").read_text()

    finals = store.find_runs("notes", role="final")
    assert {(run.tags["seed"], run.tags["mlflow.parentRunId"]) for run in finals} == {
        ("1000", test.run_id), ("1001", test.run_id)
    }  # fmt: skip
    assert outcome["test"]["values"] == outcome["winner"] == json.loads(test.tags["values"])
    accuracy = outcome["test"]["figures"]["test_accuracy"]["mean"]
    assert accuracy == pytest.approx(np.mean([run.metrics["test_accuracy"] for run in finals]))
    page = (folder / "index.html").read_bytes()
    repeated = run_sweep(tmp_path, *arguments)  # returns the stored result and trains nothing
    assert json.loads(repeated.stdout) == outcome
    assert len(store.find_runs("notes", role="final")) == len(finals)
    assert (folder / "index.html").read_bytes() == page


@pytest.mark.usefixtures("small_store")
def test_repeated_points_give_equal_trials_and_are_planned_only_once() -> None:
    sweep = Sweep(small_params(), "notes", "original", [Axis("l2", (0.0, 0.1))], seeds=2, trials=3)
    trials, packs = plan_trials(sweep, [{"l2": 0.1}, {"l2": 0.0}, {"l2": 0.1}], range(2))
    assert [trial.point["l2"] for trial in trials] == [0.1, 0.0, 0.1]
    assert trials[0] == trials[2]
    planned = [member.fingerprint for pack, _ in packs for member in pack.members]
    assert len(planned) == len(set(planned)) == 2 * 2


L2, SIZE = Axis("l2", (0.0, 0.1)), Axis("size", ("small", "large"))


@pytest.mark.proves(
    "A sweep's results are no longer shown once its runs' other parameters, or the widths behind a size that it tries,"
    " have changed"
)
@pytest.mark.usefixtures("small_store")
@pytest.mark.parametrize(
    ("path", "value", "axis", "is_different_sweep"),
    [
        ("datasets/notes/training/epochs", 77, L2, True),
        ("datasets/notes/training/validation/samples", HELD_OUT - 1, L2, True),
        ("datasets/notes/network/sizes/large", [8, 8], SIZE, True),
        ("datasets/notes/network/sizes/large", [8, 8], L2, False),
        ("datasets/notes/network/sizes/deep", [8, 8, 8], SIZE, False),
        ("datasets/notes/title", "Other texts", SIZE, False),
    ],
)
def test_a_sweep_whose_runs_have_other_parameters_is_a_different_sweep(
    path: str, value: Any, axis: Axis, is_different_sweep: bool
) -> None:
    before, after = (
        Sweep(params, "notes", "original", [axis], seeds=2) for params in (small_params(), params_with(path, value))
    )
    assert (run_fingerprints(before) != run_fingerprints(after)) == is_different_sweep
    assert (before.tags("sweep_test", "x") != after.tags("sweep_test", "x")) == is_different_sweep


def run_fingerprints(sweep: Sweep) -> set[str]:
    """Return the fingerprints of the runs of all trials."""
    _, packs = plan_trials(sweep, list(search_space.grid(sweep.axes)), range(sweep.seeds))
    return {fingerprint for pack, _ in packs for fingerprint in pack.fingerprints}


@pytest.mark.slow
@pytest.mark.usefixtures("small_store", "prefect_server")
def test_a_failed_trial_is_reported_and_the_others_are_shown(tmp_path: Path) -> None:
    diverging = [
        "--confirm",
        "0",
        "epochs=40",
        "optimizer.name=sgd",
        "optimizer.learning_rate=10",
        "optimizer.momentum=0.99",
    ]
    done = run_sweep(tmp_path, "l2=0,10", *diverging, "--trials", "3", "--seeds", "1")
    assert done.returncode == 1
    assert "l2=0 epochs=40" in done.stdout
    assert "could not be trained: l2=10 epochs=40" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    statuses = {run.status for run in tracking.open_store().find_runs("notes", None, role="trial")}
    assert statuses == {"FINISHED", "FAILED"}


@pytest.mark.usefixtures("small")
def test_a_learning_curve_validates_every_share_on_the_same_samples() -> None:
    sweep = Sweep(small_params(), "notes", "original", [Axis("train_share", (0.25, 1.0))], seeds=1)
    _, packs = plan_trials(sweep, [{"train_share": 0.25}, {"train_share": 1.0}], [7])
    samples_by_size = {
        len(training): (training, validation) for training, validation in (loaded(*pack) for pack in packs)
    }
    assert sorted(samples_by_size) == [round(0.25 * (TRAIN - HELD_OUT)), TRAIN - HELD_OUT]
    (quarter, quarter_validation), (full, full_validation) = (samples_by_size[size] for size in sorted(samples_by_size))
    np.testing.assert_array_equal(quarter_validation.rows, full_validation.rows)
    assert set(quarter.rows) < set(full.rows)


def loaded(pack: Pack, params: Params) -> Any:
    from feedforward.experiments import training_run  # imports TensorFlow

    return training_run.load(pack, params.datasets[pack.dataset])


@pytest.mark.usefixtures("small")
def test_confirmation_uses_seeds_that_no_search_can_use_and_final_models_train_to_the_mean_best_epoch() -> None:
    axes = [Axis("l2", (0.0, 0.1))]
    sweep = Sweep(small_params(), "notes", "original", axes, seeds=3, confirm=1, fresh_seeds=2)
    names = [name_of(sweep, {"l2": l2}) for l2 in axes[0].values]
    runs = {name: [replica_run("notes", name, seed, 8, Shape(0.2 + k, 1.0, 0.1)) for seed in range(3)]
            for k, name in enumerate(names)}  # fmt: skip
    points = {name: {"l2": l2} for name, l2 in zip(names, axes[0].values, strict=True)}
    search_outcome = Outcome(sweep, runs, points)  # type: ignore[arg-type]
    [trial], _ = sweep_confirmation.fresh_trials(search_outcome)
    assert trial.name == names[0]
    assert [pack.seed for pack, _ in trial.members] == [1000, 1001]
    fresh = {trial.name: [replica_run("notes", trial.name, seed, 8, Shape(0.25, 1.0, 0.1)) for seed in (1000, 1001)]}
    final, packs = sweep_confirmation.final_trial(dataclasses.replace(search_outcome, fresh=fresh))
    assert {pack.role for pack, _ in packs} == {"final"}
    mean_best_epoch = np.mean([run.metrics["best_epoch"] for run in fresh[trial.name]])
    assert {pack.epochs for pack, _ in final.members} == {round(mean_best_epoch)}


def test_a_second_test_of_a_sweep_returns_the_stored_result(small_store: "Store") -> None:
    axes = [Axis("l2", (0.0, 0.1)), Axis("dropout_rate", (0.0,))]
    sweep = Sweep(small_params(), "notes", "original", axes, seeds=2, confirm=1, fresh_seeds=2)
    parent = start(sweep, small_store)
    assert sweep_confirmation.stored_test(sweep, parent, small_store) is None
    point: Point = {"l2": 0.1, "dropout_rate": 0.0}
    name = name_of(sweep, point)
    fresh = {name: [replica_run("notes", name, seed, 8, Shape(0.25, 1.0, 0.1)) for seed in (1000, 1001)]}
    winner = Outcome(sweep, fresh, {name: point}, fresh)
    trial, _ = sweep_confirmation.final_trial(winner)
    results = {m.fingerprint: final_run("notes", name, pack.seed, 2, 0.9) for pack, m in trial.members}
    run = sweep_confirmation.start_test(sweep, parent, small_store)
    tested = sweep_confirmation.close_test(run, trial, results, small_store)
    assert tested is not None
    for same_sweep in (sweep, dataclasses.replace(sweep, seeds=9, confirm=3)):  # their numbers do not matter
        stored = sweep_confirmation.stored_test(same_sweep, parent, small_store)
        assert stored == tested
        assert list(stored.point) == list(tested.point)  # so that both have the same text
    assert "was not tested" not in dataclasses.replace(winner, tested=tested).tested_text()
    overtaken = dataclasses.replace(winner, tested=dataclasses.replace(tested, point={"l2": 0.0}))
    assert "l2=0.1 dropout_rate=0, which is ahead now, was not tested" in overtaken.tested_text()
    assert "on all training samples" in dataclasses.replace(winner, tested=tested).tested_text()
    other = dataclasses.replace(sweep, axes=[Axis("l2", (0.0, 0.2))])
    assert sweep_confirmation.stored_test(other, parent, small_store) is None


@pytest.mark.proves(
    "After a change to a metric's code, the test of a sweep's winner is computed again, without training"
)
@pytest.mark.slow
def test_after_a_change_of_evaluation_code_the_test_of_the_same_final_models_is_recomputed(
    small_store: "Store", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from feedforward.experiments import runner  # imports TensorFlow

    sweep = Sweep(small_params(), "notes", "original", [Axis("l2", (0.0, 0.1))], seeds=2, confirm=1, fresh_seeds=2)
    point: Point = {"l2": 0.1}
    name = name_of(sweep, point)
    fresh = {name: [replica_run("notes", name, seed, 2, Shape(0.25, 1.0, 0.1)) for seed in (1000, 1001)]}
    trial, packs = sweep_confirmation.final_trial(Outcome(sweep, fresh, {name: point}, fresh))
    for pack, params in packs:
        runner.train_pack(pack, params, small_store)
    parent = start(sweep, small_store)
    run = sweep_confirmation.start_test(sweep, parent, small_store)
    results = reuse.find_finished([pack for pack, _ in packs], small_store)
    before = sweep_confirmation.close_test(run, trial, results, small_store)
    assert before is not None

    real = metrics.scores
    monkeypatch.setattr(metrics, "scores", lambda *given: (real(*given)[0], real(*given)[1] * 0))
    assert sweep_confirmation.stored_test(sweep, parent, small_store) == before  # the code's digest is still the same
    monkeypatch.setattr(reuse, "code_digest", lambda _: "another digest")
    after = sweep_confirmation.stored_test(dataclasses.replace(sweep, fresh_seeds=9), parent, small_store)
    assert after is not None
    assert (before.estimates["test_accuracy"].mean > 0, after.estimates["test_accuracy"].mean) == (True, 0)
    assert after.estimates["test_loss"] == before.estimates["test_loss"]
    [test] = small_store.find_runs("notes", role="sweep_test")
    assert test.metrics["mean_test_accuracy"] == 0
    assert len(small_store.find_runs("notes", role="final")) == 2  # none was trained again
    assert not caplog.messages
    monkeypatch.setattr(plan, "code_digest", lambda _: "other training code")
    assert sweep_confirmation.stored_test(sweep, parent, small_store) == after
    assert "its final models are not in the store or were trained by other code" in caplog.messages[0]


@pytest.mark.parametrize("axis", [Axis("train_share", (0.25, 1.0)), Axis("l2", (0.0, 0.1))])
def test_the_test_of_a_winner_names_the_share_of_the_training_samples(axis: Axis) -> None:
    params = params_with("datasets/notes/training/train_share", 0.5)
    sweep = Sweep(params, "notes", "original", [axis], seeds=2)
    tested = WinnerTest({axis.field: axis.values[0]}, 3, {"test_accuracy": Estimate(2, 0.9)})
    share = "25" if axis.field == "train_share" else "50"
    text = Outcome(sweep, {}, {}, tested=tested).tested_text()
    assert f"trained for 3 epochs on {share} % of the training samples, drawn by the seed" in text


def synthetic_outcome(axes: list[Axis], shapes: dict[str, tuple[dict[str, Any], Shape]], seeds: int = 3) -> Outcome:
    runs = {
        name: [replica_run("d", name, seed, 8, shape) for seed in range(seeds)] for name, (_, shape) in shapes.items()
    }
    points = {name: point for name, (point, _) in shapes.items()}
    return Outcome(Sweep(load_params(), "d", "original", axes, seeds), runs, points)


def test_verdict_names_the_best_trial_and_those_not_distinguished_from_it() -> None:
    low, almost_equal = Shape(0.2, 1.0, 0.01), Shape(0.201, 1.0, 0.01)
    shapes = {
        "a": ({"l2": 0.1}, low),
        "b": ({"l2": 0.2}, almost_equal),
        "c": ({"l2": 0.3}, Shape(0.4, 1.0, 0.01)),
    }
    result = synthetic_outcome([Axis("l2", (0.1, 0.2, 0.3))], shapes, seeds=8)
    best, tied = result.ranking.order[0][0], result.ranking.tied
    assert best in "ab"
    assert tied == ["b" if best == "a" else "a"]
    assert f"lowest validation loss: {result.text(best)}, 0." in result.verdict()
    assert result.verdict().endswith(f"8 seeds do not distinguish it from {result.text(tied[0])}")
    assert (
        "with one seed, the order of the trials is not significant"
        in synthetic_outcome([Axis("l2", (0.1,))], shapes, seeds=1).verdict()
    )


@pytest.mark.proves("The verdict of a sweep names every trial that the best one does not beat")
@pytest.mark.usefixtures("small")
def test_verdict_names_a_trial_that_only_others_beat() -> None:
    """One bad seed hides that the best trial beats the worst trial; the second-best trial does beat the worst."""
    losses = {
        0.1: [0.1, 0.5, 0.11, 0.12, 0.1, 0.1],
        0.2: [0.2, 0.201, 0.199] * 2,
        0.3: [0.3, 0.302, 0.301, 0.304, 0.302, 0.304],
    }
    runs = {
        str(l2): [
            dataclasses.replace(replica_run("notes", str(l2), seed, 8, Shape(0.2, 1.0, 0.1)), metrics={STATISTIC: loss})
            for seed, loss in enumerate(values)
        ]
        for l2, values in losses.items()
    }
    points: dict[str, Point] = {str(l2): {"l2": l2} for l2 in losses}
    outcome = Outcome(Sweep(small_params(), "notes", "original", [Axis("l2", tuple(losses))], 6), runs, points)
    assert (outcome.ranking.tied, outcome.ranking.beaten) == (["0.2"], [])
    assert outcome.verdict().endswith("6 seeds do not distinguish it from l2=0.2; l2=0.3")
    assert outcome.as_json()["not_distinguished_from_best"] == [{"l2": 0.2}, {"l2": 0.3}]
    assert sweep_files._page(outcome).tied == ["l2=0.2", "l2=0.3"]


@pytest.mark.usefixtures("small")
def test_no_two_sweeps_share_a_folder() -> None:
    sweeps = [("toy-size", ["l2"]), ("toy", ["size", "l2"]), ("toy", ["l2"]), ("toy-l2", ["l2"]), ("toy", ["l2", "l2"])]
    assert len({sweep_files.folder_of(*sweep) for sweep in sweeps}) == len(sweeps)
    known = search_space.fields("notes", "original")
    assert not [field for field in known if "-" in field or "+" in field]  # which separate the parts of a folder's name


def test_figures_of_sweeps_show_one_two_and_more_fields() -> None:
    losses = [[0.3, 0.31], [0.25, 0.26], [0.4, 0.45], [0.5, 0.6]]
    means = [mean for values in losses if (mean := estimate(values))]
    [numeric_axes] = sweep_figures.against_values({"l2": [0, 1e-4, 1e-2, 1]}, losses, means, "t").axes
    assert numeric_axes.get_xscale() == "symlog"
    assert len(numeric_axes.collections) == 1  # the band of the intervals
    assert [label.get_text() for label in numeric_axes.get_xticklabels()] == ["0", "0.0001", "0.01", "1"]
    [text_axes] = sweep_figures.against_values({"size": ["small", "base", "large", "huge"]}, losses, means, "t").axes
    assert [label.get_text() for label in text_axes.get_xticklabels()] == ["small", "base", "large", "huge"]
    columns = {"l2": [0, 0, 1, 1], "size": ["small", "base", "small", "base"]}
    [map_axes] = sweep_figures.heat_map(columns, [0.3, 0.2, 0.4, 0.5], "t", 2).axes
    assert {text.get_text() for text in map_axes.texts} == {"0.3000", "0.2000", "0.4000", "0.5000"}
    assert len(sweep_figures.against_values({**columns, "epochs": [1, 2, 3, 4]}, losses, means, "t").axes) == 3
