"""SVG charts: marks are drawn at the positions given by their values."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from feedforward.analysis.curves import Band
from feedforward.analysis.sequential import Interval
from feedforward.reports import svg_charts
from feedforward.reports.svg_charts import Row, Series


def band(mean: list[float], half_width: float | None = None) -> Band:
    values = np.array(mean)
    low, high = (None, None) if half_width is None else (values - half_width, values + half_width)
    return Band(1 if half_width is None else 3, np.arange(1, len(mean) + 1), values, low, high)


def elements(svg: str, tag: str, css_class: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(svg).iter(tag) if css_class in (e.get("class") or "").split()]


def points(element: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in str(element.get("points")).split())]


@pytest.mark.parametrize(
    ("low", "high"), [(0.28, 0.69), (0.0, 1.0), (-3.0, 0.2), (0.5, 0.5), (1e-6, 2e-6), (0, 1e6), (3e-11, 9e-11)]
)
def test_two_to_eight_ticks_enclose_the_values(low: float, high: float) -> None:
    ticks = svg_charts.ticks(low, high, 5)
    assert ticks[0] <= low + 1e-9 * abs(low)
    assert ticks[-1] >= high - 1e-9 * abs(high)
    assert 2 <= len(ticks) <= 8
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


@pytest.mark.parametrize("difference", [0.0, 1e-17])
def test_ticks_of_equal_values_are_readable(difference: float) -> None:
    assert svg_charts.ticks(0.0, difference, 4) == [0.0, 0.25]


def test_higher_values_are_drawn_higher_and_later_epochs_further_right() -> None:
    svg = svg_charts.curves([Series("a", "line", "v0", band([0.6, 0.3, 0.4]))], "t", "loss")
    [line] = elements(svg, "polyline", "line")
    (x1, y1), (x2, y2), (x3, y3) = points(line)
    assert x1 < x2 < x3
    assert y1 < y3 < y2  # in SVG, y grows downwards
    assert (y3 - y1) / (y2 - y1) == pytest.approx((0.6 - 0.4) / (0.6 - 0.3), abs=0.01)


def test_ticks_are_labeled_with_their_values() -> None:
    svg = svg_charts.curves([Series("a", "line", "v0", band([0.195, 0.072]))], "t", "loss")  # in steps of 0.025
    labels = [str(text.text) for text in elements(svg, "text", "end")]
    assert labels[:3] == ["0.050", "0.075", "0.100"]


def test_tiny_losses_are_drawn_to_scale() -> None:
    svg = svg_charts.curves([Series("a", "line", "v0", band([4e-12, 1e-12]))], "t", "loss")
    labels = [str(text.text) for text in elements(svg, "text", "end")]
    assert labels[:2] == ["1.000e−12", "2.000e−12"]


def test_band_encloses_the_curve() -> None:
    svg = svg_charts.curves([Series("a", "dot", "lecture", band([0.6, 0.3], half_width=0.05))], "t", "loss")
    [polygon] = elements(svg, "polygon", "band")
    dots = elements(svg, "circle", "dot")
    upper, lower = points(polygon)[:2], points(polygon)[2:][::-1]
    for dot, (_, top), (_, bottom) in zip(dots, upper, lower, strict=True):
        assert top < float(str(dot.get("cy"))) < bottom
    assert [title.text for dot in dots for title in dot] == [
        "a, epoch 1: 0.6000 [0.5500, 0.6500]",
        "a, epoch 2: 0.3000 [0.2500, 0.3500]",
    ]


def test_curve_names_do_not_overlap() -> None:
    series = [Series(f"v{i}", "line", f"v{i}", band([0.5, 0.3 + i / 1000])) for i in range(6)]
    positions = sorted(
        float(str(e.get("y"))) for e in elements(svg_charts.curves(series, "t", "y", ends=True), "text", "name")
    )
    assert len(positions) == 6
    assert np.diff(positions).min() >= 14  # px, a line of text


LONG = "a_variant_with_the_longest_name_that_is_allowed_and_even_longer_"


@pytest.mark.parametrize("name", [LONG, "猫" * 30], ids=["letters", "Chinese"])
def test_a_chart_keeps_its_place_next_to_long_names(name: str) -> None:
    """Names may have 63 characters, for which a narrow chart has no room."""
    rows = [Row(name, 1.0, 0.5, 1.5, True), Row("original", -1.0, -1.5, -0.5, True)]
    worse, better = elements(svg_charts.forest(rows, "t", 2), "circle", "dot")
    assert 100 < float(str(better.get("cx"))) < float(str(worse.get("cx"))) - 60 < 360
    svg = svg_charts.curves([Series(name, "line", "v0", band([3.0, 1.0]))], "t", "loss", ends=True)
    (x1, _), (x2, _) = points(elements(svg, "polyline", "line")[0])
    assert 40 < x1 < x2 - 60 < 360
    [label] = elements(svg, "text", "name")
    [tip] = label
    assert tip.text == name
    assert str(label.text).endswith("…")
    assert name.startswith(str(label.text).removesuffix("…"))


@pytest.mark.parametrize("value", [250_000.0, 4e-12, 0.0125])
def test_labels_of_a_vertical_axis_are_not_cut_off(value: float) -> None:
    narrow = [Interval(n, -value / n, 2 * value / n) for n in range(2, 9)]
    for svg in (
        svg_charts.curves([Series("a", "line", "v0", band([value, value / 3]))], "t", "loss"),
        svg_charts.history(narrow, (-math.inf, 0.0), "t", 4, "note"),
    ):
        labels = [text for text in elements(svg, "text", "end") if text.text != "epoch"]
        assert len(labels) >= 2
        assert all(float(str(text.get("x"))) >= 7 * len(str(text.text)) for text in labels)


@pytest.mark.parametrize("value", [2e6, 2e-7, 1.5e9])
def test_labels_of_a_horizontal_axis_are_not_cut_off(value: float) -> None:
    labels = elements(svg_charts.forest([Row("l2", value, value / 2, value, True)], "t", None), "text", "middle")
    assert all(float(str(text.get("x"))) + 3.5 * len(str(text.text)) <= 360 for text in labels)


def test_two_charts_next_to_each_other_share_their_scale() -> None:
    first, second = [Series("a", "dot", "lecture", band(mean)) for mean in ([0.6, 0.3], [2.0, 1.0, 3.0])]
    scales = [
        re.findall(r'class="end"[^>]*>([^<]+)<', svg_charts.curves([a], "t", "y", same_scale=[b]))
        for a, b in ((first, second), (second, first))
    ]
    assert scales[0] == scales[1]


def test_decided_differences_have_a_filled_dot_in_a_forest_plot() -> None:
    rows = [
        Row("decided", -0.2, -0.3, -0.1, True),
        Row("undecided", 0.1, -0.1, 0.3, False),
        Row("one seed", 0.1, None, None, False),
    ]
    svg = svg_charts.forest(rows, "t", 2)
    [filled], hollow = elements(svg, "circle", "dot"), elements(svg, "circle", "hollow")
    [zero] = elements(svg, "line", "zero")
    assert len(hollow) == 2
    assert len(elements(svg, "line", "line")) == 2
    assert float(str(filled.get("cx"))) < float(str(zero.get("x1"))) < float(str(hollow[0].get("cx")))


@pytest.mark.parametrize(
    ("region", "inside"),
    [((-math.inf, 0.0), False), ((0.0, math.inf), True), ((-0.5, 0.5), True), ((-0.1, 0.1), False)],
)
def test_strip_shades_the_range_in_which_the_claim_holds(region: tuple[float, float], inside: bool) -> None:
    svg = svg_charts.strip(Row("a − b", 0.2, 0.15, 0.25, True), region, 2, "good")
    [shade], [line] = elements(svg, "rect", "region"), elements(svg, "line", "line")
    left = float(str(shade.get("x")))
    right = left + float(str(shade.get("width")))
    assert (left <= float(str(line.get("x1"))) and float(str(line.get("x2"))) <= right) == inside


def test_text_is_escaped() -> None:
    svg = svg_charts.curves([Series("<b>&", "line", "v0", band([1.0, 2.0]))], '"<t>"', "<y>", ends=True)
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == '"<t>"'
    assert "<b>&" in "".join(root.itertext())


def test_charts_without_data_are_valid_svg() -> None:
    assert ElementTree.fromstring(svg_charts.curves([], "t", "y")).get("role") == "img"
    assert ElementTree.fromstring(svg_charts.forest([], "t", 2)).get("role") == "img"
    assert (
        ElementTree.fromstring(svg_charts.strip(Row("a", 0.0, None, None, False), (0.0, math.inf), 2, "note"))
        is not None
    )


def test_history_draws_an_interval_for_every_number_of_seeds_that_has_one() -> None:
    intervals = [Interval(2, None, None), *(Interval(n, -1 / n, 2 / n) for n in range(3, 9))]
    svg = svg_charts.history(intervals, (-math.inf, 0.0), "t", 2, "note")
    lines = elements(svg, "line", "line")
    assert len(lines) == 6
    lengths = [float(str(line.get("y1"))) - float(str(line.get("y2"))) for line in lines]
    assert lengths == sorted(lengths, reverse=True)
    assert [str(title.text) for title in lines[-1]] == ["8 seeds: [−0.12, 0.25]"]
    assert "no bounded interval yet" in svg_charts.history(intervals[:1], (0.0, math.inf), "t", 2, "note")
