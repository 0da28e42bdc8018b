"""Variants compared with baselines, and the best published result as a ceiling."""

import dataclasses

import pytest
from synthetic_runs import synthetic_runs

from feedforward.analysis import findings, literature
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.run_result import RunResult
from feedforward.config import yaml_reader
from feedforward.config.schema import Params, Published, check, load_params
from feedforward.core.errors import ParamsError


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params()


def baseline_runs(name: str, seeds: int = 4) -> list[RunResult]:
    """Return replicas with a loss about 0.02 above that of `original`, and a final run with test metrics."""
    results = [
        dataclasses.replace(
            run,
            variant=name,
            curves={},
            metrics={"best_val_cross_entropy": run.metrics["best_val_cross_entropy"] + 0.02 + 0.0005 * run.seed},
        )
        for run in synthetic_runs(load_params(), range(seeds))
        if (run.dataset, run.variant, run.role) == ("imdb", "original", "replica")
    ]
    metrics = {"test_accuracy": 0.88, "test_accuracy_se": 0.002, "test_loss": 0.3, "test_loss_se": 0.01}
    final = dataclasses.replace(results[0], role="final", metrics=metrics, samples={"test": 10})
    return [*results, final]


def test_differences_from_a_baseline_are_paired_by_seed(params: Params) -> None:
    runs = synthetic_runs(params, range(4))
    mnist, imdb = findings.find(runs, params, baseline_results=baseline_runs("logistic regression"))
    assert mnist.baseline_results is None
    assert imdb.baseline_results is not None
    assert set(imdb.summary) == set(params.variants)  # baselines are not variants
    [difference] = imdb.baseline_results.differences
    assert (difference.left, difference.right) == ("original", "logistic regression")
    assert difference.estimate.mean == pytest.approx(-0.02075)
    assert difference.sign == -1
    summary = imdb.baseline_results.summary["logistic regression"]
    assert summary["best_val_cross_entropy"].n == 4
    assert summary["best_val_cross_entropy"].new_low is not None
    assert summary["test_accuracy"].low == pytest.approx(0.88 - 1.96 * 0.002, abs=1e-6)
    assert summary["test_loss"].low == pytest.approx(0.3 - 2.262 * 0.01, abs=1e-5)  # 9 degrees of freedom
    assert findings.find(runs, params, "fair")[1].baseline_results is None


# --- the ceiling: the best published result ------------------------------------------------------


def test_the_ceiling_is_the_best_published_value(params: Params) -> None:
    imdb = params.dataset("imdb")
    best = literature.ceiling(imdb, "test_accuracy")
    assert best is not None
    assert best.value == max(entry.value for entry in imdb.literature)
    assert literature.ceiling(imdb, "best_val_accuracy") == best
    assert literature.ceiling(imdb, "test_loss") is None
    loss = Published(model="m", features="f", statistic="test_loss", value=0.3, standard_error=0.004, source="s")
    lower_loss = loss.model_copy(update={"value": 0.2})
    with_losses = imdb.model_copy(update={"literature": (loss, lower_loss)})
    assert literature.ceiling(with_losses, "best_val_cross_entropy") == lower_loss


@pytest.mark.parametrize(
    ("estimate", "is_suspicious"),
    [
        (Estimate(5, 0.95, 0.001, 0.949, 0.951), True),
        (Estimate(5, 0.95, 0.02, 0.91, 0.99), False),
        (Estimate(5, 0.95, 0.001, 0.949, 0.951, new_low=0.91, new_high=0.99), False),  # chance explains it on new data
        (Estimate(1, 0.95), True),
        (Estimate(1, 0.913), False),  # within the sampling error of the published value
        (Estimate(5, 0.85, 0.001, 0.849, 0.851), False),
    ],
)
def test_results_better_than_the_ceiling_by_more_than_chance_are_flagged(
    params: Params, estimate: Estimate, is_suspicious: bool
) -> None:
    lines = literature.suspicions(
        "original", {"best_val_accuracy": estimate, "slope": estimate}, params.dataset("imdb")
    )
    assert len(lines) == is_suspicious
    assert all(
        "0.9122 of NB-SVM (bigrams; Wang and Manning 2012)" in line and "look for a leak" in line for line in lines
    )


def test_only_a_loss_below_the_published_value_is_flagged(params: Params) -> None:
    entry = Published(model="m", features="f", statistic="test_loss", value=0.3, standard_error=0.004, source="s")
    imdb = params.dataset("imdb").model_copy(update={"literature": (entry,)})
    assert literature.suspicions("l2", {"test_loss": Estimate(1, 0.28)}, imdb)
    assert not literature.suspicions("l2", {"test_loss": Estimate(1, 0.32), "test_accuracy": Estimate(1, 1.0)}, imdb)


def test_a_published_statistic_undefined_for_the_task_is_rejected(params: Params) -> None:
    values = yaml_reader.freeze(params.model_dump(mode="json"))
    values["datasets"]["imdb"]["literature"][0]["statistic"] = "test_mae"
    with pytest.raises(ParamsError, match=r"datasets\.imdb\.literature\.0\.statistic: test_mae is not defined"):
        check(values, "params.yaml")
