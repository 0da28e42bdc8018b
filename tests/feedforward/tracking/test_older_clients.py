"""MLflow clients of older versions read runs, curves and models over REST.

The test runs once for each virtual environment `.venv-mlflow-…` in the checkout. To create one:

    python -m venv .venv-mlflow-3.1 && .venv-mlflow-3.1/bin/pip install mlflow-skinny==3.1.4
"""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import registered
from recorded_variants import record_variants
from synthetic_runs import SHAPES

from feedforward.config.schema import Params
from feedforward.tracking.experiment_pages import bounds

if TYPE_CHECKING:
    from feedforward.tracking import Store

ROOT = Path(__file__).parents[3]
CLIENTS = sorted(ROOT.glob(".venv-mlflow-*"))
READ = """
import json, pathlib, sys
import mlflow
from mlflow import MlflowClient, artifacts
address = sys.argv[1]
mlflow.set_tracking_uri(address)
client = MlflowClient(address)
experiment = client.get_experiment_by_name("notes")
runs = client.search_runs([experiment.experiment_id], "tags.role = 'variant'")
curves = {
    run.info.run_name: {
        name: [point.value for point in sorted(client.get_metric_history(run.info.run_id, name), key=lambda p: p.step)]
        for name in ("val_loss", "interval/val_loss_low", "interval/val_loss_high")
    }
    for run in runs
}
figure = artifacts.download_artifacts(run_id=runs[0].info.run_id, artifact_path="figures/curves.svg")
version = client.get_model_version_by_alias("notes", "champion")
folder = pathlib.Path(artifacts.download_artifacts(artifact_uri=version.source))
print(json.dumps({
    "curves": curves,
    "metrics": {run.info.run_name: run.data.metrics for run in runs},
    "figure": pathlib.Path(figure).stat().st_size,
    "model": [version.version, version.run_id, version.tags["digest"]],
    "run": client.get_run(version.run_id).data.params["variant"],
    "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()),
}))
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CLIENTS, reason="no .venv-mlflow-… in the checkout"),
]


@pytest.mark.parametrize("virtual_environment", CLIENTS, ids=lambda path: path.name)
def test_an_older_client_reads_runs_curves_and_models(
    virtual_environment: Path, remote_store: "Store", small: Params, tmp_path: Path
) -> None:
    record_variants(remote_store)
    version = registered.champion(remote_store, small)
    values = read_with(virtual_environment, tmp_path)
    assert set(values["curves"]) == set(SHAPES)
    for name, curves in values["curves"].items():
        low, high = (curves[limit] for limit in bounds("val_loss"))
        assert len(curves["val_loss"]) == 20
        assert all(a < b < c for a, b, c in zip(low, curves["val_loss"], high, strict=True))
        assert values["metrics"][name]["seeds"] == 3
    assert values["figure"] > 1000
    assert values["model"][1:] == [version.run_id, version.tags["digest"]]
    assert values["run"] == "original"
    assert {"MLmodel", "data/served/manifest.json", "data/served/weights.npz"} <= set(values["files"])


def read_with(virtual_environment: Path, folder: Path) -> dict[str, Any]:
    """Return the values that the client in this virtual environment reads from the server."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    command = [str(virtual_environment / "bin" / "python"), "-c", READ, os.environ["MLFLOW_TRACKING_URI"]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return values
