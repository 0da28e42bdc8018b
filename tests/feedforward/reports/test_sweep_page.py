"""The sweep page: results of the search, results from fresh seeds, the test result, and optional sections."""

import dataclasses
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from synthetic_runs import Shape, replica_run

from feedforward.analysis import selection
from feedforward.analysis.intervals import Estimate
from feedforward.analysis.selection import ConfirmedTrial
from feedforward.analysis.statistics import STATISTICS, summarize
from feedforward.reports import sweep_charts, sweep_page
from feedforward.reports.sweep_charts import Scale
from feedforward.reports.sweep_page import Content, Trial

STATISTIC = "best_val_cross_entropy"
VALUES = [("small", 1e-4, 5), ("base", 1e-2, 5), ("<wide>", 0.0, 20)]


def content(**changes: Any) -> Content:
    def estimates(name: str, seeds: range, floor: float) -> Any:
        return summarize([replica_run("d", name, seed, 8, Shape(floor, 1.0, 0.02)) for seed in seeds], [name])[name]

    trials = [
        Trial(
            f"size={size} l2={l2:g} epochs={epochs}",
            f"size={size}",
            {"size": size, "l2": l2, "epochs": epochs},
            estimates(size, range(3), 0.2 + i / 10),
        )
        for i, (size, l2, epochs) in enumerate(VALUES)
    ]
    fresh = {trial.text: estimates(trial.text, range(1000, 1003), 0.25)[STATISTIC] for trial in trials[:2]}
    losses = [trial.estimates[STATISTIC].mean for trial in trials]
    page_content = Content(
        title="Digits & more",
        text="original: size=small,base,<wide>",
        statistic=STATISTIC,
        better="lower",
        seeds=3,
        trials=trials,
        tied=[trials[1].text],
        failed=[],
        confirmed=[(text, ConfirmedTrial(text, trials[i].estimates[STATISTIC], estimate, "lower"))
                   for i, (text, estimate) in enumerate(fresh.items())],
        fresh_seeds="seeds 1000 to 1002",
        winner=trials[0].text,
        tested=("Test accuracy", "0.9851 [0.9830, 0.9872]", "size=small, 3 final models"),
        expected=selection.expected_best(losses, "lower"),
        so_far=selection.best_so_far(losses, "lower"),
        drawn="adaptive",
        importance={"size": 0.7, "l2": 0.1},
        command="feedforward sweep d size=small",
    )  # fmt: skip
    return dataclasses.replace(page_content, **changes)


def test_one_fresh_seed_shows_no_variation_and_no_interval() -> None:
    page_content = content(tested=("Test accuracy", "0.9851", "size=small, 1 final model"))
    confirmed = [
        (text, dataclasses.replace(entry, fresh=Estimate(1, entry.search.mean + 0.01)))
        for text, entry in page_content.confirmed
    ]
    page = " ".join(sweep_page.render(dataclasses.replace(page_content, confirmed=confirmed)).split())
    assert "The search result is better, but one fresh seed does not show how much seeds vary" in page
    for absent in ("the interval is that of the fresh mean", "over seeds and test samples", "fresh seeds with 95 %"):
        assert absent not in page
        assert absent in " ".join(sweep_page.render(content()).split())
    equal = [  # three fresh seeds with exactly the same value
        (text, dataclasses.replace(entry, fresh=Estimate(3, entry.search.mean + 0.01, 0.0)))
        for text, entry in page_content.confirmed
    ]
    page = " ".join(sweep_page.render(dataclasses.replace(page_content, confirmed=equal)).split())
    assert "The search result is better, but these fresh seeds do not show how much seeds vary" in page


def test_page_shows_every_trial_and_the_results_of_search_fresh_seeds_and_test() -> None:
    page_content = content()
    page = sweep_page.render(page_content)
    assert not re.findall(r"(?:src|href)=|https?:", page)
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    # confirmed, parallel (wide and narrow), expected best, importance; and one for each field
    assert len(charts) == 5 + len(VALUES[0])
    assert all(ElementTree.fromstring(chart).get("aria-label") for chart in charts)
    for _, entry in page_content.confirmed:
        for estimate in (entry.search, entry.fresh, entry.bias):
            assert f"{estimate.mean:.4f}".replace("-", "−") in page
    text = " ".join(page.split())
    for expected in ("winner's curse", "0.9851 [0.9830, 0.9872]", "used once", "seeds 1000 to 1002", "Tang et al."):
        assert expected in text
    assert "<wide>" not in page
    assert page == sweep_page.render(content())
    trial_rows = re.findall(r'<tr class="[^"]*" data-trial="(\d)"', page)
    assert sorted(trial_rows) == ["0", "1", "2"]
    assert {*re.findall(r'<polyline[^>]* data-trial="(\d)"', page)} == {"0", "1", "2"}


def test_sections_without_content_are_omitted() -> None:
    page = sweep_page.render(content(confirmed=[], winner=None, tested=None, importance={}, drawn="grid"))
    for absent in ("fresh seeds", "fANOVA", "used once", "Test split"):
        assert absent not in page
    [trial] = content().trials[:1]
    minimal = content(trials=[trial], expected=[0.2], so_far=[0.2], confirmed=[], tied=[], tested=None, importance={})
    assert "Expected best" not in sweep_page.render(minimal)


def test_page_says_if_the_winner_is_untested_and_names_failed_values() -> None:
    page = sweep_page.render(content(tested=None, failed=["l2=10"], notes=["Look for a leak."]))
    assert "not used" in page
    assert "Could not be trained: l2=10" in page
    assert "Look for a leak." in page


def test_charts_of_a_sweep_keep_their_place_next_to_long_names() -> None:
    long, estimates = "a_size_with_a_long_name_" * 3, [Estimate(3, 0.3, 0.1, 0.2, 0.4), Estimate(3, 0.4, 0.1, 0.3, 0.5)]
    importance = ElementTree.fromstring(sweep_charts.importance([(long, 0.5)], "t"))
    [bar] = [e for e in importance.iter("rect") if e.get("class") == "bar"]
    assert float(str(bar.get("width"))) > 60
    for chart in (
        sweep_charts.parallel_coordinates(
            [Scale("size", [long, "b"]), Scale("loss", [1, 2])], ["v1"] * 2, ["x"] * 2, "t", False
        ),
        sweep_charts.against_field(Scale("size", ["b", long]), estimates, "loss", "t", 4, joined=True),
    ):
        svg = ElementTree.fromstring(chart)
        [line] = [e for e in svg.iter("polyline") if "v0" in str(e.get("class")) or e.get("data-trial") == "0"]
        start, end = (float(point.split(",")[0]) for point in str(line.get("points")).split())
        assert 0 < start < end - 60 < 360
        assert long in [title.text for text in svg.iter("text") for title in text]
        centered = [text for text in svg.iter("text") if text.get("class") == "middle"]
        assert all(float(str(text.get("x"))) + 3.5 * len(str(text.text)) <= 360 for text in centered)


@pytest.mark.parametrize("scale", [1e-5, 1e9])
def test_results_of_all_trials_are_drawn_to_scale(scale: float) -> None:
    trials = [
        dataclasses.replace(trial, estimates=trial.estimates | {STATISTIC: Estimate(3, (1 + k) * 1.0235 * scale)})
        for k, trial in enumerate(content().trials)
    ]
    page = sweep_page.render(content(trials=trials))
    charts = [svg for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL) if "All trials" in svg]
    for chart, width in zip(map(ElementTree.fromstring, charts), (1000, 360), strict=True):
        lines = [e for e in chart.iter("polyline") if e.get("data-trial")]
        ends = sorted(float(str(line.get("points")).split(",")[-1]) for line in lines)
        assert ends[1] - ends[0] == pytest.approx(ends[2] - ends[1], abs=0.5)
        assert ends[1] - ends[0] > 50
        last = [text for text in chart.iter("text") if not text.get("class")]
        assert all(float(str(text.get("x"))) + 7 * len(str(text.text)) <= width for text in last)
        names = [text for text in chart.iter("text") if text.get("class") in ("ink end", "ink middle")]
        assert names[-1].get("y") != names[-2].get("y")


@pytest.mark.parametrize("wide", [True, False])
def test_parallel_coordinates_have_an_axis_for_each_field_and_a_line_for_each_trial(wide: bool) -> None:
    scales = [Scale("size", ["a", "b", "a"]), Scale("l2", [1e-4, 1e-2, 1e-3]), Scale("loss", [3, 1, 2])]
    chart = sweep_charts.parallel_coordinates(scales, ["v1", "rest", "rest"], ["x", "y", "z"], "t", wide)
    svg = ElementTree.fromstring(chart)
    lines = [e for e in svg.iter() if "trial" in str(e.get("class"))]
    assert [e.get("data-trial") for e in lines] == ["1", "2", "0"]  # the highlighted one is drawn last, on top
    assert all(len(str(e.get("points")).split()) == 3 for e in lines)
    assert scales[1].position(1e-3) == pytest.approx(0.5)
    assert scales[0].position("a") == 0
    assert Scale("l2", [0.1, 0, 1e-4]).position(1e-4) == 0.5
    assert Scale("share", [0.1, 0.2, 1.0]).position(0.2) == pytest.approx(1 / 9)
    assert Scale("one", [5, 5]).position(5) == 0.5


def test_statistic_and_its_direction_are_named() -> None:
    page = sweep_page.render(content(statistic="last_val_accuracy", better="higher", confirmed=[]))
    assert STATISTICS["last_val_accuracy"].label in page
    assert "higher is better" in " ".join(page.split())
