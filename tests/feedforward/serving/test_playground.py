"""The playground in a real browser: texts, drawings, rows, keyboard, invalid input, a stopped server, phone layout."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import registered
from chromium import CONTRAST, pytestmark, sync, watched_page  # noqa: F401
from live_service import GLAD, SERVING, LiveService
from pictures import encoded, stroke
from registered import NAME
from waiting import until

from feedforward.config.schema import Params
from feedforward.core import append_only_log, paths
from feedforward.serving import canary

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from feedforward.tracking import Store


class Playground:
    """The playground in a browser, and the errors that the page reports."""

    def __init__(self, browser: "Browser", port: int, **options: Any) -> None:
        self.address, self.context = f"http://127.0.0.1:{port}/", browser.new_context(**options)
        self.page, self.errors = watched_page(self.context, self.address)

    def open(self, dataset: str = "") -> "Page":
        self.page.goto(f"{self.address}#{dataset}")
        return self.page

    def expect_answer(self, text: str) -> None:
        sync.expect(self.page.locator("#answer")).to_contain_text(text)

    def expect_text(self, element_id: str, text: str) -> None:
        sync.expect(self.page.locator(f"#{element_id}")).to_contain_text(text)


@pytest.fixture
def playground(browser: "Browser", served: LiveService) -> Iterator[Playground]:
    playground = Playground(browser, served.port)
    yield playground
    playground.context.close()
    # the browser also logs refused requests, which some tests send
    assert not [message for message in playground.errors if "422" not in message and "413" not in message]


def bar_labels(page: "Page") -> dict[str, str]:
    """Return the ARIA label of each model's bar, by the model's name."""
    items = page.locator("#models li")
    return {
        item.locator("span").first.inner_text(): item.locator(".strip").get_attribute("aria-label") or ""
        for item in items.all()
    }


def stored_samples(dataset: str) -> list[dict[str, Any]]:
    return list(append_only_log.read(paths.incoming(dataset)))


# --- typing ----------------------------------------------------------------------------------


def test_probabilities_change_with_each_word_and_influential_words_are_marked(playground: Playground) -> None:
    page = playground.open(NAME)
    playground.expect_answer("Type a text")
    page.locator("#text").press_sequentially("word1, WORD2 nobody")
    playground.expect_answer("sad, 9")
    before = bar_labels(page)
    assert set(before) == {"champion", "original", "dropout"}
    page.locator("#text").press_sequentially(f" {GLAD}")
    playground.expect_answer("glad, 100 %")
    after = bar_labels(page)
    assert after["champion"] == "sad 0 %, glad 100 %"
    assert after["dropout"].startswith("sad 100 %")
    assert before != after
    marked = page.locator("mark").all_inner_texts()
    assert marked[:2] == ["word1", "WORD2"]
    assert len(marked) == 22  # each occurrence in the text
    assert page.locator(".unknown", has_text="nobody").count() == 1
    playground.expect_text("strongest", "For glad: word1 (+1.00)")
    page.locator("summary").click()
    assert page.locator("tbody tr").all_inner_texts()[0].split() == ["champion", "0", "%", "100", "%"]
    page.locator("#text").fill("")
    playground.expect_answer("Type a text")
    assert not page.locator("#push").is_visible()


def test_words_next_to_typographic_punctuation_or_with_decomposed_letters_are_marked(playground: Playground) -> None:
    page = playground.open(NAME)
    page.locator("#text").fill("„word1“ a\u0308b ‘wo\u00adrd2’ don’t—word3…")
    playground.expect_answer("sad, 9")
    sync.expect(page.locator("mark")).to_have_text(["word1", "wo\u00adrd2", "word3"])
    sync.expect(page.locator("#words .unknown")).to_have_text(["äb", "don’t"])


def test_a_response_for_a_cleared_sample_is_not_shown(playground: Playground, tmp_path: Path) -> None:
    page = playground.open()
    page.get_by_role("radio", name="Small gray pictures").check(force=True)
    (tmp_path / "a.png").write_bytes(b"not a picture")
    playground.expect_answer("Draw something")
    with page.expect_response("**/predict/*") as response:
        page.route("**/predict/*", lambda route: page.get_by_role("button", name="Clear").click() or route.continue_())
        page.locator("#file").set_input_files(tmp_path / "a.png")
    assert response.value.status == 422
    page.wait_for_timeout(200)  # for the page to process the response
    assert not page.locator("#wrong").is_visible()
    playground.expect_answer("Draw something")


def test_a_corrected_label_is_stored_once(playground: Playground) -> None:
    page = playground.open(NAME)
    glad = page.get_by_role("button", name="glad")
    sync.expect(glad).to_be_disabled()
    page.locator("#text").fill("word3 größe")
    playground.expect_answer("sad")
    glad.click()
    playground.expect_text("kept", "Thank you: stored as glad for the next training run.")
    glad.click()
    playground.expect_text("kept", "This sample was already stored as glad.")
    page.locator("#text").fill("word3")
    playground.expect_text("kept", "Stores the sample with this label")  # the new text is not stored
    [entry] = stored_samples(NAME)
    assert (entry["text"], entry["label"], entry["answer"], entry["version"]) == ("word3 größe", "glad", "sad", 1)


@pytest.mark.proves("The playground says which version answered, even if a canary answers some of the samples")
def test_an_answer_of_the_challenger_is_not_shown_as_the_champions(
    browser: "Browser", small: Params, small_store: "Store"
) -> None:
    registered.champion(small_store, small, 1.0, dropout=-1.0)
    registry = registered.Registry()
    run = registered.final_run(small_store, small, seed=1)
    challenger = registered.version(registry, run, -1.0, variants={"l2": 1.0})
    registry.tag(challenger, {"decision": "kept"})
    registry.set_alias(challenger, "challenger")
    texts = [f"{GLAD} {k}" for k in range(60)]
    by_challenger = next(text for text in texts if canary.selects([text], "notes version 2", 0.3))
    by_champion = next(text for text in texts if not canary.selects([text], "notes version 2", 0.3))
    with LiveService(small.model_copy(update={"serving": SERVING.model_copy(update={"canary": 0.3})})) as served:
        until(lambda: served.client.get("/health").json()["challengers"][NAME] == 2)
        playground = Playground(browser, served.port)
        page = playground.open(NAME)
        for text, label, who, names in (
            (by_champion, "glad", "Champion: version 1", ["champion", "dropout"]),
            (by_challenger, "sad", "version 2, the challenger (canary)", ["challenger", "l2"]),
            (by_champion, "glad", "Champion: version 1", ["champion", "dropout"]),
        ):
            page.locator("#text").fill(text)
            playground.expect_answer(label)
            playground.expect_text("who", who)
            assert list(bar_labels(page)) == names
            assert page.locator("tbody td:first-child").all_text_contents() == names
        playground.context.close()
        assert not playground.errors


# --- drawing ---------------------------------------------------------------------------------


def drag(playground: Playground, points: list[tuple[int, int]], touch: bool) -> None:
    """Draw a line across the sheet, with the mouse or with a finger."""
    box = playground.page.locator("#sheet").bounding_box()
    assert box is not None
    (x, y), *others = [(box["x"] + x, box["y"] + y) for x, y in points]
    if touch:
        session = playground.context.new_cdp_session(playground.page)
        for kind, at in (("Start", [(x, y)]), *(("Move", [point]) for point in others), ("End", [])):
            dots = [{"x": across, "y": down} for across, down in at]
            session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": dots})
        return
    playground.page.mouse.move(x, y)
    playground.page.mouse.down()
    for point in others:
        playground.page.mouse.move(*point, steps=3)
    playground.page.mouse.up()


@pytest.mark.parametrize("touch", [False, True])
def test_prediction_is_updated_while_drawing(browser: "Browser", served: LiveService, touch: bool) -> None:
    playground = Playground(browser, served.port, has_touch=touch, viewport={"width": 390, "height": 844})
    page = playground.open("tones")
    playground.expect_answer("Draw something")
    drag(playground, [(60, 60), (60, 200)], touch)
    sync.expect(page.locator("#view")).to_be_visible()
    assert page.evaluate("scrollY") == 0  # a finger on the sheet draws instead of scrolling
    earlier = bar_labels(page)["champion"]
    drag(playground, [(60, 60), (200, 60), (200, 200)], touch)
    sync.expect(page.locator("#models .strip").first).not_to_have_attribute("aria-label", earlier)
    page.get_by_role("button", name="gray").click()
    playground.expect_text("kept", "stored as gray")
    [entry] = stored_samples("tones")
    assert (entry["label"], entry["height"], entry["width"]) == ("gray", 28, 28)
    page.get_by_role("button", name="Clear").click()
    playground.expect_answer("Draw something")
    playground.context.close()
    assert not playground.errors


def test_a_tap_draws_a_dot(playground: Playground) -> None:
    page = playground.open("tones")
    playground.expect_answer("Draw something")
    page.locator("#sheet").click(position={"x": 90, "y": 90})
    sync.expect(page.locator("#view")).to_be_visible()
    assert not playground.errors


def test_an_image_file_can_be_chosen(playground: Playground, tmp_path: Path) -> None:
    page = playground.open("tones")
    (tmp_path / "digit.png").write_bytes(encoded(255 - stroke(90, 60)))
    page.locator("#file").set_input_files(tmp_path / "digit.png")
    sync.expect(page.locator("#view")).to_be_visible()
    [expected] = served_predictions(playground, tmp_path / "digit.png")
    playground.expect_answer(expected["label"])
    drag(playground, [(60, 60), (60, 200)], touch=False)  # a drawing replaces the file
    sync.expect(page.locator("#labels button").first).to_be_enabled()
    assert page.evaluate("drawn")


def served_predictions(playground: Playground, path: Path) -> list[dict[str, Any]]:
    request = {"data": path.read_bytes(), "headers": {"content-type": "image/png"}}
    predictions: list[dict[str, Any]] = playground.context.request.post(
        f"{playground.address}predict/tones", **request
    ).json()["predictions"]
    return predictions


# --- rows ------------------------------------------------------------------------------------


@pytest.mark.proves("The playground of a table is a form, and labels such as 1, 10 and 2 keep their order")
def test_a_row_is_typed_into_a_form_and_labels_keep_their_order(
    browser: "Browser", small: Params, small_store: "Store"
) -> None:
    registered.grades_champion(small_store)
    with LiveService(registered.with_grades()) as served:
        playground = Playground(browser, served.port)
        page = playground.open("grades")
        playground.expect_answer("Fill in the form")
        assert not page.locator("canvas:visible, textarea:visible, #correction:visible").count()
        page.get_by_label("hours").fill("9")
        playground.expect_answer("10, 99.8 %")
        page.get_by_label("hours").fill("5")
        page.get_by_label("school").select_option("north")
        playground.expect_answer("1, 100 %")
        page.get_by_label("hours").fill("many")
        playground.expect_text("wrong", "hours: expected a number, got 'many'")
        page.get_by_label("hours").fill("")
        page.get_by_label("school").select_option("")
        playground.expect_answer("Fill in the form")  # an empty form is not sent
        page.get_by_label("hours").fill("6")  # `school` stays empty, which is a missing value
        playground.expect_answer("10, 78.6 %")
        page.locator("summary").click()
        headings = page.locator("thead th").all_inner_texts()
        cells = page.locator("tbody td").all_inner_texts()
        [answer] = served.ask({"hours": 6, "school": None}, dataset="grades").json()["predictions"]
        assert headings[1:] == ["1", "10", "2"]
        assert [float(cell.split()[0]) for cell in cells[1:]] == [
            pytest.approx(100 * answer["probabilities"][label], abs=0.06) for label in headings[1:]
        ]
        check_layout(page)
        check_form_of_other_columns(page)
        playground.context.close()


def check_form_of_other_columns(page: "Page") -> None:
    """A table with the same names of columns has its own categories and kinds; typed values are kept if possible."""
    page.get_by_label("school").select_option("north")
    hours, other = page.evaluate("datasets.grades.columns")
    show, options = "(columns) => fields(columns)", page.get_by_label("school").locator("option")
    page.evaluate(show, [hours, other | {"categories": ["north", "west"]}])
    assert options.all_inner_texts() == ["", "north", "west"]
    sync.expect(page.get_by_label("school")).to_have_value("north")
    sync.expect(page.get_by_label("hours")).to_have_value("6")
    page.evaluate(show, [hours, other | {"categories": ["west"]}])
    sync.expect(page.get_by_label("school")).to_have_value("")
    page.evaluate(show, [hours | {"categories": ["many"]}, other])
    sync.expect(page.get_by_label("hours")).to_have_value("")


# --- keyboard --------------------------------------------------------------------------------


def test_playground_can_be_used_with_the_keyboard_alone(playground: Playground) -> None:
    page = playground.open("tones")
    playground.expect_answer("Draw something")

    def tab_to(selector: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"{selector} cannot be reached")

    tab_to("#choice input")
    tab_to("#sheet")
    assert page.locator("#pen").is_visible()
    page.keyboard.press("Space")
    for key in ["ArrowDown"] * 6 + ["ArrowRight"] * 6:
        page.keyboard.press(key)
    sync.expect(page.locator("#view")).to_be_visible()
    picture = page.evaluate("picture")
    page.keyboard.press("Space")  # lifts the pen, which now moves without drawing
    page.keyboard.press("ArrowUp")
    assert page.evaluate("picture") == picture
    tab_to("#file")
    tab_to("#labels button:nth-child(2)")
    page.keyboard.press("Enter")
    playground.expect_text("kept", "stored as gray")
    page.reload()
    tab_to("#choice input")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("location.hash") == f"#{NAME}"
    tab_to("#text")
    page.keyboard.type(GLAD)
    playground.expect_answer("glad")
    tab_to("#labels button")
    page.keyboard.press("Space")
    playground.expect_text("kept", "stored as sad")
    assert len(stored_samples(NAME)) == len(stored_samples("tones")) == 1


# --- invalid input ----------------------------------------------------------------------------


def test_an_error_is_shown_next_to_the_input_and_valid_input_is_answered_afterwards(
    playground: Playground, tmp_path: Path
) -> None:
    page = playground.open(NAME)
    for text, message in (
        (" ©,  !!", None),
        (" …–,  !!", "This sample must contain at least one word"),
        ("x" * 2001, "This sample must have at most 2000 bytes, got 2001"),
        ("a film " * 150_000, "This sample must have at most 200000 bytes"),
    ):
        page.locator("#text").fill(text)
        if message is None:
            playground.expect_answer("sad")  # a symbol counts as a word
            continue
        playground.expect_text("wrong", message)
        sync.expect(page.locator("#labels button").first).to_be_disabled()
    page.locator("#text").fill(GLAD)
    playground.expect_answer("glad")
    sync.expect(page.locator("#wrong")).to_be_hidden()

    page.get_by_role("radio", name="Small gray pictures").check(force=True)
    for name, content, message in (
        ("a.png", b"not a picture", "This sample must be an image (PNG"),
        ("a.png", b"", "This file is empty"),
        ("a.png", encoded(stroke(40, 40))[:60], "This sample"),
        ("a.png", encoded(stroke(40, 40) * 0), "This sample"),
        ("a.html", b"<svg onload=alert(1)>", "This sample must be an image"),
    ):
        (tmp_path / name).write_bytes(content)
        page.locator("#file").set_input_files(tmp_path / name)
        playground.expect_text("wrong", message)
        sync.expect(page.locator("#labels button").first).to_be_disabled()
        page.get_by_role("button", name="Clear").click()
        sync.expect(page.locator("#wrong")).to_be_hidden()


def test_markup_in_a_sample_is_shown_as_text(playground: Playground) -> None:
    page = playground.open(NAME)
    page.locator("#text").fill("<img src=x onerror=alert(1)> word1 <b>word2</b>")
    playground.expect_answer("sad")
    assert "<b>" in page.locator("#words").inner_text()
    assert page.locator("#words img, #words b").count() == 0


def test_page_reports_a_stopped_server_and_recovers(browser: "Browser", small: Params, small_store: "Store") -> None:
    params = small.model_copy(update={"serving": SERVING})
    with LiveService(params) as served:
        playground = Playground(browser, served.port)
        page = playground.open(NAME)
        playground.expect_text("problem", "there is no champion yet; run `feedforward promote notes`")
        assert not page.locator("#play").is_visible()
        registered.champion(small_store, small)
        page.locator("#text").fill("word1")
        playground.expect_answer("sad")
    page.locator("#text").fill(GLAD)
    sync.expect(page.locator("#stopped")).to_be_visible()
    playground.expect_text("stopped", "The service does not answer")
    sync.expect(page.locator("#labels button").first).to_be_disabled()
    assert page.locator("#text").input_value() == GLAD
    with LiveService(params, served.port):
        sync.expect(page.locator("#stopped")).to_be_hidden()
        playground.expect_answer("glad")
        sync.expect(page.locator("#labels button").first).to_be_enabled()
        playground.context.close()


# --- layout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_playground_fits_a_phone_screen_with_readable_contrast(
    browser: "Browser", served: LiveService, scheme: str
) -> None:
    playground = Playground(browser, served.port, color_scheme=scheme, viewport={"width": 320, "height": 640})
    page = playground.open(NAME)
    page.locator("summary").click()
    for text in ("w" * 300, f"{GLAD} unknown {'long' * 40}", "..."):
        page.locator("#text").fill(text)
        time.sleep(0.4)
        check_layout(page)
    page.get_by_role("radio", name="Small gray pictures").check(force=True)
    drag(playground, [(60, 60), (60, 200)], touch=False)
    sync.expect(page.locator("#view")).to_be_visible()
    check_layout(page)
    playground.open("").set_viewport_size({"width": 1280, "height": 800})
    check_layout(page)
    playground.context.close()


def test_long_words_in_labels_and_titles_do_not_make_pages_scroll_sideways(
    browser: "Browser", small: Params, small_store: "Store"
) -> None:
    labels = ("x" * 60, "y" * 60)
    registered.champion_with_labels(small_store, *labels)
    notes = small.datasets[NAME].model_copy(update={"title": "t" * 60, "labels": labels})
    params = small.model_copy(update={"datasets": small.datasets | {NAME: notes}, "serving": SERVING})
    with LiveService(params) as served:
        playground = Playground(browser, served.port, viewport={"width": 360, "height": 640})
        page = playground.open(NAME)
        page.locator("#text").fill(GLAD)
        playground.expect_answer(labels[1])
        check_layout(page)
        for path in ("monitoring", "feedback"):
            page.goto(f"{playground.address}{path}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        playground.context.close()


def check_layout(page: "Page") -> None:
    """Check that the page does not scroll sideways, its contrast meets WCAG AA, and touch targets are large enough."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ratio, where = page.evaluate(CONTRAST)
    assert ratio >= 4.5, (where, ratio)
    for button in page.locator("button:visible, label.button:visible, .pick:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44
