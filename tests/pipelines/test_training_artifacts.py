"""What Prefect's pages show about a training job: names, tags, progress and links."""

import subprocess
import sys
from pathlib import Path

import pytest
import small_data
from clean_environment import environment
from live_prefect import ask

from pipelines import run_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_flow_runs_have_names_tags_progress_and_links(tmp_path: Path, prefect_server_address: str) -> None:
    small_data.write_workspace(tmp_path, seeds=1)
    variables = environment(PREFECT_API_URL=prefect_server_address)
    command = [sys.executable, "-m", "feedforward.cli", "train", "notes", "--variant", "original"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trainings = ask(prefect_server_address, "artifacts", artifacts={"key": {"any_": ["training"]}})
    [identifier] = [entry["flow_run_id"] for entry in trainings if str(tmp_path) in entry["data"]]
    flow_filter = {"flow_run_id": {"any_": [identifier]}}
    [flow] = ask(prefect_server_address, "flow_runs", flow_runs={"id": {"any_": [identifier]}})
    assert flow["name"] == "train (fair)"
    assert set(flow["tags"]) == {"notes", "fair"}
    runs = ask(prefect_server_address, "task_runs", task_runs=flow_filter)
    assert {run["name"]: set(run["tags"]) for run in runs} == {
        "notes seed 0: original": {"notes", "fair", "replica"},
        "notes seed 0: original (final)": {"notes", "fair", "final"},
    }
    entries = ask(prefect_server_address, "artifacts", artifacts=flow_filter)
    artifacts = {entry["key"]: entry["data"] for entry in entries}
    assert artifacts["training-progress"] == 100
    assert "| notes | 2 |" in artifacts["training"]
    assert "- MLflow: `feedforward ui` in the checkout" in artifacts["training"]
    assert str(tmp_path / "reports" / "comparison" / "index.html") in artifacts["training"]


def test_links_of_the_demo_name_its_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    for folder in (tmp_path, tmp_path / "demo"):
        (folder / "params.yaml").touch()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path / "demo"))
    assert run_artifacts.links({}) == ["- MLflow: `FEEDFORWARD_ROOT=demo feedforward ui` in the checkout"]
