"""Interactive charts of the comparison page in a browser: pointer, keyboard, URL, tables, hostile names, no script."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chromium import pytestmark, silent_page, sync
from synthetic_runs import synthetic_runs

from feedforward.analysis import numerals
from feedforward.analysis.findings import find
from feedforward.analysis.intervals import Estimate
from feedforward.config.schema import load_params
from feedforward.reports import comparison_page
from feedforward.reports.comparison_page import Additions
from feedforward.reports.comparison_section import Reference

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["pytestmark"]  # pytest reads this name: it marks the tests as slow, and skips them without a browser
NAME = "imdb"
HOSTILE = "<img src=x onerror=\"document.title='taken'\"></script><script>document.title='taken'</script>"
LINES = "document.querySelectorAll('[data-curves=imdb] .surface polyline.line').length"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with hostile names."""
    params = load_params()
    findings = find(synthetic_runs(params, range(4)), params)
    title = {"title": HOSTILE}
    findings = [dataclasses.replace(entry, dataset=entry.dataset.model_copy(update=title)) for entry in findings]
    reference = Reference(HOSTILE, {"best_val_cross_entropy": Estimate(1, 0.4)})
    path: Path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(comparison_page.render(findings, Additions(references={NAME: [reference]})), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    with silent_page(context, address) as page:
        yield page


def data_of(page: "Page") -> dict[str, Any]:
    content = json.loads(page.locator("#chart-data").inner_text())
    return next(dataset for dataset in content["datasets"] if dataset["name"] == NAME)


def figure(page: "Page") -> Any:
    return page.locator(f"[data-curves={NAME}]")


def press(page: "Page", name: str) -> None:
    figure(page).get_by_role("button", name=name, exact=True).click()


def test_url_restores_the_chosen_variants_seeds_and_scale(page: "Page", address: str) -> None:
    assert page.evaluate(LINES) == 5
    press(page, "larger")
    assert page.evaluate(LINES) == 4
    sync.expect(figure(page).get_by_role("status")).to_have_text("4 of 5 variants shown")
    sync.expect(figure(page).get_by_role("button", name="larger")).to_have_attribute("aria-pressed", "false")
    press(page, "Single seeds")
    press(page, "Log scale")
    assert figure(page).locator("path.seed").count() == 4 * 4  # variants × seeds
    figure(page).get_by_role("combobox", name="Curve").select_option("training loss")
    link = figure(page).get_by_role("link", name="Link to this view").evaluate("(at) => at.href")
    assert page.url == link
    new_page = page.context.new_page()
    new_page.goto(link)
    assert new_page.evaluate(LINES) == 4
    assert figure(new_page).locator("path.seed").count() == 4 * 4
    sync.expect(figure(new_page)).to_contain_text("Training loss by epoch")
    sync.expect(figure(new_page)).to_contain_text("logarithmic")
    new_page.goto(f"{address}#{NAME}?{NAME}.curve=nonsense&{NAME}.epochs=0-99999&{NAME}.off=nobody&{NAME}.table=99up&x")
    new_page.reload()
    assert new_page.evaluate(LINES) == 5
    sync.expect(figure(new_page)).to_contain_text("Validation loss by epoch")


def test_values_can_be_read_with_pointer_and_keyboard(page: "Page") -> None:
    curve = next(variant for variant in data_of(page)["variants"] if variant["name"] == "l2")["curves"][
        "val_cross_entropy"
    ]
    slider, readout = figure(page).get_by_role("slider"), figure(page).locator(".readout")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expected = f"l2 {curve['mean'][3]:.4f} [{curve['low'][3]:.4f}, {curve['high'][3]:.4f}]"
    sync.expect(readout).to_contain_text("Epoch 4")
    sync.expect(readout).to_contain_text(expected)
    sync.expect(slider).to_have_attribute("aria-valuenow", "4")
    assert expected in (slider.get_attribute("aria-valuetext") or "")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    sync.expect(readout).to_contain_text(f"l2 {curve['mean'][10]:.4f}")


@pytest.mark.parametrize("decimals", [None, 0, 1, 4])
def test_numbers_are_the_same_as_in_the_static_tables(page: "Page", decimals: int | None) -> None:
    values = [0.0, 0.125, -2.5, 1 / 3, 9.99996, -1234.56, 1234567.8, 2.9e-8, -3.21e-5, 0.000123456, 1e-4]
    shown = page.evaluate("([values, decimals]) => values.map((value) => number(value, decimals))", [values, decimals])
    assert shown == [numerals.number(value, decimals) for value in values]


def test_epochs_can_be_zoomed_by_dragging_buttons_and_keyboard(page: "Page") -> None:
    slider = figure(page).get_by_role("slider")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 100, steps=4)
    page.mouse.up()
    first, last = (int(slider.get_attribute(f"aria-value{end}") or 0) for end in ("min", "max"))
    assert 1 < first < last < 20
    assert f"{NAME}.epochs={first}-{last}" in page.url
    press(page, "Zoom out")
    assert int(slider.get_attribute("aria-valuemax") or 0) > last
    slider.focus()
    page.keyboard.press("0")
    assert [slider.get_attribute(f"aria-value{end}") for end in ("min", "max")] == ["1", "20"]
    page.keyboard.press("+")
    assert int(slider.get_attribute("aria-valuemin") or 0) > 1


def test_statistics_can_be_shown_as_differences_or_values(page: "Page") -> None:
    section = page.locator(f"[data-statistics={NAME}]")
    section.get_by_role("combobox", name="Statistic").select_option("overfit epoch")
    description = section.get_by_role("img").get_attribute("aria-label") or ""
    assert description.startswith("overfit epoch: smaller ")
    assert "original" not in description
    section.get_by_role("combobox", name="Show").select_option("value")
    means = {variant["name"]: variant["statistics"]["best_epoch"]["mean"] for variant in data_of(page)["variants"]}
    description = section.get_by_role("img").get_attribute("aria-label") or ""
    assert all(f"{name} {mean:.1f} [" in description for name, mean in means.items())


def test_a_table_can_be_sorted_in_both_directions_and_restored(page: "Page") -> None:
    table = page.locator(f'table[data-sort="{NAME}.table"]')
    names = "(at) => [...at.tBodies[0].rows].map((row) => row.cells[0].textContent)"
    before = table.evaluate(names)
    heading = table.get_by_role("button", name="lowest validation loss")
    heading.focus()
    page.keyboard.press("Enter")
    column = table.locator("th").nth(2)
    sync.expect(column).to_have_attribute("aria-sort", "ascending")
    losses = {v["name"]: v["statistics"]["best_val_cross_entropy"]["mean"] for v in data_of(page)["variants"]}
    losses[HOSTILE] = 0.4
    expected = sorted(losses, key=lambda name: losses[name])
    assert table.evaluate(names) == expected
    assert f"{NAME}.table=2up" in page.url
    heading.click()
    assert table.evaluate(names) == expected[::-1]
    heading.click()
    assert table.evaluate(names) == before


def test_large_and_tiny_numbers_are_sorted_by_value(page: "Page") -> None:
    values = [1.23e9, 9.87e8, 2.5e7, 9999999.0, -2.5e-8, -9e-7, 0.5]
    cells = [numerals.number(value, None) for value in values]
    page.evaluate(
        """(cells) => {
          const rows = cells.map((text) => make("tr", {}, make("td", {}, text, make("br"), `[${text}, 1.5]`)));
          const head = make("thead", {}, make("tr", {}, make("th", {}, "error")));
          const table = make("table", { id: "errors", "data-sort": "errors" }, head, make("tbody", {}, ...rows));
          document.querySelector("section").append(table);
          sortable(table);
        }""",
        cells,
    )
    page.locator("#errors").get_by_role("button").click()
    shown = page.locator("#errors td").evaluate_all("(cells) => cells.map((cell) => cell.firstChild.data)")
    assert shown == [numerals.number(value, None) for value in sorted(values)]


def test_long_names_leave_room_for_the_curves_and_the_values(page: "Page") -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    section = page.locator(f"[data-statistics={NAME}]")
    section.get_by_role("combobox", name="Show").select_option("value")
    value_of_level = figure(page).locator(".readout li", has_text="<img").locator("strong")
    for text in (figure(page).locator(".surface .level-name"), section.locator("text:has(title)"), value_of_level):
        box, outer = text.first.bounding_box(), section.bounding_box()
        assert box
        assert outer
        assert box["x"] >= outer["x"]
        assert box["x"] + box["width"] <= outer["x"] + outer["width"]


def test_names_are_shown_as_text_and_not_executed(page: "Page") -> None:
    assert "taken" not in page.title()
    assert page.locator("img").count() == 0
    assert HOSTILE in page.locator(f"[data-curves={NAME}] .surface .level-name").first.evaluate(
        "(at) => at.textContent"
    )
    new_page = page.context.new_page()  # its errors are expected; those of `page` would fail the test
    new_page.goto(page.url)
    with new_page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        new_page.evaluate(
            "() => document.body.append(Object.assign(document.createElement('script'), { text: 'x = 1' }))"
        )


def test_page_without_javascript_shows_static_charts(browser: "Browser", address: str) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    sync.expect(figure(page).locator(".desk svg")).to_be_visible()
    assert page.get_by_role("button").count() == 0
    context.close()


def test_a_printed_page_shows_the_chosen_view_without_controls(page: "Page") -> None:
    page.emulate_media(media="print")
    sync.expect(figure(page).locator(".controls")).to_be_hidden()
    sync.expect(figure(page).locator(".surface svg").first).to_be_visible()
