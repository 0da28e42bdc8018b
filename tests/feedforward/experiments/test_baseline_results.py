"""Saved baselines: shown only with runs on the same samples; otherwise left out, with a warning."""

import dataclasses
import json
import logging
from typing import Any

import pytest
from small_data import HELD_OUT, TRAIN, values
from synthetic_runs import Shape, replica_run

from feedforward import api
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.experiments import baseline_results, baselines


def runs(held_out: int = HELD_OUT, dataset: str = "notes") -> list[RunResult]:
    """Return replicas of `original` with two seeds, validated on `held_out` samples."""
    samples = {"train": TRAIN - held_out, "validation": held_out}
    shape = Shape(0.4, 1.0, 0.001)
    return [dataclasses.replace(replica_run(dataset, "original", seed, 8, shape), samples=samples) for seed in (0, 1)]


def with_training(**changes: Any) -> Params:
    plain = values()
    plain["datasets"]["notes"]["training"] |= changes
    return Params.model_validate_json(json.dumps(plain))


@pytest.fixture
def saved(small: Params) -> Params:
    """The params with which the baselines of `notes` were measured and saved."""
    baselines.stage(small, "notes")
    return small


def test_baselines_of_the_same_samples_are_compared(saved: Params, caplog: pytest.LogCaptureFixture) -> None:
    [findings] = api.compare(iter(runs()), saved)
    assert findings.baseline_results is not None
    assert {entry.estimate.n for entry in findings.baseline_results.differences} == {2}
    longer = with_training(epochs=9)  # has no effect on baselines
    assert baseline_results.load(runs(), longer, "fair") == baseline_results.load(runs(), saved, "fair") != []
    assert not caplog.records


@pytest.mark.parametrize(
    "changes", [{"validation": {"take": "first", "samples": HELD_OUT + 20}}, {"train_share": 0.5}], ids=str
)
def test_baselines_of_another_split_are_left_out_with_a_warning(
    saved: Params, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    [findings] = api.compare(runs(), with_training(**changes))
    assert findings.baseline_results is None
    [record] = caplog.records
    assert record.getMessage() == (
        "notes: the baselines are left out, because they were measured on other samples than the current ones; run"
        " `feedforward run`"
    )


def test_baselines_of_other_data_are_left_out(saved: Params, caplog: pytest.LogCaptureFixture) -> None:
    path = paths.vectorized("notes") / "manifest.json"
    atomic_files.write_json(path, atomic_files.read_json(path) | {"data_digest": "0" * 64})
    assert baseline_results.load(runs(), saved, "fair") == []
    path.unlink()  # nothing to check them with
    assert baseline_results.load(runs(), saved, "fair") == []
    assert len(caplog.records) == 2


def test_baselines_are_not_compared_with_runs_on_an_older_split(saved: Params) -> None:
    assert baseline_results.load(runs(held_out=50), saved, "fair") == []


def test_baselines_saved_by_an_older_version_are_left_out(saved: Params) -> None:
    content = atomic_files.read_json(paths.baselines("notes"))
    del content["samples"]
    atomic_files.write_json(paths.baselines("notes"), content)
    assert baseline_results.load(runs(), saved, "fair") == []


def test_only_baselines_of_the_compared_datasets_are_checked(saved: Params, caplog: pytest.LogCaptureFixture) -> None:
    changed = with_training(train_share=0.5)
    assert baseline_results.load(runs(dataset="tones"), changed, "fair") == []  # has no baselines
    lecture_runs = [dataclasses.replace(run, protocol="lecture") for run in runs()]
    assert baseline_results.load(lecture_runs, changed, "lecture") == []
    assert not caplog.records
