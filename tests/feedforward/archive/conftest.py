"""A small workspace with results, a report and a champion, and its archive."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import registered
from small_data import values, write_params
from synthetic_runs import like_the_lecture

from feedforward.analysis import findings, run_result
from feedforward.archive import writing
from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files, paths
from feedforward.promotion import audit_log
from feedforward.reports import comparison_page
from feedforward.tracking import model_versions

if TYPE_CHECKING:
    from feedforward.tracking import Store

PASSWORD = "swordfish-swordfish"


@pytest.fixture
def workspace(small: Params, small_store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the workspace; its params.yaml contains an absolute path, and its report a password."""
    monkeypatch.setenv("MIRROR_PASSWORD", PASSWORD)
    write_params(tmp_path / "params.yaml", values(mirrors=["/srv/mirror of mine/files"]))
    params = load_params()
    results = like_the_lecture(params, range(3))
    run_result.save(paths.trained("fair"), results, "cpu")
    page = comparison_page.render(findings.find(results, params, "fair"))
    atomic_files.write_text(paths.comparison() / "index.html", f"{page}<!-- {tmp_path}/reports {PASSWORD} -->")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    registered.champion(small_store, params, 1.0)
    audit_log.append("notes", audit_log.PROMOTED, f"better on {tmp_path}", model_versions.find("notes"))
    return tmp_path


@pytest.fixture
def archive(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the workspace as a ZIP file."""
    target = tmp_path_factory.mktemp("elsewhere") / "result.zip"
    writing.write(writing.collect(load_params()), target)
    return target


@pytest.fixture
def unpacked(archive: Path) -> Path:
    """The same archive as a folder, unpacked by another program."""
    with zipfile.ZipFile(archive) as file:
        file.extractall(archive.with_suffix(""))
    return archive.with_suffix("")
