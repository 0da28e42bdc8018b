"""An archive contains only sweeps, verdicts and baselines that belong to its params.yaml and to its data."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_data import values, write_params
from synthetic_runs import Shape, replica_run

from feedforward.archive import contents
from feedforward.config.schema import load_params
from feedforward.core import atomic_files, code_digest, paths
from feedforward.core.code_digest import closure
from feedforward.experiments import decision, sweep_files
from feedforward.experiments.search_space import Axis, Point
from feedforward.experiments.sweep import Sweep, name_of, start
from feedforward.experiments.sweep_outcome import Outcome

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow

CLAIM = {
    "text": "dropout is lower",
    "statistic": "best_val_cross_entropy",
    "left": "dropout",
    "direction": "lower",
    "right": "original",
}
DECISION = "reports/decisions/notes"
SHAPE = Shape(0.2, 1.0, 0.1)
L2_SWEEP, SIZE_SWEEP = "reports/sweeps/notes-l2", "reports/sweeps/notes-size"


def write(path: str, value: Any) -> None:
    """Write params.yaml with a claim and with this value at `path`."""
    plain = json.loads(json.dumps(values()))  # a deep copy, because both datasets share some values
    plain["datasets"]["notes"]["claims"] = [CLAIM]
    entry, (*parents, last) = plain, path.split("/")
    for key in parents:
        entry = entry[key]
    entry[last] = value
    write_params(paths.params(), plain)


def sweep(store: "Store", axis: Axis) -> None:
    """Write a sweep of `original` over one field."""
    requested = Sweep(load_params(), "notes", "original", [axis], seeds=2)
    points: dict[str, Point] = {name_of(requested, {axis.field: v}): {axis.field: v} for v in axis.values}
    runs = {name: [replica_run("notes", name, seed, 8, SHAPE) for seed in (0, 1)] for name in points}
    sweep_files.conclude(Outcome(requested, runs, points), start(requested, store), store)


@pytest.fixture
def decided(workspace: Path, small_store: "Store") -> Path:
    """The workspace with verdicts of `decide` and with sweeps of one variant over its L2 penalty and its size."""
    write("seeds", 2)
    params = load_params()
    runs = [replica_run("notes", name, seed, 8, SHAPE) for name in ("dropout", "original") for seed in (0, 1)]
    decision.write(decision.judge(runs, params, "notes"), params, "notes", "It ended.")
    sweep(small_store, Axis("l2", (0.0, 0.1)))
    sweep(small_store, Axis("size", ("small", "large")))
    return workspace


def exported_folders() -> set[str]:
    names = contents.gather(load_params())
    return {name.rpartition("/")[0] for name in names if name.startswith(("reports/decisions/", "reports/sweeps/"))}


@pytest.mark.proves("`export` takes only sweeps and verdicts that belong to the current claims, parameters and data")
@pytest.mark.usefixtures("decided")
def test_current_sweeps_and_verdicts_are_exported(caplog: pytest.LogCaptureFixture) -> None:
    assert exported_folders() == {DECISION, L2_SWEEP, SIZE_SWEEP}
    write("datasets/notes/title", "Other texts")
    assert exported_folders() == {DECISION, L2_SWEEP, SIZE_SWEEP}
    assert caplog.messages == []


@pytest.mark.proves("`export` takes only sweeps and verdicts that belong to the current claims, parameters and data")
@pytest.mark.usefixtures("decided")
@pytest.mark.parametrize(
    ("path", "value", "exported"),
    [
        ("datasets/notes/claims", [CLAIM | {"direction": "higher"}], {L2_SWEEP, SIZE_SWEEP}),
        ("variants/dropout/dropout_rate", 0.6, {L2_SWEEP, SIZE_SWEEP}),
        ("variants/original/l2", 0.1, {L2_SWEEP}),  # the sweep's winner was written to params.yaml
        ("datasets/notes/network/sizes/large", [8, 8], {DECISION, L2_SWEEP}),
        ("datasets/notes/training/epochs", 77, set()),
    ],
    ids=["claim", "variant", "winner", "size", "epochs"],
)
def test_sweeps_and_verdicts_of_other_parameters_or_claims_are_left_out(
    path: str, value: Any, exported: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    write(path, value)
    assert exported_folders() == exported
    left_out = {DECISION, L2_SWEEP, SIZE_SWEEP} - exported
    assert {message.partition(":")[0] for message in caplog.messages} == {str(paths.root() / name) for name in left_out}


@pytest.mark.proves("`export` takes only sweeps and verdicts that belong to the current claims, parameters and data")
@pytest.mark.usefixtures("decided")
def test_sweeps_and_verdicts_on_other_data_or_of_former_variants_are_left_out() -> None:
    manifest = paths.vectorized("notes") / "manifest.json"
    before = atomic_files.read_json(manifest)
    atomic_files.write_json(manifest, before | {"data_digest": "0" * 64})
    assert exported_folders() == set()
    atomic_files.write_json(manifest, before)
    assert exported_folders() == {DECISION, L2_SWEEP, SIZE_SWEEP}
    saved = atomic_files.read_json(paths.root() / L2_SWEEP / "sweep.json")
    for change in ({"variant": "former"}, {"dataset": "former"}, {"basis": None}, {"trials": [{}]}):
        atomic_files.write_json(paths.root() / L2_SWEEP / "sweep.json", saved | change)
        assert exported_folders() == {DECISION, SIZE_SWEEP}


@pytest.mark.proves("`export` takes only sweeps and verdicts that belong to the current claims, parameters and data")
@pytest.mark.usefixtures("decided")
@pytest.mark.parametrize(
    ("module", "left_out"),
    [
        ("feedforward.training.trainer", {DECISION, L2_SWEEP, SIZE_SWEEP}),
        ("feedforward.models.metrics", {DECISION, L2_SWEEP, SIZE_SWEEP}),
        ("feedforward.analysis.sequential", {DECISION}),
        ("feedforward.reports.tables", set()),
    ],
)
def test_sweeps_and_verdicts_of_other_code_are_left_out(
    module: str, left_out: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_digest, "_digests", {})
    monkeypatch.setitem(code_digest._file_digests, closure((module,))[module], "as if the file had been edited")
    assert exported_folders() == {DECISION, L2_SWEEP, SIZE_SWEEP} - left_out


def test_baselines_and_verdicts_of_a_former_dataset_are_not_exported(workspace: Path) -> None:
    for name in ("notes", "former"):
        atomic_files.write_json(paths.baselines(name), {"runs": []})
    atomic_files.write_text(workspace / "reports" / "decisions" / "former" / "verdicts.md", "x")
    exported = contents.gather(load_params())
    assert "data/baselines/notes.json" in exported
    assert not any("former" in name for name in exported)
