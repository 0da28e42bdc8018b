"""Saved results: the same runs give identical bytes, and errors name the damaged file."""

import dataclasses
import json
from pathlib import Path

import pytest
from synthetic_runs import SHAPES, replica_run

from feedforward.analysis import run_result
from feedforward.core.errors import DataError

RUNS = [
    replica_run(dataset, variant, seed, 5, SHAPES[variant])
    for dataset in ("notes", "tones")
    for variant in ("original", "dropout")
    for seed in (0, 1)
]


def test_results_round_trip_and_file_bytes_do_not_depend_on_run_order(tmp_path: Path) -> None:
    run_result.save(tmp_path / "one.json", RUNS, "this cpu")
    run_result.save(tmp_path / "two.json", reversed(RUNS), "this cpu")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    loaded = run_result.load(tmp_path / "one.json")
    assert sorted(loaded, key=str) == sorted(RUNS, key=str)
    assert [(run.dataset, run.variant, run.seed) for run in loaded] == sorted(
        (run.dataset, run.variant, run.seed) for run in RUNS
    )
    assert run_result.cpu_kind(tmp_path / "one.json") == "this cpu"


def test_hardest_samples_are_saved_unchanged(tmp_path: Path) -> None:
    final = dataclasses.replace(RUNS[0], role="final", hardest=[{"row": 3, "label": "größer"}])
    run_result.save(tmp_path / "runs.json", [final], "cpu")
    assert run_result.load(tmp_path / "runs.json") == [final]


def test_saving_a_non_finite_metric_fails_and_keeps_the_old_file(tmp_path: Path) -> None:
    run_result.save(tmp_path / "runs.json", RUNS, "cpu")
    before = (tmp_path / "runs.json").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_result.save(tmp_path / "runs.json", [dataclasses.replace(RUNS[0], metrics={"loss": float("nan")})], "cpu")
    assert (tmp_path / "runs.json").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"3",
        b"{}",
        b'{"cpu": "x", "runs": [{}]}',
        b'{"cpu": "x", "runs": [{"color": 1}]}',
        b'{"cpu": "x", "runs": {"a": 1}}',
        b'{"cpu": "x", "runs": 3}',
        b"[" * 100_000,
        json.dumps({"cpu": "x", "runs": []}).encode()[:-1],
    ],
    ids=lambda content: repr(content[:30]),
)
def test_error_for_a_damaged_file_names_the_file_and_the_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fair.json").write_bytes(content)
    with pytest.raises(DataError, match=r"fair\.json: cannot be read \(.*\); run `dvc repro train`") as caught:
        run_result.load(tmp_path / "fair.json")
    assert "\n" not in str(caught.value)


def test_error_for_a_missing_file_gives_the_reason(tmp_path: Path) -> None:
    for read in (run_result.load, run_result.cpu_kind):
        with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)"):
            read(tmp_path / "fair.json")
