"""Cells of the tables in the terminal."""

from feedforward.analysis.intervals import Estimate
from feedforward.reports import terminal


def test_a_cell_shows_the_side_of_an_interval_that_does_not_end_at_a_bound() -> None:
    assert terminal.multiline_cell(Estimate(5, 1.0, 0.0, 0.875, 1.0), 4, 5) == "1.0000\n±0.1250"
