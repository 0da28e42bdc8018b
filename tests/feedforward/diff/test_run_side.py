"""The figures of a run as a side of a comparison."""

from feedforward.config.schema import load_params
from feedforward.diff import run_side
from feedforward.diff.sides import Figure
from feedforward.tracking import LoggedRun
from feedforward.tracking.registry import Registry


def test_test_metrics_have_intervals_over_the_test_samples() -> None:
    metrics = {"test_accuracy": 1.0, "test_accuracy_se": 0.07, "test_r2": 0.5, "test_r2_se": 0.1, "best_epoch": 3.0}
    run = LoggedRun("1a2b3c4d", "final", "FINISHED", {}, {}, metrics, "file:///nowhere")
    figures = run_side.run_side(run, Registry(), load_params()).figures
    assert set(figures) == {"test_accuracy", "test_r2", "best_epoch"}
    assert figures["best_epoch"] == Figure(3.0)
    accuracy, r2 = figures["test_accuracy"], figures["test_r2"]
    assert (round(accuracy.low or 0, 4), accuracy.high) == (0.8628, 1.0)
    assert (round(r2.low or 0, 4), round(r2.high or 0, 4)) == (0.304, 0.696)


def test_a_run_whose_dataset_was_deleted_in_mlflow_has_no_model_to_compare() -> None:
    run = LoggedRun("1a2b3c4d", "final", "FINISHED", {"weights_digest": "0" * 64}, {}, {}, "file:///nowhere")
    assert run_side.run_side(run, Registry(), load_params()).models == {}


def test_a_metric_of_a_single_test_sample_has_no_interval() -> None:
    run = LoggedRun("1a2b3c4d", "final", "FINISHED", {}, {}, {"test_mae": 2.0, "test_mae_se": 0.0}, "file:///nowhere")
    assert run_side.run_side(run, Registry(), load_params()).figures == {"test_mae": Figure(2.0)}
