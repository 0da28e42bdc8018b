"""A small workspace with results, a report and a champion, and its archive."""

import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import dvc_projects
import pytest
import registered
import workspaces
from small_data import values, write_params, write_workspace
from synthetic_runs import synthetic_runs

from feedforward import tracking
from feedforward.analysis import findings, run_result
from feedforward.archive import writing
from feedforward.config.schema import load_params
from feedforward.core import atomic_files, paths
from feedforward.promotion import audit_log
from feedforward.reports import comparison_page
from feedforward.tracking import model_versions

if TYPE_CHECKING:
    from feedforward.tracking import Store

COMPUTED_BY = {"cpu": {"vendor": "another"}, "libraries": {"numpy": "1.0"}}
PASSWORD = "swordfish-swordfish"


def fill(root: Path, store: "Store") -> None:
    """Write results, a champion, a report with PASSWORD, and a params.yaml with an absolute path into the workspace."""
    write_params(root / "params.yaml", values(mirrors=["/srv/mirror of mine/files"]))
    params = load_params()
    results = synthetic_runs(params, range(3))
    run_result.save(paths.trained("fair"), results, "cpu", facts={"computed_by": COMPUTED_BY})
    page = comparison_page.render(findings.find(results, params, "fair"))
    atomic_files.write_text(paths.comparison() / "index.html", f"{page}<!-- {root}/reports {PASSWORD} -->")
    for name in ("dvc.yaml", "dvc.lock"):
        (root / name).write_text("stages: {}\n")
    registered.champion(store, params, 1.0)
    audit_log.append("notes", audit_log.PROMOTED, f"better on {root}", model_versions.find("notes"))


@pytest.fixture
def workspace(small_store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the workspace, whose report contains a password."""
    monkeypatch.setenv("MIRROR_PASSWORD", PASSWORD)
    fill(tmp_path, small_store)
    return tmp_path


@pytest.fixture(scope="session")
def dvc_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project with the datasets of `workspace`, in which DVC has run all stages; tests copy it."""
    root = write_workspace(tmp_path_factory.mktemp("project"))
    (root / "reports" / "comparison").mkdir(parents=True)
    with workspaces.inside(root):
        dvc_projects.finish(root)
    return root


@pytest.fixture
def finished(workspace: Path, dvc_project: Path) -> Path:
    """A workspace in which DVC has run all stages."""
    shutil.rmtree(paths.vectorized("notes").parent)  # has more files than the stages write
    shutil.copytree(dvc_project, workspace, ignore=shutil.ignore_patterns("params.yaml"), dirs_exist_ok=True)
    return workspace


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """The archive of a workspace with the same content as `workspace`: a ZIP file that no test may change."""
    root = workspaces.add_store(write_workspace(tmp_path_factory.mktemp("exported")), empty_database)
    with workspaces.inside(root):
        fill(root, tracking.open_store())
        writing.write(writing.collect(load_params()), root / "result.zip")
    return root / "result.zip"


@pytest.fixture
def archive(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `exported` that a test may change."""
    return shutil.copy(exported, tmp_path_factory.mktemp("elsewhere") / "result.zip")


@pytest.fixture
def unpacked(archive: Path) -> Path:
    """The folder into which `archive` was unpacked with zipfile, not with `import`."""
    with zipfile.ZipFile(archive) as file:
        file.extractall(archive.with_suffix(""))
    return archive.with_suffix("")
