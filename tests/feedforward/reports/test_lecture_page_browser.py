"""The lecture page in a real browser, with runs that were trained and logged: sliders, seeds, missing runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import workspaces
from chromium import CONTRAST, pytestmark, silent_page, sync
from small_data import params, values, write_workspace
from trained_grid import train_grid

from feedforward import tracking
from feedforward.experiments import lecture_runs
from feedforward.reports import lecture_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["pytestmark"]  # pytest reads this name: it marks the tests as slow, and skips them without a browser
CLAIM = {
    "text": "l2 reaches a lower loss than original",
    "statistic": "best_val_cross_entropy",
    "left": "l2",
    "direction": "lower",
    "right": "original",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, tensorflow: None) -> str:
    """The address of a page with the variants of `notes`, a trained combination and a claim."""
    datasets = values()["datasets"]
    datasets["notes"]["claims"] = [CLAIM]
    root = write_workspace(tmp_path_factory.mktemp("lecture"), datasets=datasets)
    with workspaces.inside(workspaces.add_store(root, empty_database)):
        store = tracking.open_store()
        train_grid(store, [{"l2": 0.01, "dropout_rate": 0.5}], seeds=3)
        story = lecture_runs.collect(params(datasets=datasets), "notes", store)
    (root / "lecture.html").write_text(lecture_page.render([story], "feedforward lecture notes"), encoding="utf-8")
    return (root / "lecture.html").as_uri()


@pytest.fixture(params=[(1200, "light"), (390, "dark")], ids=str)
def page(request: pytest.FixtureRequest, browser: "Browser", address: str) -> Iterator["Page"]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    with silent_page(context, address) as page:
        yield page


def setting(page: "Page", at: list[int]) -> dict[str, Any]:
    [story] = json.loads(page.locator("#chart-data").inner_text())["stories"]
    return next(setting for setting in story["settings"] if setting["at"] == at)


def move_slider(page: "Page", label: str, keys: str) -> None:
    page.get_by_role("slider", name=label).focus()
    page.keyboard.press(keys)


def test_sliders_show_trained_combinations_and_the_command_for_untrained_ones(page: "Page") -> None:
    status = page.locator(".story .status")
    sync.expect(status).to_contain_text("Variant original: 3 seeds.")
    move_slider(page, "L2 penalty", "End")
    sync.expect(status).to_contain_text("Variant l2: 3 seeds.")
    assert page.get_by_role("slider", name="L2 penalty").get_attribute("aria-valuetext") == "0.01"
    move_slider(page, "Dropout rate", "End")
    sync.expect(status).to_contain_text("A combination from a sweep: 3 seeds.")
    move_slider(page, "L2 penalty", "Home")
    sync.expect(page.locator(".story .banner")).to_contain_text(
        "feedforward sweep notes --confirm 0 size=base l2=0 dropout_rate=0.5"
    )
    assert page.url.endswith("#notes?notes.at=0.0.1")
    page.get_by_role("button", name="Go to the nearest trained combination").click()
    sync.expect(page.locator(".story .banner")).to_be_hidden()
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    sync.expect(status).to_contain_text("3 seeds.")


def test_drawing_a_seed_shows_whether_that_run_agrees_with_the_mean(page: "Page") -> None:
    move_slider(page, "L2 penalty", "End")
    l2, base = (setting(page, at)["statistics"]["best_val_cross_entropy"] for at in ([0, 1, 0], [0, 0, 0]))
    differences = {seed: value - dict(base["values"])[seed] for seed, value in l2["values"]}
    mean = sum(differences.values()) / 3
    contradicting = sum((difference > 0) != (mean > 0) for difference in differences.values())
    seeds = set()
    for _ in range(6):
        heading = page.locator(".story h4").first.inner_text()
        seed = int(heading.split("seed ")[1].split(")")[0])
        seeds.add(seed)
        item = page.locator(".story .claims li").first
        sync.expect(item).to_contain_text(f"lowest validation loss: {'lower' if differences[seed] < 0 else 'higher'}")
        sync.expect(item).to_contain_text("agrees" if (differences[seed] > 0) == (mean > 0) else "contradicts")
        sync.expect(item).to_contain_text(f"{contradicting} of 3 single runs contradict it.")
        assert page.locator(f".seeds .chosen[data-seed='{seed}']").count() == 1
        page.get_by_role("button", name="Draw another seed").click()
        assert page.locator(".story h4").first.inner_text() != heading
    assert len(seeds) > 1


def test_claims_of_the_slides_state_how_many_single_runs_contradict_them(page: "Page") -> None:
    item = page.locator(".claims > li", has_text=CLAIM["text"])
    marks = item.locator(".seeds li").all_inner_texts()
    contradicting = sum("✗" in mark for mark in marks)
    assert len(marks) == 3
    sync.expect(item).to_contain_text(f"{contradicting} of 3 single runs contradict the ")


def test_page_fits_the_screen_and_all_text_has_contrast(page: "Page") -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    contrast_with_svg = CONTRAST.replace(
        "getComputedStyle(at).color,", "getComputedStyle(at)[at instanceof SVGElement ? 'fill' : 'color'],"
    )
    ratio, text = page.evaluate(contrast_with_svg)
    assert ratio >= 4.5, text


def test_page_without_javascript_shows_curves_and_claims(browser: "Browser", address: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1200, "height": 850})
    page = context.new_page()
    page.goto(address)
    sync.expect(page.locator(".desk svg").first).to_be_visible()
    sync.expect(page.get_by_text("The sliders need JavaScript")).to_be_visible()
    sync.expect(page.get_by_text(CLAIM["text"], exact=True)).to_be_visible()
    context.close()
