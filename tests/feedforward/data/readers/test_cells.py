"""Cells: reading a long one must not take quadratic time, and symbols around a number are removed."""

import pytest

from feedforward.data.readers import cells

MANY = 500_000  # in quadratic time, none of these tests would finish


@pytest.mark.parametrize(
    "cell",
    ["1" + " " * MANY + "x", "$" + " " * MANY + "x", "(" + " " * MANY + ")", "1" * MANY, "1,111" * MANY, "-" * MANY],
    ids=["spaces", "symbol", "parentheses", "digits", "groups", "signs"],
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
