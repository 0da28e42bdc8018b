"""Numbers and cells of tables."""

import doctest

import pytest

from feedforward.analysis import numerals
from feedforward.analysis.intervals import Estimate
from feedforward.reports import tables, terminal


def test_docstring_examples_pass() -> None:
    result = doctest.testmod(numerals)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("unit", [1e-12, 1e-7, 1e-3, 1.0, 1e6])
def test_statistics_in_the_unit_of_the_target_are_not_rounded_to_0(unit: float) -> None:
    names = ("best_val_mae", "last_val_mae", "test_mae")
    summary = {
        name: {statistic: Estimate(5, mean * unit, 0.1 * unit, (mean - 0.1) * unit, (mean + 0.1) * unit)}
        for statistic in names
        for name, mean in (("variant", 0.2871), ("mean", 2.679))
    }
    for rows in (tables.cells(summary, names)[1], tables.cells(summary, names, terminal.multiline_cell)[1]):
        numbers = {row[0]: row[2:] for row in rows}
        assert not any(cell.startswith("0.0000") for cell in numbers["variant"])
        assert numbers["variant"] != numbers["mean"]


@pytest.mark.parametrize(
    ("mean", "text"), [(2.679e-8, "2.679e−8 [2.579e−8, 2.779e−8]"), (2.679e6, "2679000 [2579000, 2779000]")]
)
def test_intervals_in_the_unit_of_the_target_have_no_useless_digits(mean: float, text: str) -> None:
    assert tables.interval(Estimate(5, mean, 0.1, mean * 2579 / 2679, mean * 2779 / 2679), None) == text


def test_the_explanation_of_verdicts_names_the_assumption_about_seeds() -> None:
    assert "if values are normally distributed over seeds, all these intervals hold at every" in tables.explanation()
