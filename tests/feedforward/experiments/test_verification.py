"""Verification with real training on small data: it reports what differs from the record, and changes nothing."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_data import params, values

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Params
from feedforward.core import dvc_cache, paths, provenance
from feedforward.core.errors import DataError, ParamsError
from feedforward.experiments import plan, runner, verification
from feedforward.experiments.verification import Difference, Report

if TYPE_CHECKING:
    from feedforward.tracking import Store

SELECTION = ["notes"], ["dropout"]  # datasets and variants


def add_object(cache: Path, content: bytes, suffix: str = "") -> Path:
    """Write an object to a DVC cache, under the MD5 digest of its content."""
    name = hashlib.md5(content).hexdigest()
    path = cache / name[:2] / (name[2:] + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / ".dvc" / "cache" / "files" / "md5"
    add_object(folder, b"features")
    add_object(folder, b'[{"md5": "0", "relpath": "a"}]', ".dir")
    return folder


# --- bytes -------------------------------------------------------------------------------------


def test_an_undamaged_cache_passes_verification(cache: Path) -> None:
    assert verification.rehash(cache) == (2, [])


def test_an_absent_cache_has_no_objects(tmp_path: Path) -> None:
    assert verification.rehash(tmp_path / ".dvc" / "cache" / "files" / "md5") == (0, [])


def test_one_flipped_bit_is_reported(cache: Path, tmp_path: Path) -> None:
    path = add_object(cache, bytes(100_000))
    content = bytearray(path.read_bytes())
    content[77_777] ^= 1
    path.write_bytes(content)
    assert verification.rehash(cache) == (3, [str(path.relative_to(tmp_path))])


def test_directory_lists_are_rehashed_but_dvc_temporary_files_are_ignored(cache: Path) -> None:
    path = add_object(cache, b"[]", ".dir")
    path.write_bytes(b"[1]")  # no longer what its name says
    add_object(cache, b"unfinished").rename(path.parent / "unfinished.tmp")
    objects, damaged = verification.rehash(cache)
    assert (objects, len(damaged)) == (3, 1)
    assert damaged[0].endswith(".dir")


# --- runs --------------------------------------------------------------------------------------


@pytest.fixture
def recorded_runs(small: Params, small_store: "Store", tensorflow: None) -> list[RunResult]:
    """The runs of a variant, trained and saved as the `train` stage does."""
    packs = plan.plan(small, "fair", *SELECTION)
    results = [result for pack in packs for result in runner.train_pack(pack, small, small_store)]
    run_result.save(paths.trained("fair"), results, provenance.cpu_digest())
    return results


@pytest.mark.slow
def test_repeated_training_gives_the_same_runs_and_writes_nothing(
    recorded_runs: list[RunResult], cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # no server listens there, and none must be called
    monkeypatch.setenv("FEEDFORWARD_STORE", str(tmp_path / "mine"))
    report = verification.verify(params(), *SELECTION, seeds=1)
    assert report.same
    assert (report.objects, report.runs) == (2, 1)  # the run of seed 0
    assert report.differences == []
    assert report.text() == (
        "2 objects in the DVC cache rehashed, 0 damaged\n1 runs trained again, 0 differ from those on record"
    )
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"
    assert os.environ["FEEDFORWARD_STORE"] == str(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_cache_in_another_folder_is_verified(small: Params, tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n")
    path = add_object(tmp_path / "elsewhere" / "files" / "md5", b"features")
    path.write_bytes(b"damaged")
    assert verification.rehash(dvc_cache.folder()) == (1, [str(path)])


def test_an_empty_cache_and_no_run_to_train_are_errors(small: Params, tmp_path: Path) -> None:
    run_result.save(paths.trained("fair"), [], "cpu")
    with pytest.raises(DataError, match=r"files/md5: no file of DVC's cache to check; run `dvc repro`"):
        verification.verify(small, *SELECTION, seeds=1)
    plain = values()
    plain["datasets"]["notes"]["training"]["variants"] = ["original", "l2"]
    without_dropout = Params.model_validate_json(json.dumps(plain))
    with pytest.raises(ParamsError, match=r"verify: `training\.variants` of each .* name others"):
        verification.verify(without_dropout, *SELECTION, seeds=1)


@pytest.mark.slow
def test_a_changed_record_is_reported_with_the_metric_that_differs_most(
    recorded_runs: list[RunResult], cache: Path
) -> None:
    metrics = recorded_runs[1].metrics | {"best_val_accuracy": recorded_runs[1].metrics["best_val_accuracy"] + 0.25}
    changed = dataclasses.replace(recorded_runs[1], metrics=metrics)
    run_result.save(paths.trained("fair"), [recorded_runs[0], changed], provenance.cpu_digest())
    report = verification.verify(params(), *SELECTION, seeds=2)
    assert report.differences == [Difference("notes/dropout/1/fair/replica", "best_val_accuracy", 0.25)]
    assert not report.same
    assert "notes/dropout/1/fair/replica: differs from the record, most in best_val_accuracy, by 0.25" in report.text()
    assert report.problem().endswith("; check for different library versions or parameters")
    assert report.as_json()["same"] is False

    run_result.save(paths.trained("fair"), recorded_runs[:1], "another kind of CPU")
    report = verification.verify(params(), *SELECTION, seeds=2)
    assert not report.same
    assert report.problem() == "notes/dropout/1/fair/replica: not on record; run `dvc repro` first"


def report_with(**changes: object) -> Report:
    matching = Report(objects=9, damaged=[], runs=4, differences=[], recorded_cpu="aa", cpu="aa")
    return dataclasses.replace(matching, **changes)  # type: ignore[arg-type]


def test_different_results_from_another_cpu_kind_are_not_damage() -> None:
    differences = [Difference("notes/l2/0/fair/replica", "test_loss", 1e-7)]
    assert not report_with(differences=differences).same
    from_another_cpu = report_with(differences=differences, cpu="bb")
    assert from_another_cpu.same
    assert "another kind of CPU (aa, here bb)" in from_another_cpu.text()
    assert "most in test_loss, by 1e-07" in from_another_cpu.text()


def test_a_difference_outside_the_metrics_is_reported_as_one_of_curves_or_weights() -> None:
    report = report_with(differences=[Difference("notes/l2/0/fair/replica", "test_loss", 0.0)])
    assert "notes/l2/0/fair/replica: its metrics are those on record, but its curves or weights differ" in report.text()


def test_a_damaged_file_is_reported_even_on_another_cpu_kind() -> None:
    damaged = report_with(damaged=[".dvc/cache/files/md5/aa/bb"], cpu="bb")
    assert not damaged.same
    assert damaged.problem().startswith(".dvc/cache/files/md5/aa/bb: bytes changed since they were written; remove")


def test_missing_results_are_an_error(small: Params) -> None:
    with pytest.raises(DataError, match=r"fair\.json: cannot be read .*; run `dvc repro train`"):
        verification.verify(small, [], [], 1)


def test_unknown_names_are_rejected_before_training(small: Params) -> None:
    run_result.save(paths.trained("fair"), [], "cpu")
    with pytest.raises(ParamsError, match="did you mean dropout"):
        verification.verify(small, [], ["dropuot"], 1)
