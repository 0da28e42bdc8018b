"""Long cells: reading one must not take quadratic time, and the result must not be cached."""

import pytest

from feedforward.data.readers import cells

MANY = 500_000  # in quadratic time, none of these tests would finish


@pytest.mark.parametrize(
    "cell",
    ["1" + " " * MANY + "x", "$" + " " * MANY + "x", "(" + " " * MANY + ")", "1" * MANY, "1,111" * MANY, "-" * MANY],
    ids=["blanks", "symbol", "parentheses", "digits", "groups", "signs"],
)
def test_a_long_cell_is_not_a_number(cell: str) -> None:
    assert not cells.is_number(cell)
    assert not cells.is_date(cell)
    assert cells.category(cell) == cell


def test_a_long_run_of_accents_is_kept_unchanged() -> None:
    accents = "a" + "\u0315\u0300" * MANY
    assert cells.category(accents) == accents
    assert cells.category("  a\u0300 ") == "\u00e0"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("$ 5 USD", 5),
        ("5 USD %", 5),
        ("(1,234.5 €)", -1234.5),
        ("+ $5", 5),
        ("1" + "0" * 100, 1e100),
        ("1" + "0" * 101, None),
        ("1" * 400, None),
    ],
)
def test_symbols_around_a_number_are_removed(cell: str, value: float | None) -> None:
    number = cells.number(cell)
    assert number == value if value is not None else number != number
