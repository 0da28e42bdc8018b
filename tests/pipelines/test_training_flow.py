"""The training flow from the command line: what it keeps, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_data

pytestmark = pytest.mark.slow

FEEDFORWARD = (sys.executable, "-m", "feedforward.cli")
FOREIGN = ("DVC", "FAULT", "FEEDFORWARD", "MLFLOW", "PREFECT")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Small prepared data, nothing trained."""
    small_data.write_params(tmp_path / "params.yaml", small_data.values(seeds=1))
    small_data.write_vectorized(tmp_path)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)} | more


def files_with(folder: Path, text: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if text.encode() in path.read_bytes()]


def test_the_password_of_the_tracking_server_is_kept_nowhere(workspace: Path) -> None:
    store = "http://someone:c4n4ry-7d1e55@127.0.0.1:9"  # nobody listens there, so the runs wait in the spool
    command = [*FEEDFORWARD, "train", "notes", "--variant", "original"]
    done = subprocess.run(
        command, cwd=workspace, env=environment(MLFLOW_TRACKING_URI=store), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "c4n4ry" not in done.stdout + done.stderr
    assert (workspace / ".prefect" / "prefect.db").is_file()
    assert files_with(workspace, "c4n4ry") == []
