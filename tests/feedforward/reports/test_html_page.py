"""Helper functions of the HTML pages: axis steps, number formats, bar charts and templates."""

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from feedforward.reports import html_page


@given(st.floats(1e-9, 1e9))
def test_nice_step_is_between_1_and_2_5_times_the_given_step(minimum_step: float) -> None:
    step = html_page.nice_step(minimum_step)
    assert minimum_step * (1 - 1e-6) <= step <= 2.5 * minimum_step
    assert float(f"{step:.0e}") == pytest.approx(step) or f"{step:.1e}".startswith("2.5")


def test_numbers_are_formatted_for_reading():
    assert [html_page.number(value) for value in (0, 12500, 0.25, 1e6)] == ["0", "12,500", "0.25", "1,000,000"]
    assert [html_page.percent(share) for share in (0, 0.00246, 0.5, 0.9999, 1)] == [
        "0 %",
        "0.246 %",
        "50 %",
        "99.99 %",
        "100 %",
    ]
    assert (html_page.span(20, 400), html_page.span(784, 784)) == ("20 to 400", "784")


def test_labels_are_escaped_in_charts():
    svg = html_page.grouped_bars({"train": [0.5, 0.5]}, ["<script>", "b & c"], "Classes", (0.4, 0.6))
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg
    assert "b &amp; c" in svg


@pytest.mark.parametrize("names", [["T-shirt/top", "Trouser", "Pullover", "Dress", "Ankle boot"] * 2, ["n" * 60] * 46])
def test_names_that_do_not_fit_below_their_bars_are_tilted_and_shortened(names: list[str]) -> None:
    svg = ElementTree.fromstring(html_page.grouped_bars({"train": [1 / len(names)] * len(names)}, names, "Classes"))
    labels = [text for text in svg.iter("text") if text.get("transform")]
    at = [float(str(text.get("x"))) for text in labels]
    assert all(after - before >= 12 for before, after in itertools.pairwise(at))  # a line of text
    assert len(labels) >= 10
    height = float(str(svg.get("viewBox")).split()[3])
    assert all(float(str(text.get("y"))) + 0.87 * 7 * len(str(text.text)) <= height for text in labels)


def test_names_that_fit_below_their_bars_are_not_tilted() -> None:
    assert "rotate" not in html_page.grouped_bars({"train": [0.1] * 10}, [str(k) for k in range(10)], "Classes")


def test_bar_height_is_proportional_to_the_share():
    svg = html_page.histogram({"train": [0.2, 0.8], "test": [0.5, 0.5]}, [0, 10, 20], "Ones", open_end=True)
    heights = [float(height) for height in re.findall(r'class="s0".*?height="([\d.]+)"', svg)]
    assert heights[1] == pytest.approx(4 * heights[0], rel=0.01)
    assert "10 and more, train: 80 %" in svg


def test_a_class_without_samples_has_no_bar():
    assert html_page.grouped_bars({"train": [0.0, 1.0]}, ["a", "b"], "Classes").count("<rect") == 1


def test_rendering_a_page_with_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        html_page.render("validation.html", figures=[])
