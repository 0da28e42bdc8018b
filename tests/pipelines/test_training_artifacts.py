"""What Prefect's pages show about a training job: names, tags, progress and links."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import small_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def ask(address: str, resource: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{address}/{resource}/filter", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        entries: list[dict[str, Any]] = json.load(answer)
    return entries


def test_flow_runs_have_names_tags_progress_and_links(tmp_path: Path, prefect_server_address: str) -> None:
    small_data.write_params(tmp_path / "params.yaml", small_data.values(seeds=1))
    small_data.write_vectorized(tmp_path)
    foreign = ("DVC", "FAULT", "FEEDFORWARD", "MLFLOW", "PREFECT")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environment["PREFECT_API_URL"] = prefect_server_address
    command = [sys.executable, "-m", "feedforward.cli", "train", "notes", "--variant", "original"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    flow = next(run for run in ask(prefect_server_address, "flow_runs") if run["name"] == "train (fair)")
    assert set(flow["tags"]) == {"notes", "fair"}
    tasks = {
        run["name"]: set(run["tags"])
        for run in ask(prefect_server_address, "task_runs")
        if run["flow_run_id"] == flow["id"]
    }
    assert tasks == {
        "notes seed 0: original": {"notes", "fair", "replica"},
        "notes seed 0: original (final)": {"notes", "fair", "final"},
    }
    artifacts = {
        entry["key"]: entry["data"]
        for entry in ask(prefect_server_address, "artifacts")
        if entry["flow_run_id"] == flow["id"]
    }
    assert artifacts["training-progress"] == 100
    assert "| notes | 2 |" in artifacts["training"]
    assert "- MLflow: `feedforward ui` in the checkout" in artifacts["training"]
    assert str(tmp_path / "reports" / "comparison" / "index.html") in artifacts["training"]
