"""How DVC shows a comparison: metrics, plots without a network, and outputs pushed to and pulled from a remote."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chromium import EXECUTABLE
from git_repositories import commit, git
from ruamel.yaml import YAML
from small_data import params_with
from synthetic_predictions import complete
from synthetic_runs import SHAPES, synthetic_runs

from faults import ROOT
from faults.workspace import DVC, Completed, run
from feedforward.experiments import comparison

if TYPE_CHECKING:
    from playwright.sync_api import Page

COMPARISON = "reports/comparison"
CLASSES = {"tones": 3, "notes": 2}  # number of classes by dataset
LABELS = ["<!--<script>", "b</script><script>document.title = 'taken'</script>"]  # `init` takes such names from data
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def dvc(folder: Path, *arguments: str) -> Completed:
    done = run(folder, *DVC, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def compare(folder: Path, seeds: range) -> None:
    small_params = params_with("datasets/notes/labels", LABELS)
    runs = complete(synthetic_runs(small_params, seeds), CLASSES)
    comparison.compare(runs, small_params, folder=folder / COMPARISON)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the checkout's `compare` stage and plots; one comparison is committed, a second one is not."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots")
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    yaml: Any = YAML()
    pipeline = yaml.load((ROOT / "dvc.yaml").read_text())
    stage = pipeline["stages"]["compare"]
    pipeline["stages"] = {"compare": {"cmd": "true", "outs": stage["outs"], "metrics": stage["metrics"]}}
    with (folder / "dvc.yaml").open("w") as file:
        yaml.dump(pipeline, file)
    (folder / ".gitignore").write_text("/.dvc/site\n/.dvc/tmp\n/.dvc/cache\n/dvc_plots\n/remote\n")
    compare(folder, range(3))
    git(folder, "init", "-q")
    dvc(folder, "commit", "--force", "compare")
    commit(folder, "first")
    compare(folder, range(5))
    return folder


@pytest.fixture
def page(workspace: Path) -> Iterator["Page"]:
    """A browser page without a network."""
    sync = pytest.importorskip("playwright.sync_api")
    if EXECUTABLE is None:
        pytest.skip("no chromium")
    with sync.sync_playwright() as playwright:
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"] if is_root else [])
        context = browser.new_context(offline=True, viewport={"width": 1440, "height": 900})
        yield context.new_page()
        browser.close()


def test_dvc_metrics_show_the_headline_statistics_without_warnings(workspace: Path) -> None:
    shown = dvc(workspace, "metrics", "show", "--json")
    assert shown.stderr == ""
    [values] = [entry["data"] for entry in json.loads(shown.stdout)[""]["data"].values()]
    means = [value for variants in values.values() for entry in variants.values() for value in entry.values()]
    assert len(means) == 2 * (len(SHAPES) + 1)
    summary = json.loads((workspace / COMPARISON / "summary.json").read_text())
    assert summary["notes"]["original"].items() > values["notes"]["original"].items()
    differences = json.loads(dvc(workspace, "metrics", "diff", "--json").stdout)
    assert f"{COMPARISON}/metrics.json" in json.dumps(differences)


def test_experiments_are_listed_with_the_columns_that_differ(workspace: Path) -> None:
    shown = dvc(workspace, "exp", "show", "--only-changed", "--csv")
    assert shown.stderr == ""
    header, *rows = csv.reader(shown.stdout.splitlines())
    assert len(rows) == 2
    columns = {name for name in header if name.startswith("notes.")}
    assert columns
    assert all(name.endswith(comparison.HEADLINES) for name in columns)


@pytest.mark.parametrize(("command", "revisions"), [("show", 1), ("diff", 2)])
def test_dvc_plots_are_drawn_offline(workspace: Path, page: "Page", command: str, revisions: int) -> None:
    done = dvc(workspace, "plots", command)
    assert "No plots were loaded" not in done.stderr + done.stdout
    assert "WARNING" not in done.stderr
    html = workspace / "dvc_plots" / "index.html"
    assert 'src="http' not in html.read_text()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(html.as_uri())
    assert errors == []
    assert page.locator("figure").count() == 4 + 2 * revisions  # loss and accuracy of two datasets, confusion matrices
    cells = page.locator("figure:has(rect.cell)")
    assert cells.count() == 2 * revisions
    assert page.title() == "Comparison of the variants"
    assert LABELS[1].replace("<", "‹") in cells.last.locator("text").all_text_contents()
    for figure, classes in zip((cells.first, cells.last), CLASSES.values(), strict=True):
        assert figure.locator("rect.cell").count() == classes**2
    first = page.locator("figure").first
    box = first.bounding_box()
    assert box
    assert box["y"] + box["height"] <= 900
    assert first.locator("path.mean").count() == len(SHAPES) * revisions
    assert first.locator("path.band").count() == len(SHAPES) * revisions
    assert set(SHAPES) <= set(first.locator("text").all_text_contents())
    pictures = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(pictures) > 8
    assert all(pictures)


def test_outputs_are_pushed_to_a_remote_and_pulled_again(workspace: Path) -> None:
    dvc(workspace, "commit", "--force", "compare")
    dvc(workspace, "remote", "add", "--local", "--default", "backup", str(workspace / "remote"))
    dvc(workspace, "push")
    before = {path: path.read_bytes() for path in (workspace / COMPARISON).rglob("*") if path.is_file()}
    shutil.rmtree(workspace / ".dvc" / "cache")
    for name in ("figures", "curves", "plots"):
        shutil.rmtree(workspace / COMPARISON / name)
    dvc(workspace, "pull")
    assert {path: path.read_bytes() for path in (workspace / COMPARISON).rglob("*") if path.is_file()} == before
