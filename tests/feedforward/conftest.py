"""Fixtures shared by the tests of several packages."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import workspaces
from shell import Shell
from small_data import params, write_workspace
from tracked_runs import shared_server

from feedforward import tracking
from feedforward.config.schema import Params

if TYPE_CHECKING:
    from live_service import LiveService
    from playwright.sync_api import Browser

    from feedforward.tracking import Store

# Same values as in feedforward.training.keras_backend, set before any test imports Keras
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking database with its schema and no runs; tests copy it, because creating one takes seconds."""
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        workspaces.create(root, patch, "seeds: 1\n")
        tracking.open_store()
    return root / "mlruns" / "mlflow.db"


@pytest.fixture(scope="session")
def tensorflow() -> None:
    """Set up TensorFlow as the training flow does."""
    from feedforward.experiments import runner

    runner.prepare(1)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The params of a workspace that contains the small datasets, vectorized."""
    workspaces.enter(write_workspace(tmp_path), monkeypatch)
    return params()


@pytest.fixture
def small_store(small: Params, tmp_path: Path, empty_database: Path) -> "Store":
    """The tracking store of the small workspace."""
    workspaces.add_store(tmp_path, empty_database)
    return tracking.open_store()


@pytest.fixture
def tracking_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Callable[[Path], int]]:
    """A function that makes a real `mlflow server` show a copy of a database, and returns the server's port."""
    with shared_server(tmp_path_factory.getbasetemp(), empty_database) as show:
        yield show


@pytest.fixture
def remote_store(
    small: Params, empty_database: Path, tracking_server: Callable[[Path], int], monkeypatch: pytest.MonkeyPatch
) -> "Store":
    """An empty store behind a real `mlflow server --artifacts-destination`."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{tracking_server(empty_database)}")
    return tracking.open_store()


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command line, in an environment without variables that refer to this checkout."""
    for name in ("FEEDFORWARD_ROOT", *workspaces.VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return Shell(capsys, monkeypatch)


@pytest.fixture
def small_shell(small: Params, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command line in the small workspace, with unwrapped output lines."""
    monkeypatch.setenv("COLUMNS", "500")
    return Shell(capsys, monkeypatch)


@pytest.fixture
def served(small: Params, small_store: "Store") -> Iterator["LiveService"]:
    """A running service with a champion for both datasets of the small workspace."""
    import registered
    from live_service import SERVING, LiveService

    registered.champion(small_store, small, 1.0, original=2.0, dropout=-1.0)
    registered.pictures_champion(small_store)
    with LiveService(small.model_copy(update={"serving": SERVING})) as service:
        yield service


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """The installed Chromium; only tests that are skipped without it use this fixture."""
    from chromium import EXECUTABLE, sync

    with sync.sync_playwright() as playwright:
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox does not work for root
        chromium_browser = playwright.chromium.launch(
            executable_path=EXECUTABLE, args=["--no-sandbox"] if is_root else []
        )
        yield chromium_browser
        chromium_browser.close()
