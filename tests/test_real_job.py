"""Results of a finished `make run` on the real data, in the reports and in MLflow."""

import json
import os
from pathlib import Path

import pytest

from feedforward.analysis import run_result, statistics
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import load_params
from feedforward.core import paths

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (ROOT / "data" / "trained" / "fair.json").exists(), reason="needs the results of `make run`"
    ),
]


@pytest.fixture(scope="module")
def runs() -> list[RunResult]:
    os.environ["FEEDFORWARD_ROOT"] = str(ROOT)
    return run_result.load(paths.trained("fair"))


def final_metric(runs: list[RunResult], dataset: str, metric: str) -> list[float]:
    return [run.metrics[metric] for run in runs if run.dataset == dataset and run.role == "final"]


def test_every_variant_of_every_dataset_has_all_its_seeds(runs: list[RunResult]) -> None:
    params = load_params(ROOT / "params.yaml")
    expected = {(d, v, s) for d in params.datasets for v in params.variants for s in range(params.seeds)}
    assert {(run.dataset, run.variant, run.seed) for run in runs if run.role == "replica"} == expected


def test_mnist_final_accuracy_matches_the_lecture(runs: list[RunResult]) -> None:
    for accuracy in final_metric(runs, "mnist", "test_accuracy"):
        assert 0.975 <= accuracy <= 0.985


def test_imdb_final_loss_and_accuracy_match_the_lecture(runs: list[RunResult]) -> None:
    # single runs: three standard deviations of the study's 20 seeds (docs/study.md), which are about .018 and .005
    for loss in final_metric(runs, "imdb", "test_loss"):
        assert 0.24 <= loss <= 0.35
    for accuracy in final_metric(runs, "imdb", "test_accuracy"):
        assert 0.865 <= accuracy <= 0.9
    summary = statistics.summarize([r for r in runs if r.dataset == "imdb"], ["original"])["original"]
    assert 0.28 <= summary["test_loss"].mean <= 0.32
    assert 0.875 <= summary["test_accuracy"].mean <= 0.89


def test_imdb_original_overfits_as_in_the_lecture(runs: list[RunResult]) -> None:
    for run in runs:
        if (run.dataset, run.variant, run.role) == ("imdb", "original", "replica"):
            assert 3 <= run.metrics["best_epoch"] <= 7
            assert run.metrics["last_val_cross_entropy"] >= 1.5 * run.metrics["best_val_cross_entropy"]


def test_mlflow_has_the_metrics_of_the_results_file_under_their_documented_names(runs: list[RunResult]) -> None:
    from feedforward.tracking import open_store

    store = open_store()
    for dataset in {run.dataset for run in runs}:
        stored = {
            (run.tags["variant"], int(run.tags["seed"]), role): run
            for role in ("replica", "final")
            for run in reversed(store.find_runs(dataset, protocol="fair", role=role))  # the latest run of a seed counts
        }
        for run in runs:
            if run.dataset == dataset:
                stored_run = stored[run.variant, run.seed, run.role]
                assert stored_run.tags["weights_digest"] == run.weights_digest
                for name, value in run.metrics.items():
                    assert stored_run.metrics[name] == value
        variants = {run.tags["variant"]: run for run in store.find_runs(dataset, protocol="fair", role="variant")}
        for variant in {run.variant for run in runs if run.dataset == dataset}:
            metrics = variants[variant].metrics
            assert metrics["interval/best_val_cross_entropy_low"] < metrics["mean_best_val_cross_entropy"]


def test_comparison_page_and_figures_are_in_the_reports_folder(runs: list[RunResult]) -> None:
    folder = paths.comparison()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {run.dataset for run in runs} == set(metrics)
    page = (folder / "index.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(list((folder / "figures").glob("*.png"))) >= 10
