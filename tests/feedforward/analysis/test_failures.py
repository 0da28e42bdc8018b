"""Detection of seeds that never learned, following the documented rule."""

import dataclasses

import pytest

from feedforward.analysis import failures
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset, load_params


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return next(dataset for dataset in load_params().datasets.values() if dataset.task == "binary")


def run(seed: int, val_loss: float, training_loss: float = 0.01, **metrics: float) -> RunResult:
    curves, metrics = {"cross_entropy": [0.7, training_loss]}, {"best_val_cross_entropy": val_loss, **metrics}
    return RunResult("imdb", "smaller", seed, "fair", "replica", curves, metrics, "0" * 64)


def test_seeds_with_a_high_training_loss_never_learned(dataset: Dataset) -> None:
    """Three seeds near 0.28 and two near 0.42, like the five runs with the mean 0.3416 in docs/comparison.md."""
    runs = [
        run(seed, val_loss, training_loss)
        for seed, (val_loss, training_loss) in enumerate(
            [(0.28, 0.01), (0.42, 0.4), (0.28, 0.01), (0.43, 0.4), (0.28, 0.01)]
        )
    ]
    [entry] = failures.find(runs, dataset)
    assert (entry.seeds, entry.n) == ((1, 3), 5)
    assert str(entry) == (
        "2 of 5 seeds never learned: the training loss stayed high as well, as with dead units (seeds 1, 3)"
    )


def test_message_names_dead_units_if_they_were_counted(dataset: Dataset) -> None:
    [entry] = failures.find([run(0, 0.28, dead_units=0.0), run(1, 0.6, dead_units=0.5)], dataset)
    assert str(entry) == "1 of 2 seeds never learned: dead units (seed 1)"


def test_seeds_that_are_merely_worse_are_not_failures(dataset: Dataset) -> None:
    runs = [run(seed, 0.40 + 0.01 * seed) for seed in range(5)]
    assert failures.find(runs, dataset) == []


def test_all_seeds_are_reported_if_none_learned(dataset: Dataset) -> None:
    [entry] = failures.find([run(seed, 0.692) for seed in range(3)], dataset)
    assert len(entry.seeds) == 3


def test_constant_loss_is_the_recorded_one_or_else_follows_from_the_task(dataset: Dataset) -> None:
    without_record = run(0, 0.3)
    assert failures.constant_loss(without_record, dataset) == pytest.approx(0.6931, abs=1e-4)
    assert failures.constant_loss(run(0, 0.3, constant_val_cross_entropy=0.325), dataset) == 0.325
    assert failures.constant_loss(without_record, dataset.model_copy(update={"task": "regression"})) == 1.0


def test_final_runs_are_ignored_because_they_have_no_validation_loss(dataset: Dataset) -> None:
    assert failures.find([dataclasses.replace(run(0, 0.3), role="final", metrics={})], dataset) == []
