"""If parameters, code or data are edited while a stage is running, DVC must not record its results for them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import clean_environment
import pytest
import workspaces
from waiting import until

from faults import workspace
from faults.workspace import DVC, NAME
from feedforward.config.schema import load_params
from feedforward.core import atomic_files
from feedforward.core.errors import DataError, FeedforwardError
from pipelines import stage_inputs, stages

ROOT = Path(__file__).parents[2]


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the pipeline of this repository, one file of code and one of data."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for path in ("src/feedforward/models/layers.py", f"data/vectorized/{NAME}/labels.npy"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("1")
    return workspaces.create(tmp_path, monkeypatch, json.dumps(workspace.tiny_params()))


def edit(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (edit("params.yaml", json.dumps(workspace.tiny_params() | {"seeds": 7})), r"params\.yaml \(seeds\)"),
        (edit("src/feedforward/models/layers.py", "x = 2"), r"src/feedforward/models/layers\.py"),
        (edit("src/feedforward/models/more.py", ""), r"src/feedforward/models/more\.py"),
        (lambda root: shutil.rmtree(root / "data" / "vectorized"), rf"data/vectorized/{NAME}/labels\.npy"),
    ],
)
def test_an_input_that_changes_during_a_stage_is_named(
    inputs: Path, change: Callable[[Path], object], named: str
) -> None:
    with (
        pytest.raises(DataError, match=rf"^{named}: changed while this stage was running, .*run the command again$"),
        stage_inputs.unchanged("train", "fair"),
    ):
        change(inputs)


def test_changes_that_do_not_concern_a_stage_are_ignored(inputs: Path) -> None:
    with stage_inputs.unchanged("baselines", NAME):
        edit("params.yaml", json.dumps(workspace.tiny_params() | {"pack_units": 7}))(inputs)
        (inputs / "src/feedforward/models/__pycache__").mkdir()
        for suffix in ("pyc", "nbi", "1.nbc"):  # the last two are Numba's
            edit(f"src/feedforward/models/__pycache__/layers.{suffix}", "compiled")(inputs)
        (inputs / "data" / "vectorized" / "other").mkdir()
        edit("data/vectorized/other/labels.npy", "2")(inputs)
    assert (inputs / "data" / "vectorized" / "other" / "labels.npy").exists()


@pytest.mark.proves("Results are not recorded for inputs that were edited while a stage was running")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_edit_during_training_is_not_recorded_with_the_results_of_the_old_parameters(
    tmp_path: Path, prefect_server_address: str
) -> None:
    folder, server = workspace.prepare(tmp_path / "edited"), {"PREFECT_API_URL": prefect_server_address}
    job = workspace.start(folder, *DVC, "repro", "train@fair", **server)
    until(lambda: list((folder / ".locks").glob("train-*.holder")), 120)
    workspace.change_params(folder, {"seeds": 2})
    assert job.wait() != 0
    assert "train" not in json.dumps(sorted(recorded(folder)))
    done = workspace.run(folder, *DVC, "repro", "train@fair", **server)
    assert done.returncode == 0, done.stdout + done.stderr
    seeds = {run["seed"] for run in json.loads((folder / "data" / "trained" / "fair.json").read_text())["runs"]}
    assert max(seeds) == 1
    assert any(name.startswith("train") for name in recorded(folder))


@pytest.mark.proves("DVC's run cache never restores results of other parameters: it ignores keys named `size`")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_change_of_the_size_alone_trains_the_new_network(tmp_path: Path, prefect_server_address: str) -> None:
    folder, server = workspace.prepare(tmp_path / "resized"), {"PREFECT_API_URL": prefect_server_address}
    small, large = list(workspace.tiny_params()["datasets"][NAME]["network"]["sizes"])[:2]
    weights = []
    for size in (small, large, small):
        workspace.change_params(folder, {"variants": {"original": {"size": size}}})
        done = workspace.run(folder, *DVC, "repro", "train@fair", **server)
        assert done.returncode == 0, done.stdout + done.stderr
        trained = json.loads((folder / "data" / "trained" / "fair.json").read_text())
        weights.append({run["weights_digest"] for run in trained["runs"]})
    assert not weights[0] & weights[1]
    assert weights[0] == weights[2]


def recorded(folder: Path) -> set[str]:
    """Return the stages in dvc.lock."""
    from feedforward.config import yaml_reader

    return set(yaml_reader.read(folder / "dvc.lock")["stages"])


@pytest.mark.proves("A stage deletes outputs of former datasets; other folders and other kinds of files stay")
def test_only_outputs_for_former_datasets_and_protocols_are_deleted(inputs: Path) -> None:
    data = inputs / "data"
    names = {
        "vectorized/former/manifest.json": False,
        f"vectorized/{NAME}/manifest.json": True,
        "vectorized/mine/notes.txt": True,
        "trained/lecture.json": "lecture" in load_params().protocols,
        "trained/notes.txt": True,
        f"baselines/{NAME}.json": True,
        "baselines/former.json": False,
    }
    for name in names:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("{}")
    stages.remove_leftovers(load_params())
    assert {name: (data / name).exists() for name in names} == names


@pytest.mark.proves("A stage of DVC never works in another workspace that FEEDFORWARD_ROOT names")
def test_a_stage_that_dvc_runs_outside_the_workspace_is_refused(
    inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Path(shutil.copy(inputs / "params.yaml", tmp_path_factory.mktemp("other"))).parent
    command = (sys.executable, "-m", "pipelines.stages", "compare")
    variables = clean_environment.environment(FEEDFORWARD_ROOT=str(inputs), DVC_STAGE="compare", PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=other, env=variables, check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    message = f"FEEDFORWARD_ROOT: must be {other}, where DVC runs this stage, got {inputs}; unset it"
    assert done.stderr == f"compare: {message}\n"


@pytest.mark.proves("A validation deletes earlier summaries, so data that fail it and former datasets have none")
def test_a_validation_deletes_earlier_summaries(inputs: Path) -> None:
    for name in (NAME, "former"):
        atomic_files.write_json(inputs / "reports" / "validation" / name / "summary.json", {"success": True})
    with pytest.raises(FeedforwardError):
        stages.validate(load_params(), "")  # there are no data
    assert not [*(inputs / "reports" / "validation").glob("*/*")]
