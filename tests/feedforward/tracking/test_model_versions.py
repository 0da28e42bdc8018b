"""Versions on an MLflow server that proxies artifacts: downloads, and the copy that is used while it is unreachable."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import registered
from registered import NAME

from feedforward.config.schema import Params
from feedforward.core.errors import DataError, TrackingError
from feedforward.promotion import bundle
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
def test_last_known_champion_is_used_while_the_server_is_unreachable(
    remote_store: "Store", small: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_versions.last_known_champion(NAME) is None
    version = registered.champion(remote_store, small)
    model_versions.folder(version, "served")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match="reading notes champion failed"):
        model_versions.find(NAME)
    last_known = model_versions.last_known_champion(NAME)
    assert last_known == version
    bundle.read(model_versions.folder(last_known, "served"), last_known.tags["digest"])


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
