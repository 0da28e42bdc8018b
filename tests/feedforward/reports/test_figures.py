"""Figures follow the lecture's style, are reproducible, and can be drawn from several threads."""

import io
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from PIL import Image
from synthetic_runs import Shape, final_run, replica_run

from feedforward.analysis import comparisons
from feedforward.analysis.curves import mean_band
from feedforward.analysis.run_result import RunResult
from feedforward.analysis.variance import Component
from feedforward.reports import figures

VARIANTS = ("base", "other")


def runs(seeds: int = 3, epochs: int = 8) -> list[RunResult]:
    shapes = {"base": Shape(0.25, 1.0, 0.03), "other": Shape(0.27, 2.0, 0.01)}
    replicas = [replica_run("d", v, s, epochs, shape) for v, shape in shapes.items() for s in range(seeds)]
    return [*replicas, *(final_run("d", "base", s, 4, 0.9) for s in range(seeds))]


def styles(axes: Axes) -> list[tuple[str, str, str, str]]:
    """Return the label, color, marker and line style of each line."""
    return [
        (str(line.get_label()), to_hex(line.get_color()), str(line.get_marker()), str(line.get_linestyle()))
        for line in axes.lines
    ]


@pytest.mark.parametrize("curve", ["cross_entropy", "accuracy"])
def test_training_is_drawn_as_blue_dots_and_validation_as_a_blue_line(curve: str) -> None:
    [axes] = figures.training_and_validation(runs(), "base", curve, "t").axes
    assert styles(axes) == [("training", "#0000ff", "o", "None"), ("validation", "#0000ff", "None", "-")]
    assert axes.get_xlabel() == "epoch"
    expected = mean_band(runs(), "base", f"val_{curve}")
    assert expected is not None
    assert list(axes.lines[1].get_ydata()) == list(expected.mean)
    assert len(axes.collections) == 2  # one band per curve


def test_two_variants_are_drawn_as_blue_dots_and_blue_plus_signs() -> None:
    [axes] = figures.validation_loss_of_two(runs(), "base", "other", "t").axes
    assert styles(axes) == [("base", "#0000ff", "o", "None"), ("other", "#0000ff", "+", "None")]


def test_figure_of_the_final_model_shows_accuracy_and_loss() -> None:
    left, right = figures.training_of_final(runs(), "base", "t").axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("training accuracy", "training loss")
    assert len(left.lines[0].get_ydata()) == 4


def test_figure_of_one_seed_has_no_band_and_a_note() -> None:
    figure = figures.validation_loss_of_all(runs(seeds=1), VARIANTS, "t")
    assert not figure.axes[0].collections
    assert "one seed; dot: lowest mean" in [text.get_text() for text in figure.texts]


def test_every_variant_is_named_at_its_curve_without_overlap() -> None:
    six_variants = [
        replica_run("d", f"v{i}", s, 6, Shape(0.25 + i / 1e4, 1.0, 0.03)) for i in range(6) for s in range(2)
    ]
    [axes] = figures.validation_loss_of_all(six_variants, [f"v{i}" for i in range(6)], "t").axes
    heights = sorted(text.xy[1] for text in axes.texts)
    assert {text.get_text() for text in axes.texts} == {f"v{i}" for i in range(6)}
    low, high = axes.get_ylim()
    assert min(b - a for a, b in itertools.pairwise(heights)) >= (high - low) / 19  # names are moved 1 / 18 apart


def test_decided_differences_have_a_filled_marker_in_a_forest_plot() -> None:
    differences = comparisons.differences(runs(seeds=8), [("other", "base")], "slope")
    [axes] = figures.forest([("slope", differences)], "t").axes
    marker = axes.lines[-1]
    assert marker.get_xdata()[0] == pytest.approx(differences[0].estimate.mean)
    assert marker.get_markerfacecolor() != figures.WHITE


def test_every_forest_panel_has_a_row_for_each_variant() -> None:
    third = [replica_run("d", "third", seed, 8, Shape(0.26, 1.0, 0.02)) for seed in range(3)]
    pairs = [("other", "base"), ("third", "base")]
    differences = comparisons.differences([*runs(), *third], pairs, "best_epoch")
    left, right = figures.forest([("epoch", differences), ("slope", differences[1:])], "t").axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["other", "third"]
    assert right.lines[-1].get_ydata()[0] == 1


@pytest.mark.parametrize("variants", [(), ("nobody",)])
def test_a_figure_without_data_is_empty(variants: tuple[str, ...]) -> None:
    assert figures.png(figures.validation_loss_of_all([], variants, "t"))
    assert figures.png(figures.forest([], "t"))


@pytest.mark.slow
def test_png_files_are_reproducible_in_any_thread_and_contain_no_version() -> None:
    def draw(_: int) -> bytes:
        return figures.png(figures.validation_loss_of_all(runs(), VARIANTS, "t"))

    with ThreadPoolExecutor(4) as pool:
        distinct = set(pool.map(draw, range(8)))
    [png] = distinct
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (960, 552)
        assert set(image.info) <= {"dpi"}


def test_components_of_variance_have_a_point_and_an_interval_per_variant_and_source() -> None:
    by_source = {"weights": Component(20, 0.002, 0.0015, 0.003), "split": Component(20, 0.006, 0.005, 0.009)}
    panels = {"lowest validation loss": {"base": by_source, "other": by_source}, "overfit epoch": {"base": by_source}}
    left, right = figures.variance_components(panels, "t").axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["weights", "split"]
    assert [len(axes.lines) for axes in (left, right)] == [6, 4]
    assert [text.get_text() for text in left.get_xticklabels()] == ["base", "other"]
