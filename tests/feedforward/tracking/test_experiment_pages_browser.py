"""The link to the comparison of the variants, opened in a real browser on a real MLflow server."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chromium import pytestmark as needs_chromium
from recorded_variants import record_variants
from synthetic_runs import SHAPES

from feedforward.tracking import experiment_pages
from feedforward.tracking.experiment_pages import bounds

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from feedforward.tracking import Store

HEIGHT = 900  # px that are visible without scrolling
LINES = """(document.querySelector(".js-plotly-plot")?.data ?? [])
  .filter((line) => line.x?.length == 20).map((line) => `${line.name} ${line.metricKey}`)"""
STROKES = "(lines) => lines.map((line) => getComputedStyle(line).stroke)"
pytestmark = [*needs_chromium, pytest.mark.timeout(300)]


def test_link_opens_five_validation_loss_curves_with_their_intervals(
    small_store: "Store", tmp_path: Path, tracking_server: Callable[[Path], int], browser: "Browser"
) -> None:
    record_variants(small_store)
    experiment = small_store.experiment("notes")
    assert experiment
    port = tracking_server(tmp_path / "mlruns" / "mlflow.db")
    page = browser.new_page(viewport={"width": 1440, "height": HEIGHT})
    page.goto(experiment_pages.link(f"http://127.0.0.1:{port}", experiment, "fair"))
    chart = page.locator(".js-plotly-plot").first
    chart.locator("path.js-line").first.wait_for(timeout=120_000)
    page.wait_for_function(f"new Set({LINES}).size == 15", timeout=120_000)
    assert set(page.evaluate(LINES)) == {
        f"{variant} {name}" for variant in SHAPES for name in ("val_loss", *bounds("val_loss"))
    }
    strokes = chart.locator("path.js-line").evaluate_all(STROKES)
    assert len(set(strokes)) == len(SHAPES), "a curve and its interval must have the same color"
    assert "Playground" not in page.inner_text("body"), "the view must be the one for training, not for prompts"
    box = chart.bounding_box()
    assert box
    assert box["y"] + box["height"] <= HEIGHT
    names = page.locator(".ag-center-cols-container, .ag-pinned-left-cols-container").all_inner_texts()
    assert all(variant in " ".join(names) for variant in SHAPES)
    page.close()
