"""Cells and JSON: a long one does not take quadratic time; numbers and missing values are recognized."""

import math

import pytest

from feedforward.data.readers import cells

MANY = 500_000  # in quadratic time, no test of a cell of this length would finish


@pytest.mark.parametrize(
    "cell",
    ["1" + " " * MANY + "x", "$" + " " * MANY + "x", "(" + " " * MANY + ")", "1" * MANY, "1,111" * MANY, "-" * MANY],
    ids=["spaces", "symbol", "parentheses", "digits", "groups", "signs"],
)
def test_a_long_cell_is_neither_a_number_nor_a_date(cell: str) -> None:
    assert not cells.is_number(cell)
    assert not cells.is_date(cell)
    assert cells.category(cell) == cell


def test_a_long_run_of_accents_is_kept_unchanged() -> None:
    accents = "a" + "\u0315\u0300" * MANY
    assert cells.category(accents) == accents
    assert cells.category("  a\u0300 ") == "\u00e0"  # in a short cell, an accent is combined with its letter


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("$ 5 USD", 5),
        ("5 USD %", 5),
        ("(1,234.5 €)", -1234.5),
        ("+ $5", 5),
    ],
)
def test_symbols_around_a_number_are_removed(cell: str, value: float) -> None:
    assert cells.number(cell) == value


def test_digits_beyond_1e100_are_not_a_number() -> None:
    assert cells.number("1" + "0" * 100) == 1e100
    assert math.isnan(cells.number("1" + "0" * 101))
    assert math.isnan(cells.number("1" * 400))


@pytest.mark.parametrize("value", [-999, -999.0, "-999", "-999.00"])
@pytest.mark.parametrize("missing", ["-999", "-999.0"])
def test_a_number_that_stands_for_a_missing_category_is_recognized_in_any_spelling(value: object, missing: str) -> None:
    assert cells.category(value, missing=[missing]) == ""


def test_a_code_that_stands_for_a_missing_category_matches_only_itself() -> None:
    assert [cells.category(value, missing=["00"]) for value in ("00", "0", 0)] == ["", "0", "0"]


@pytest.mark.parametrize("content", ['{"a": 1, "b": 2, "a": 3}', '[{"b": {"a": 1, "a": 1}}]'])
def test_a_repeated_key_is_rejected(content: str) -> None:
    with pytest.raises(cells.RepeatedKey, match=r"^key 'a' occurs twice in an object$"):
        cells.parse_json(content)


def test_json_that_is_nested_too_deeply_is_rejected() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        cells.parse_json("[" * 100_000)
