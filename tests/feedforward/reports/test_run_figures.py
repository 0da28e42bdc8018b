"""The figures logged with runs are self-contained, reproducible SVG documents."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from small_data import params, values
from synthetic_predictions import complete
from synthetic_runs import synthetic_runs

from feedforward.analysis.run_result import RunResult
from feedforward.reports import run_figures

PARAMS = params(seeds=3)
TONES = PARAMS.datasets["tones"]
SVG = "{http://www.w3.org/2000/svg}"


def runs(role: str, seeds: int = 3, with_calibration: bool = True) -> list[RunResult]:
    all_runs = synthetic_runs(PARAMS, range(seeds))
    all_runs = complete(all_runs, {"tones": 3, "notes": 2}) if with_calibration else all_runs
    return [run for run in all_runs if (run.dataset, run.variant, run.role) == ("tones", "original", role)]


def elements(svg: str | None, tag: str, css_classes: str = "") -> list[ElementTree.Element]:
    assert svg is not None
    candidates = ElementTree.fromstring(svg).iter(f"{SVG}{tag}")
    return [element for element in candidates if set(css_classes.split()) <= set(element.get("class", "").split())]


def texts(svg: str | None) -> str:
    return " ".join("".join(text.itertext()) for text in elements(svg, "text"))


@pytest.mark.parametrize(
    ("seeds", "subtitle", "bands"), [(3, "mean of 3 seeds; band: 95 % t interval", 4), (1, "one seed", 0)]
)
def test_curves_show_training_as_dots_and_validation_as_a_line(seeds: int, subtitle: str, bands: int) -> None:
    replicas = runs("replica", seeds)
    svg = run_figures.curves(replicas, TONES.title)
    assert len(elements(svg, "polyline", "line lecture")) == 2  # loss and accuracy
    assert len(elements(svg, "circle", "dot lecture")) == 2 * len(replicas[0].curves["loss"])
    assert len(elements(svg, "polygon", "band")) == bands
    assert all(text in texts(svg) for text in (f"{TONES.title}: original", subtitle, "training", "validation"))
    assert svg == run_figures.curves(replicas, TONES.title)


def test_a_final_run_has_no_validation_curve() -> None:
    svg = run_figures.curves(runs("final"), TONES.title)
    assert not elements(svg, "polyline")
    assert "validation" not in texts(svg)


def test_calibration_shows_reliability_and_error_by_epoch() -> None:
    svg = run_figures.calibration(runs("replica"), TONES)
    assert len(elements(svg, "polyline", "line")) == 3 + 2  # one for each stage; before and after scaling
    assert "expected calibration error" in texts(svg)


def test_a_confusion_matrix_has_a_cell_for_each_pair_of_classes() -> None:
    svg = run_figures.confusion(runs("final"), TONES)
    assert len(elements(svg, "rect", "dot")) == len(TONES.labels) ** 2
    assert "test samples, mean of 3 seeds" in texts(svg)


def test_runs_without_calibration_or_errors_have_no_such_figure() -> None:
    assert run_figures.calibration(runs("replica", with_calibration=False), TONES) is None
    assert run_figures.confusion(runs("final", with_calibration=False), TONES) is None


def test_hostile_titles_and_labels_are_escaped() -> None:
    plain = values()["datasets"]["tones"] | {"title": "<script>&", "labels": ["<b>", "&amp;", '"']}
    hostile = params(datasets={"tones": plain}).datasets["tones"]
    assert "<script>&: original" in texts(run_figures.curves(runs("replica"), hostile.title))
    assert "<b>" in texts(run_figures.confusion(runs("final"), hostile))


def test_run_figures_do_not_import_matplotlib() -> None:
    code = "import sys\nimport feedforward.reports.run_figures\nassert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
