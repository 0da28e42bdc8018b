"""Convert table columns to numbers or categories by the rules of `cells`, fast enough for a million rows."""

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feedforward.data.readers import cells
from feedforward.data.readers.cells import Decimal

Texts = npt.NDArray[np.object_]
# Spellings that Arrow reads as `cells.number` does, a hundred times faster
PLAIN_NUMBER = {sign: rf"^-?[0-9]{{1,15}}([{sign}][0-9]{{1,15}})?$" for sign in (".", ",")}


def from_json(values: Sequence[Any], decimal: Decimal) -> pa.Array:
    """JSON values as float64 if all are numbers or null, not all are whole, and these are exact; otherwise as text.

    Numbers are written with the decimal sign `decimal`, like the strings in the same column.
    """
    kinds = {*map(type, values)} - {NoneType}
    # larger whole numbers, such as IDs, would become other categories than in a row to predict
    is_exact = all(type(value) is not int or abs(value) <= cells.MAX_EXACT for value in values)
    if float in kinds and kinds <= {int, float} and is_exact:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([cell_text(value, decimal) for value in values], pa.large_string())


def cell_text(value: Any, decimal: Decimal = ".") -> str:
    """A value as the text of a cell; a string does not change, except that unpaired surrogates become "?"."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    text = cells.text(value)
    return text.replace(".", decimal) if isinstance(value, float) else text


def is_plain_number(column: pa.Array, decimal: Decimal) -> pa.BooleanArray:
    """Which cells are numbers in their plainest spelling: digits with at most a minus sign and a decimal sign."""
    return pc.match_substring_regex(column, PLAIN_NUMBER[decimal])


class NotANumber(ValueError):
    """A cell of a number column is not a number; the message begins with its position.

    cell: None if the cell is a date in a column of numbers, or a number in a column of dates.
    """

    def __init__(self, cell: str | None, position: str, reason: str) -> None:
        super().__init__(f"{position}: {reason}")
        self.cell = cell


def _row_number(row: int) -> str:
    return f"row {row + 1}"


def numbers(
    column: pa.Array, decimal: Decimal, missing: Sequence[str], position: Callable[[int], str] = _row_number
) -> npt.NDArray[np.float64]:
    """Convert a column to numbers; NaN where missing, infinite or beyond `cells.LARGEST`.

    position: returns where a row, counted from 0, is in the file.

    Raises:
        NotANumber: a cell is not a number, or some cells are dates and others numbers.
    """
    if not pa.types.is_large_string(column.type):
        values = np.array(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
        values[~(np.abs(values) <= cells.LARGEST)] = np.nan
        return _without_missing(values, decimal, missing)
    if missing and (listed := pa.array(missing, column.type)):
        column = pc.if_else(pc.is_in(pc.utf8_trim_whitespace(column), listed), "", column)
    with_points = pc.replace_substring(column, ",", ".") if decimal == "," else column
    is_plain = is_plain_number(column, decimal)
    values = np.array(
        pc.if_else(is_plain, with_points, "nan").cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64
    )
    other_rows = np.flatnonzero(~is_plain.to_numpy(zero_copy_only=False))
    is_date = np.zeros(len(values), bool)
    for row, cell in zip(other_rows.tolist(), column.take(pa.array(other_rows)).to_pylist(), strict=True):
        try:
            values[row] = cells.number(cell, decimal, missing)
        except ValueError as error:
            raise NotANumber(cell, position(row), str(error)) from None
        is_date[row] = cells.is_iso_date(cell)
    values = _without_missing(values, decimal, missing)
    dates, others = (np.flatnonzero(~np.isnan(values) & kind).tolist() for kind in (is_date, ~is_date))
    if dates and others:  # days since 1970 would silently distort the statistics of the numbers
        is_of_numbers = len(dates) < len(others)
        row = dates[0] if is_of_numbers else others[0]
        what = "a date in a column of numbers" if is_of_numbers else "a number in a column of dates"
        raise NotANumber(None, position(row), f"{what}: {column[row].as_py().strip()[:40]!r}")
    return values


def has_dates(column: pa.Array, values: npt.NDArray[np.float64]) -> bool:
    """Whether the cells of a column that are not missing are dates. values: what `numbers` made of them."""
    known = np.flatnonzero(~np.isnan(values))
    return len(known) > 0 and cells.is_iso_date(column[int(known[0])].as_py())


def _without_missing(
    values: npt.NDArray[np.float64], decimal: Decimal, missing: Sequence[str]
) -> npt.NDArray[np.float64]:
    """The values, with NaN in place of the numbers listed in `missing`."""
    numbers_listed = cells.missing_numbers(tuple(missing), decimal)
    return np.where(np.isin(values, [*numbers_listed]), np.nan, values) if numbers_listed else values


def has_groups(column: pa.Array, decimal: Decimal) -> bool:
    """Whether points or commas separate thousands in any cell of a column that `numbers` can read."""
    if not pa.types.is_large_string(column.type):
        return False
    # a colon before the sign: the time of a date with fractions of a second
    separated = pc.match_substring_regex(column, rf"^[^:]*[0-9][{cells.OTHER_SIGN[decimal]}][0-9]{{3}}")
    return bool(pc.any(separated).as_py())


def categories(column: pa.Array, decimal: Decimal = ".", missing: Sequence[str] = ()) -> Texts:
    """Convert a column to categories or labels in their normalized spelling; empty where missing."""
    encoded = column.dictionary_encode()
    spellings = [cells.category(value, decimal, missing) for value in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(len(spellings)).to_numpy(zero_copy_only=False)
    texts: Texts = np.array([*spellings, ""], object)[codes]
    return texts
