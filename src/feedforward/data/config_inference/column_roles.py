"""Classify the columns of a table: number, category, text, date, ID, a single value, empty, or inconsistent numbers."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feedforward.config.cross_checks import choices
from feedforward.data.readers import cells, column_values
from feedforward.data.readers.cells import Decimal
from feedforward.data.readers.columns import EQUAL

Role = Literal["number", "category", "many categories", "text", "date", "id", "one value", "empty", "inconsistent"]
MOST_CLASSES = 50  # most classes of a target, and most categories of a column
MAX_CLASS_NUMBERS = 20  # most distinct whole numbers that a column of classes may contain
NEARLY_ALL = 0.9  # share of cells that must be numbers (or dates) in such a column
LONG_TEXT = 30.0  # average number of characters at which cells start to count as texts rather than categories
MAX_CHECKED = 1000  # most distinct cells per column that are checked for decimal signs and symbols
# Names that suggest IDs, after NEXT_WORD has split a name such as customerId, which becomes customer_id
ID_NAMES = re.compile(
    r"(?:.*[_ .-])?(?:id|uuid|guid|index|idx|nr|no|num|number|key|row|rowid|rownumber)|unnamed.*|level_\d+"
)
NEXT_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
CODE = re.compile(r"0\d+", re.ASCII)
WHOLE = re.compile(r"-?\d+", re.ASCII)
AMBIGUOUS = r"^[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}$"  # the sign may separate thousands or decimals
FEW_CATEGORIES = 10  # most texts that are categories even if most rows differ
FEWEST_IDS = 10  # fewer numbers are not taken for IDs, because they may all differ by chance


@dataclass(frozen=True)
class Column:
    """A classified column.

    explanation: describes its cells. counts: number of rows by value. odd: cells of a number column that are not
    numbers. lowest, highest, is_whole: of its numbers. length: average number of characters of its distinct texts.
    """

    name: str
    role: Role
    explanation: str
    examples: list[str]
    distinct: int
    missing: int
    counts: Mapping[str, int]
    odd: tuple[str, ...] = ()
    lowest: float = 0.0
    highest: float = 0.0
    is_whole: bool = False
    length: float = 0.0

    @property
    def may_be_classes(self) -> bool:
        """Whether the column contains few enough whole numbers that these may be class numbers."""
        return self.role == "number" and self.is_whole and self.distinct <= MAX_CLASS_NUMBERS and not self.odd


def decimal_of(columns: Mapping[str, pa.Array], separator: str) -> Decimal:
    """The decimal sign of numbers in text form.

    Each cell that is a number with only one of the signs votes for that sign. Where semicolons separate cells, a column
    with numbers such as 10,421 also votes for the comma, unless some of its numbers can only have a decimal point.
    """
    votes: Counter[str] = Counter()
    for column in columns.values():
        if not pa.types.is_large_string(column.type):
            continue
        listed = column.unique().slice(0, MAX_CHECKED).to_pylist()
        points, commas = ([cells.is_number(cell, sign) for cell in listed] for sign in (".", ","))
        if max(sum(points), sum(commas)) >= NEARLY_ALL * len(listed):
            votes["."] += sum(p and not c for p, c in zip(points, commas, strict=True))
            votes[","] += sum(c and not p for p, c in zip(points, commas, strict=True))
            if separator == ";":
                has_point = any(p and not c for p, c in zip(points, commas, strict=True))
                votes[","] += not has_point and _has_ambiguous_number(listed)
    return "," if votes[","] > votes["."] else "."


def _has_ambiguous_number(listed: Sequence[str]) -> bool:
    """Whether any cell is a number with either decimal sign, such as 10,421."""
    return any(re.fullmatch(r"[+-]?\d{1,3},\d{3}", cells.text(cell)) for cell in listed)


def ambiguous_cell(column: pa.Array) -> str | None:
    """The first cell with a point or comma, if in every such cell this may separate thousands or decimals (1.125)."""
    if not pa.types.is_large_string(column.type):
        return None
    with_sign = column.filter(pc.match_substring_regex(column, "[.,]"))
    all_ambiguous = pc.all(pc.match_substring_regex(with_sign, AMBIGUOUS)).as_py()
    return with_sign[0].as_py() if all_ambiguous and len(with_sign) else None


def describe(name: str, column: pa.Array, decimal: Decimal) -> Column:
    """Classify a column by all of its cells."""
    texts = column_values.categories(column, decimal)
    counts = Counter(texts.tolist())
    missing = counts.pop("", 0)
    known = len(texts) - missing
    examples = list(dict.fromkeys(texts[texts != ""][:50].tolist()))[:3]
    if not known:
        return Column(name, "empty", "all cells are empty", [], 0, missing, {})
    common = (examples, len(counts), missing, counts)
    absent = f"; {missing} missing" if missing else ""
    dates = sum(count for value, count in counts.items() if cells.is_date(value))
    placeholders = sum(count for value, count in counts.items() if value.lower() in cells.MISSING_IN_NUMBERS)
    if dates and dates >= NEARLY_ALL * (known - placeholders):
        return Column(name, "date", f"dates{absent}", *common)
    if not any(CODE.fullmatch(value) for value in counts):
        values, odd, lost = _numbers(column, decimal)
        finite = values[~np.isnan(values)]
        is_number = len(finite) and lost <= (1 - NEARLY_ALL) * (len(finite) + lost)
        if is_number and not _are_indistinguishable(finite, counts):
            return _describe_numbers(name, values, finite, odd, examples, counts, decimal)
    if len(counts) == 1:
        return Column(name, "one value", f"the same value in every row{absent}", *common)
    length = float(np.mean([len(value) for value in counts]))
    if length >= LONG_TEXT and len(counts) > known / 2:
        return Column(name, "text", f"long texts{absent}", *common, length=length)
    if len(counts) <= MOST_CLASSES and (len(counts) <= known / 2 or len(counts) <= FEW_CATEGORIES):
        codes = "; leading zeros are kept" if any(CODE.fullmatch(value) for value in counts) else ""
        return Column(name, "category", f"{len(counts)} categories{codes}{absent}", *common, length=length)
    if _has_both_signs(counts):
        return Column(name, "inconsistent", f"numbers with decimal points and with decimal commas{absent}", *common)
    role: Role = "text" if length >= LONG_TEXT else "id" if len(counts) > known / 2 else "many categories"
    return Column(name, role, f"{len(counts)} different texts{absent}", *common, length=length)


def _are_indistinguishable(values: npt.NDArray[np.float64], counts: Mapping[str, int]) -> bool:
    """Whether whole numbers that differ are too large and close together for float64; they are labels, such as IDs."""
    largest = np.abs(values).max()
    is_narrow = largest >= cells.MAX_EXACT and values.max() - values.min() <= EQUAL * largest
    return bool(is_narrow) and sum(WHOLE.fullmatch(value) is not None for value in counts) > 1


def _has_both_signs(counts: Mapping[str, int]) -> bool:
    """Whether nearly all cells are numbers, some only with a decimal point and others only with a decimal comma."""
    signs: Counter[tuple[bool, bool]] = Counter()
    for value, count in counts.items():
        signs[cells.is_number(value, "."), cells.is_number(value, ",")] += count
    nearly_all = signs.total() - signs[False, False] >= NEARLY_ALL * signs.total()
    return nearly_all and signs[True, False] > 0 and signs[False, True] > 0


def _numbers(column: pa.Array, decimal: Decimal) -> tuple[npt.NDArray[np.float64], tuple[str, ...], int]:
    """The numbers (NaN if missing or not a number), the distinct cells that are not numbers, and the rows with these.

    If too many rows have such cells, all numbers are NaN.
    """
    if not pa.types.is_large_string(column.type):
        return column_values.numbers(column, decimal, ()), (), 0
    others = pc.invert(column_values.is_plain_number(column, decimal))
    counts = Counter(map(cells.text, column.filter(others).to_pylist()))
    # a column that consists of dates is none of numbers
    odd = tuple(cell for cell in counts if cells.is_iso_date(cell) or not cells.is_number(cell, decimal))
    lost = sum(counts[cell] for cell in odd)
    if lost > (1 - NEARLY_ALL) * len(column):
        return np.full(len(column), np.nan), odd, lost
    return column_values.numbers(column, decimal, odd), odd, lost


def _describe_numbers(
    name: str,
    values: npt.NDArray[np.float64],
    finite: npt.NDArray[np.float64],
    odd: tuple[str, ...],
    examples: list[str],
    counts: Mapping[str, int],
    decimal: Decimal,
) -> Column:
    distinct = len(np.unique(finite))
    lowest, highest = float(finite.min()), float(finite.max())
    whole = bool(np.all(finite == np.round(finite)))
    missing = len(values) - len(finite)
    role: Role = "number"
    explanation = f"numbers from {lowest:g} to {highest:g}"
    if distinct == 1:
        role, explanation = "one value", "the same number in every row"
    elif whole and _is_id(name, finite, max(distinct, len(counts) - len(odd))):
        role, explanation = "id", "whole numbers that differ in every row"
    signs = (sign for value in itertools.islice(counts, MAX_CHECKED) for sign in cells.SYMBOL.finditer(value))
    symbols = sorted({sign.group().strip("+- ") for sign in signs})
    notes = [f"{missing} missing"] if missing else []
    notes += [f"{', '.join(symbols)} ignored"] if symbols else []
    notes += [f"{choices(odd)} count as missing"] if odd else []
    notes += ["decimal comma"] if decimal == "," and not whole else []
    explanation = "; ".join([explanation, *notes])
    return Column(name, role, explanation, examples, distinct, missing, counts, odd, lowest, highest, whole)


def _is_id(name: str, values: npt.NDArray[np.float64], distinct: int) -> bool:
    """Whether the numbers seem to be IDs: all different, with a name, an order, a lack of gaps or a size of IDs."""
    if distinct < len(values) or len(values) < FEWEST_IDS:
        return False
    is_named = ID_NAMES.fullmatch(NEXT_WORD.sub("_", name.strip()).lower()) is not None
    is_monotonic = bool(np.all(np.diff(values) > 0)) or bool(np.all(np.diff(values) < 0))
    has_no_gaps = values.max() - values.min() == len(values) - 1
    return is_named or is_monotonic or bool(has_no_gaps) or float(np.abs(values).max()) >= cells.MAX_EXACT
