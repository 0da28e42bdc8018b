"""The comparison page in a real browser: wide and narrow, light and dark, by keyboard alone."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chromium import CONTRAST, pytestmark, silent_page
from PIL import Image
from synthetic_runs import synthetic_runs

from feedforward.analysis.findings import find
from feedforward.config.schema import load_params
from feedforward.data.validation.summary import Check, Summary
from feedforward.reports import comparison_page
from feedforward.reports.comparison_page import Additions, HardSample

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["pytestmark"]  # pytest reads this name: it marks the tests as slow, and skips them without a browser
# CONTRAST, also for SVG, where the color of text is `fill`
CONTRAST_WITH_SVG = CONTRAST.replace(
    "getComputedStyle(at).color,", "getComputedStyle(at)[at instanceof SVGElement ? 'fill' : 'color'],"
)
FOCUSED = "document.activeElement"
FOCUSABLE = 'a[href], button, select, summary, [tabindex="0"]'
FOCUS_IS_VISIBLE = f"""() => {{
  const box = {FOCUSED}.getBoundingClientRect(), style = getComputedStyle({FOCUSED});
  return box.width > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight
    && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with all optional sections."""
    params = load_params()
    image = io.BytesIO()
    Image.new("L", (84, 84), 200).save(image, "PNG")
    words = (("film", 1.5), ("a", -0.25))
    samples = [
        HardSample("3", "8", 0.998, picture=image.getvalue()),
        HardSample("positive" * 8, "negative", 0.97, text="A film " * 200, words=words),
    ]
    check = {"name": "duplicates", "split": "train", "found": "96", "noted": True, "success": True}
    summary = {"success": True, "samples": {"train": 60000, "test": 10000}, "checks": [check]}
    additions = Additions(
        lecture=find(synthetic_runs(params, range(3), "lecture"), params, "lecture"),
        hardest={name: 6 * [samples[dataset.task == "binary"]] for name, dataset in params.datasets.items()},
        validation=dict.fromkeys(params.datasets, summary),
        origin={"commit": "0123456789abcdef" * 2, "data": "0123456789abcdef" * 4},
    )
    path: Path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(comparison_page.render(find(synthetic_runs(params, range(6)), params), additions), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
def page(request: pytest.FixtureRequest, browser: "Browser", address: str) -> Iterator["Page"]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    with silent_page(context, address) as page:
        yield page


def test_page_does_not_scroll_sideways_and_all_text_has_contrast(page: "Page") -> None:
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") in [[1280, 1280], [390, 390]]
    ratio, text = page.evaluate(CONTRAST_WITH_SVG)
    assert ratio >= 4.5, text


def test_tab_order_follows_the_page_and_reaches_every_control(page: "Page") -> None:
    page.keyboard.press("Tab")
    assert page.evaluate(f"{FOCUSED}.className") == "skip"
    assert page.evaluate(FOCUS_IS_VISIBLE)
    reached = [page.evaluate_handle(FOCUSED)]
    focusable_count = page.evaluate(
        f"[...document.querySelectorAll('{FOCUSABLE}')].filter((at) => at.checkVisibility()).length"
    )
    for _ in range(focusable_count - 1):
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS_IS_VISIBLE), page.evaluate(f"{FOCUSED}.outerHTML.slice(0, 80)")
        reached.append(page.evaluate_handle(FOCUSED))
    in_order = "([one, other]) => Boolean(one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING)"
    assert all(page.evaluate(in_order, [a, b]) for a, b in itertools.pairwise(reached))


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_page_of_a_validation_shows_its_verdicts_next_to_long_names(
    browser: "Browser", tmp_path: Path, width: int
) -> None:
    name = "a_class_without_a_space_to_break_the_line_in_" * 2
    check = Check("shares", "train", f"{name}: 10 % to 20 %", f"{name}:\u00a012 %", True, "Each class has samples.")
    counts = {"labels": [name, "b"], "accepted": [0.0, 1.0], "train": [5, 5]}
    Summary("d", "D", False, "0" * 64, None, 2, {"train": 10}, (check,), {"label": counts}).save(tmp_path)
    context = browser.new_context(viewport={"width": width, "height": 850})
    with silent_page(context, (tmp_path / "index.html").as_uri()) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box, card = page.locator(".tag").bounding_box(), page.locator(".checks").bounding_box()
        assert box
        assert card
        assert box["x"] + box["width"] <= card["x"] + card["width"]
        texts = page.locator(".checks td span").evaluate_all(
            "(all) => all.map((at) => at.scrollWidth - at.clientWidth)"
        )
        assert max(texts) <= 0


def test_skip_link_leads_to_the_data(page: "Page") -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(f"{FOCUSED}.id") == "data"
    page.keyboard.press("Tab")
    assert page.evaluate(f"document.getElementById('data').contains({FOCUSED})")


def test_a_wide_table_can_be_scrolled_with_the_keyboard(page: "Page") -> None:
    table = page.locator(".scroll").first
    table.focus()
    overflow = table.evaluate("at => at.scrollWidth - at.clientWidth")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert (table.evaluate("at => at.scrollLeft") > 0) == (overflow > 0)
