"""Versions on an MLflow server that proxies artifacts: downloads, and the copy that is used while it is unreachable."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import live_servers
import pytest
import registered
import tracked_runs
from registered import NAME
from small_data import values, write_params

from feedforward import tracking
from feedforward.config.schema import Params
from feedforward.core.errors import DataError, TrackingError
from feedforward.promotion import bundle
from feedforward.serving import prediction
from feedforward.tracking import model_versions

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow

# finds the champion, waits for a line of input, and then downloads the champion
DOWNLOAD = """
import sys
from feedforward.tracking import model_versions
version = model_versions.find(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(model_versions.folder(version, "served"))
"""


@pytest.mark.proves("While the tracking server is down, predictions come from the last verified copy of the champion")
def test_last_known_champion_is_used_only_while_its_own_server_is_unreachable(
    small: Params, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port = tmp_path / "server", live_servers.free_port()
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:old-password@127.0.0.1:{port}")
    with tracked_runs.server(folder, port):
        assert model_versions.last_known_champion(NAME) is None
        version = registered.champion(tracking.open_store(), small)
        model_versions.folder(version, "served")
    with pytest.raises(TrackingError, match="reading notes champion failed"):
        model_versions.find(NAME)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:new-password@127.0.0.1:{port}")
    last_known = model_versions.last_known_champion(NAME)
    assert last_known == version
    assert prediction.champion(NAME).version == version
    bundle.read(model_versions.folder(last_known, "served"), last_known.tags["digest"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert model_versions.last_known_champion(NAME) is None
    with pytest.raises(TrackingError, match="reading notes champion failed"):
        prediction.champion(NAME)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:new-password@127.0.0.1:{port}")
    write_params(tmp_path / "params.yaml", values(project="third"))
    assert model_versions.last_known_champion(NAME) is None
    with pytest.raises(TrackingError, match="reading notes champion failed"):
        prediction.champion(NAME)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_version_with_the_number_of_another_one_is_downloaded(
    remote_store: "Store", small: Params, tmp_path: Path, is_deleted: bool
) -> None:
    first = registered.champion(remote_store, small)
    model_versions.folder(first, "served")
    if is_deleted:  # numbers start again at 1
        tracked_runs.client().delete_registered_model(NAME)
    else:
        write_params(tmp_path / "params.yaml", values(project="other"))
        remote_store = tracking.open_store()
    second = registered.champion(remote_store, small, strength=2.0)
    assert second.number == first.number
    assert second.tags["digest"] != first.tags["digest"]
    bundle.read(model_versions.folder(second, "served"), second.tags["digest"])


def test_a_version_on_a_server_is_downloaded_and_verified(remote_store: "Store", small: Params, tmp_path: Path) -> None:
    version = registered.champion(remote_store, small)
    folder = model_versions.folder(version, "served")
    assert folder.is_relative_to(tmp_path / "mlruns" / "served")
    assert bundle.read(folder, version.tags["digest"]).description.dataset == NAME
    with pytest.raises((DataError, TrackingError)):
        model_versions.folder(version, "nothing")
    assert not (folder.parent / "nothing").exists()


@pytest.mark.proves("Several processes that download one version at the same time all get a complete copy")
def test_processes_that_download_a_version_at_the_same_time_get_a_complete_copy(
    remote_store: "Store", small: Params
) -> None:
    version = registered.champion(remote_store, small)
    shutil.rmtree(model_versions.folder(version, "served"))
    command = [sys.executable, "-c", DOWNLOAD, NAME]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        folder = process.communicate(timeout=60)[0].strip()
        assert process.returncode == 0
        bundle.read(Path(folder), version.tags["digest"])
