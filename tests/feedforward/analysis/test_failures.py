"""Detection of seeds that got stuck, following the documented rule."""

import dataclasses
from collections.abc import Sequence

import pytest

from feedforward.analysis import failures
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset, load_params


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return next(dataset for dataset in load_params().datasets.values() if dataset.task == "binary")


def run(
    seed: int, val_loss: float, training_loss: float = 0.01, val_losses: Sequence[float] = (), **metrics: float
) -> RunResult:
    """A run whose validation loss is lowest after the first epoch, unless `val_losses` are given."""
    curves = {"cross_entropy": [2.0, training_loss], "val_cross_entropy": list(val_losses) or [val_loss, 2.0]}
    metrics = {"best_val_cross_entropy": val_loss, **metrics}
    return RunResult("imdb", "smaller", seed, "fair", "replica", curves, metrics, "0" * 64)


def test_seeds_with_a_high_training_loss_got_stuck(dataset: Dataset) -> None:
    """Three seeds near 0.28 and two near 0.42, like five runs of `smaller` on IMDb reviews."""
    runs = [
        run(seed, val_loss, training_loss)
        for seed, (val_loss, training_loss) in enumerate(
            [(0.28, 0.01), (0.42, 0.4), (0.28, 0.01), (0.43, 0.4), (0.28, 0.01)]
        )
    ]
    [entry] = failures.find(runs, dataset)
    assert (entry.seeds, entry.n) == ((1, 3), 5)
    assert str(entry) == "2 of 5 seeds got stuck: the training loss stayed high as well (seeds 1, 3)"


def test_message_gives_the_dead_units_of_both_sides_because_one_more_need_not_be_the_cause(dataset: Dataset) -> None:
    [entry] = failures.find([run(0, 0.28, dead_units=1.0), run(1, 0.6, 0.6, dead_units=3.0)], dataset)
    assert str(entry) == "1 of 2 seeds got stuck: 3 dead units, the others 1 (seed 1)"


def test_message_about_one_dead_unit_is_in_the_singular(dataset: Dataset) -> None:
    [entry] = failures.find([run(0, 0.28), run(1, 0.6, 0.6, dead_units=1.0)], dataset)
    assert entry.sign == "1 dead unit, the others 0"


def test_dead_units_that_a_run_can_do_without_are_not_mentioned(dataset: Dataset) -> None:
    [entry] = failures.find([run(0, 0.28, dead_units=1.0), run(1, 0.6, 0.6, dead_units=1.0)], dataset)
    assert str(entry) == "1 of 2 seeds got stuck: the training loss stayed high as well (seed 1)"


# lowest validation loss, lowest training loss and constant validation loss of five seeds that all learned
LEARNED = {
    "a regression, whose targets differ in variance between splits": [
        (0.0147, 0.0135, 0.886), (0.0180, 0.0097, 1.239), (0.0126, 0.0101, 0.840), (0.0094, 0.0118, 0.973),
        (0.0088, 0.0174, 0.678),
    ],
    "64 validation samples, of which seed 0 drew hard ones": [
        (0.4457, 0.3224, 0.6855), (0.3171, 0.3426, 0.6855), (0.3005, 0.3444, 0.6855), (0.3656, 0.3322, 0.6855),
        (0.3871, 0.3295, 0.6855),
    ],
    "multiple labels, one of which is rare": [
        (0.0890, 0.1074, 0.2813), (0.1315, 0.1037, 0.6004), (0.1357, 0.1079, 0.6081), (0.0962, 0.1056, 0.5886),
        (0.1088, 0.0883, 0.5987),
    ],
}  # fmt: skip


@pytest.mark.parametrize("losses", LEARNED.values(), ids=LEARNED)
def test_seeds_whose_validation_split_is_harder_are_not_failures(
    losses: list[tuple[float, float, float]], dataset: Dataset
) -> None:
    runs = [run(seed, a, b, constant_val_cross_entropy=constant) for seed, (a, b, constant) in enumerate(losses)]
    assert failures.find(runs, dataset) == []


def test_no_seed_learned_if_none_learned_even_the_training_samples(dataset: Dataset) -> None:
    """A loss that is lower than the constant prediction's on a few validation samples is luck."""
    [entry] = failures.find([run(0, 0.640, 0.6915), run(1, 0.692, 0.6949)], dataset)
    assert entry.seeds == (0, 1)


def test_a_dead_network_got_stuck_whatever_its_split(dataset: Dataset) -> None:
    runs = [run(seed, 0.3, 0.1, constant_val_cross_entropy=0.6) for seed in range(4)]
    [entry] = failures.find([*runs, run(4, 0.4, 0.69, constant_val_cross_entropy=0.4)], dataset)
    assert entry.seeds == (4,)


@pytest.mark.proves("A seed that is still learning in its last epochs is not reported as failed")
def test_a_seed_that_is_still_learning_is_not_stuck(dataset: Dataset) -> None:
    """Losses like those of a short training with 86 % accuracy."""
    good = [run(seed, 0.752, 0.70, constant_val_cross_entropy=1.099) for seed in range(3)]
    falling = [1.1 - k * (1.1 - 0.887) / 11 for k in range(12)]
    slow = run(3, 0.887, 0.86, falling, constant_val_cross_entropy=1.099, dead_units=1.0)
    assert failures.find([*good, slow], dataset) == []
    stopped = run(3, 0.887, 0.86, [*falling, 0.9, 0.9], constant_val_cross_entropy=1.099, dead_units=1.0)
    assert [entry.seeds for entry in failures.find([*good, stopped], dataset)] == [(3,)]


def test_a_seed_that_started_late_but_learns_in_its_last_epochs_is_not_stuck(dataset: Dataset) -> None:
    late = run(1, 0.62, 0.61, [0.69] * 9 + [0.62])
    assert failures.find([run(0, 0.28, 0.02), late], dataset) == []


@pytest.mark.proves("A seed that hardly learns is reported as stuck even if its loss still creeps down")
@pytest.mark.parametrize("last", [0.62, 0.68, 0.692])
def test_a_seed_whose_loss_creeps_down_to_its_last_epoch_is_stuck(last: float, dataset: Dataset) -> None:
    good = [run(seed, 0.28, 0.02) for seed in range(4)]
    creeping = [last + (0.693 - last) * 0.8**epoch for epoch in range(19)]
    [entry] = failures.find([*good, run(4, last, last, [*creeping, last], dead_units=7.0)], dataset)
    assert str(entry) == "1 of 5 seeds got stuck: 7 dead units, the others 0 (seed 4)"


def test_seeds_that_are_merely_worse_are_not_failures(dataset: Dataset) -> None:
    runs = [run(seed, 0.40 + 0.01 * seed) for seed in range(5)]
    assert failures.find(runs, dataset) == []


def test_all_seeds_are_reported_if_none_learned(dataset: Dataset) -> None:
    [entry] = failures.find([run(seed, 0.692, 0.691) for seed in range(3)], dataset)
    assert len(entry.seeds) == 3
    assert entry.stuck


@pytest.mark.proves("Networks that memorize their training samples are ranked by overfitting, not reported as stuck")
def test_networks_that_memorize_labels_without_a_signal_did_not_get_stuck(dataset: Dataset) -> None:
    """Losses of 20 random columns whose labels are coin flips."""
    memorized = [run(0, 0.720, 0.461), run(2, 0.738, 0.457), run(3, 0.706, 0.443)]
    [entry] = failures.find(memorized, dataset)
    assert not entry.stuck
    assert str(entry) == (
        "3 of 3 seeds learned nothing that holds for validation samples: the training loss fell (seeds 0, 2, 3)"
    )
    stuck, others = failures.find([*memorized, run(4, 0.694, 0.69)], dataset)
    assert (stuck.stuck, stuck.seeds, others.seeds) == (True, (4,), (0, 2, 3))
    assert stuck.sign == "the training loss stayed high as well"


def test_constant_loss_is_the_recorded_one_or_else_follows_from_the_task(dataset: Dataset) -> None:
    without_record = run(0, 0.3)
    assert failures.constant_loss(without_record, dataset) == pytest.approx(0.6931, abs=1e-4)  # ln 2
    assert failures.constant_loss(run(0, 0.3, constant_val_cross_entropy=0.325), dataset) == 0.325
    assert failures.constant_loss(without_record, dataset.model_copy(update={"task": "regression"})) == 1.0


def test_final_runs_are_ignored_because_they_have_no_validation_loss(dataset: Dataset) -> None:
    assert failures.find([dataclasses.replace(run(0, 0.3), role="final", metrics={})], dataset) == []
