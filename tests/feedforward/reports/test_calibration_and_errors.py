"""The sections of the comparison page about calibration and errors."""

import dataclasses
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from small_data import params, values
from synthetic_predictions import complete
from synthetic_runs import final_run, synthetic_runs

from feedforward.analysis.findings import Findings, find
from feedforward.config.schema import EarlyStopping, Params
from feedforward.models import error_analysis
from feedforward.reports import calibration_section, error_tables, errors_section, probability_charts

CLASSES = {"tones": 3, "notes": 2}


def findings(small_params: Params | None = None, with_calibration: bool = True) -> list[Findings]:
    small_params = small_params or params()
    runs = synthetic_runs(small_params, range(3))
    return find(complete(runs, CLASSES) if with_calibration else runs, small_params)


def test_calibration_has_a_figure_for_each_curve_and_variant_and_a_table() -> None:
    tones, _ = findings()
    page = calibration_section.render(tones)
    assert page.count("<figure") == len(calibration_section.CURVES) + len(tones.variants)
    assert page.count('<th scope="row">') == len(tones.variants)
    assert "after scaling" in page
    assert "nan" not in page


@pytest.mark.proves("With early stopping, the report says at which epochs its numbers were measured")
def test_the_last_epoch_is_that_of_each_seed_if_training_stops_early() -> None:
    tones, _ = findings()
    assert f"At the last epoch ({tones.dataset.training.epochs})." in calibration_section.render(tones)
    training = tones.dataset.training.model_copy(update={"early_stopping": EarlyStopping(patience=3)})
    stopped = dataclasses.replace(tones, dataset=tones.dataset.model_copy(update={"training": training}))
    page = calibration_section.render(stopped)
    assert "At the last epoch of each seed, after which training stopped early (at most" in page
    assert "each curve ends where the variant" in page


@pytest.mark.parametrize(("spread", "is_certain"), [(0.01, True), (1.0, False)])
def test_no_share_of_an_uncertain_rise_is_called_overconfidence(spread: float, is_certain: bool) -> None:
    """Seed k has the rise 0.5 + k · spread in its last epoch, which scaling removes."""
    _, notes = findings()
    runs = []
    for run in notes.runs:
        flat, last = [0.3] * (len(run.curves["loss"]) - 1), 0.8 + run.seed * spread
        curves = {"val_cross_entropy": [*flat, last], "calibration/refinement": [*flat, 0.3]}
        runs.append(dataclasses.replace(run, curves=run.curves | curves) if run.role == "replica" else run)
    page = calibration_section.render(dataclasses.replace(notes, runs=runs))
    assert ("of this rise: that part is overconfidence" in page) == is_certain
    assert ("too little or too uncertain to say how much of it is overconfidence" in page) != is_certain


def test_errors_are_shown_for_each_class_with_curves_and_a_matrix() -> None:
    tones, notes = findings()
    page = errors_section.render(tones)
    assert len(re.findall("<rect", page)) == 9
    assert page.count('<th scope="row">') == 3
    assert "Confused most: " in page
    assert "mean over the 3 classes" in page
    assert "of glad" in errors_section.render(notes)


@pytest.mark.proves("Cells of a confusion matrix show means over seeds with a decimal, and halves are rounded up")
def test_cells_of_a_confusion_matrix_show_means_that_are_not_whole() -> None:
    def numbers(matrix: list[list[float]], labels: list[str]) -> list[str]:
        svg = ElementTree.fromstring(probability_charts.confusion(np.array(matrix), labels, "title"))
        return [str(text.text) for text in svg.iter("text") if text.get("pointer-events")]

    assert numbers([[6.0, 0.5], [4.5, 0.01]], ["no", "yes"]) == ["6", "0.5", "4.5"]
    many = [[12.5 if row == column else 0.0 for column in range(18)] for row in range(18)]  # a decimal does not fit
    assert numbers(many, [str(k) for k in range(18)]) == ["13"] * 18


@pytest.mark.parametrize("classes", [13, 20, 46, 120])
def test_labels_of_many_classes_do_not_overlap(classes: int) -> None:
    labels = [f"class with number {k}" for k in range(classes)]
    svg = ElementTree.fromstring(probability_charts.confusion(np.eye(classes), labels, "title"))
    texts = [text for text in svg.iter("text") if "ink" in str(text.get("class")) and not text.get("pointer-events")]
    columns = [text for text in texts if text.get("y") == "34"]
    rows = [text for text in texts if text.get("y") != "34"]
    assert len(rows) >= min(classes, 40)
    assert all(float(str(text.get("x"))) >= 7 * len(str(text.text)) for text in rows)
    for marks, axis, room in ((columns, "x", 7 * len(str(classes))), (rows, "y", 12)):
        at = [float(str(text.get(axis))) for text in marks]
        assert all(after - before >= room for before, after in itertools.pairwise(at))


def test_a_wide_confusion_matrix_can_be_scrolled() -> None:
    labels = tuple(f"class with number {k}" for k in range(30))
    runs = complete([final_run("tones", "original", seed, 2, 0.9) for seed in range(2)], {"tones": 30})
    tones = find(runs, params())[0]
    page = errors_section.render(
        dataclasses.replace(tones, dataset=tones.dataset.model_copy(update={"labels": labels}))
    )
    assert re.search(r'class="scroll" tabindex="0"[^>]*><div style="width: 6\d\dpx"><svg viewBox="0 0 6\d\d ', page)


def test_runs_without_calibration_and_errors_have_no_such_sections() -> None:
    for entry in findings(with_calibration=False):
        assert calibration_section.render(entry) == errors_section.render(entry) == ""


def test_a_regression_shows_residuals_and_no_matrix() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.normal(300, 50, 400)
    run = dataclasses.replace(
        final_run("tones", "original", 0, 2, 0.9),
        errors={"residuals": error_analysis.residuals(predicted + rng.normal(0, 9, 400), predicted)},
    )
    tones = find([run], params())[0]
    prices = tones.dataset.model_copy(update={"task": "regression", "labels": ("price",)})
    page = errors_section.render(dataclasses.replace(tones, dataset=prices))
    assert "predicted price" in page
    assert "Confusion matrix" not in page
    assert "<table" not in page


def test_hostile_labels_are_escaped() -> None:
    plain = values()["datasets"]["notes"] | {"labels": ["<b>sad</b>", "glad"]}
    small_params = params(datasets={"notes": plain})
    page = errors_section.render(find(complete(synthetic_runs(small_params, range(2)), CLASSES), small_params)[0])
    assert "<b>sad" not in page
    assert "&lt;b&gt;sad" in page
    confusion = error_tables.confusion_csv(
        find(complete(synthetic_runs(small_params, range(2)), CLASSES), small_params)
    )
    assert "<" not in confusion  # `dvc plots` writes the names into a script as they are
    assert "‹b>sad‹/b>" in confusion


def test_csv_file_of_confusion_matrices_has_a_row_for_each_cell() -> None:
    lines = error_tables.confusion_csv(findings()).splitlines()
    assert lines[0] == "dataset,actual,predicted,samples,share"
    assert len(lines) == 1 + 9 + 4
    assert error_tables.confusion_csv(findings(with_calibration=False)).splitlines() == lines[:1]
