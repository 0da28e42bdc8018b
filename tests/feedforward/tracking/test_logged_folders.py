"""Whether a folder is in the store as it is now: in the local database without MLflow, and behind a real server."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tracked_runs import all_runs, client, tags

from feedforward.tracking import logged_folders

if TYPE_CHECKING:
    from feedforward.tracking import Store


def check(store: "Store", folder: Path) -> None:
    """Check that only the content that was logged last counts as logged, and only while its run exists."""
    folder.mkdir()
    comparison = tags("comparison", None)
    (folder / "table.csv").write_text("first")
    assert not logged_folders.is_logged(comparison, folder)
    store.log_folder(comparison, "comparison", folder)
    assert logged_folders.is_logged(comparison, folder)
    assert not logged_folders.is_logged(tags("comparison", None, dataset="pictures"), folder)
    (folder / ".gitignore").write_text("/table.csv")
    assert logged_folders.is_logged(comparison, folder)
    (folder / "table.csv").write_text("second")
    assert not logged_folders.is_logged(comparison, folder)
    store.log_folder(comparison, "comparison", folder)
    assert logged_folders.is_logged(comparison, folder)
    (run,) = all_runs()
    assert [entry.path for entry in client().list_artifacts(run.info.run_id)] == ["table.csv"]
    client().delete_run(run.info.run_id)
    assert not logged_folders.is_logged(comparison, folder)


def test_folders_in_the_local_database_are_compared_by_content(store: "Store", tmp_path: Path) -> None:
    check(store, tmp_path / "comparison")


@pytest.mark.slow
def test_folders_on_a_server_are_compared_by_content(remote_store: "Store", tmp_path: Path) -> None:
    check(remote_store, tmp_path / "comparison")


def test_nothing_is_logged_without_a_store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "mlruns" / "mlflow.db").unlink()
    assert not logged_folders.is_logged(tags("comparison", None), workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # no server listens there
    assert not logged_folders.is_logged(tags("comparison", None), workspace)
