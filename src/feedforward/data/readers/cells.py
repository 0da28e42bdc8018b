"""Read one cell of a table, a category or a label, in the same way in `init`, in training and in prediction.

    number("1.234,5 €", decimal=",") → 1234.5        category(True) = category("TRUE") → "true"
    number("?") → nan                                category("1.00") = category(1) → "1"; category("01") → "01"

`decimal` and additional spellings of missing values come from `reader` in params.yaml and are stored with the model.
"""

import datetime
import decimal as decimals
import functools
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from feedforward.core import atomic_files

Decimal = Literal[".", ","]
OTHER_SIGN: dict[Decimal, Decimal] = {".": ",", ",": "."}
MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"})  # in any column; case is ignored
# These count as missing in columns of numbers.
MISSING_IN_NUMBERS = MISSING | {"-", "--", "–", "—", ".", "..", "none", "nil", "n.a.", "missing", "unknown", "#div/0!"}
INFINITE = frozenset({"inf", "infinity", "∞"})  # with any sign; counts as missing
MAX_NUMBER_CHARACTERS = 500  # 1e100 written out has 101 digits
MAX_NFC_CHARACTERS = 1000  # NFC takes quadratic time for a run of accents, such as a minute for 128,000
MAX_SHOWN = 60  # characters of a name in a message
LARGEST = 1e100  # a larger number counts as missing, because the sum of squared distances would overflow
MAX_EXACT = 2**53  # larger whole numbers are not exact as float64
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"
# A currency or percent sign before or after a number
SYMBOL = re.compile(r"^([+-]?)\s*(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY)\s*|(?:[$€£¥₹%]|USD|EUR|GBP|CHF|JPY)$")
PLAIN = {  # numbers without group separators
    ".": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII),
    ",": re.compile(r"[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?", re.ASCII),
}
# Group separators besides comma and point; numbers with Indian groups, such as 1,10,000
GROUP, INDIAN = " '’\u00a0\u202f\u2009", r"[1-9]\d?(?:,\d\d)+,\d{3}"
GROUPED = {  # numbers with group separators; no leading zero, because 0,125 has a decimal comma
    ".": re.compile(rf"[+-]?(?:[1-9]\d?\d?([,{GROUP}])\d{{3}}(?:\1\d{{3}})*|{INDIAN})(?:\.\d*)?", re.ASCII),
    ",": re.compile(rf"[+-]?[1-9]\d?\d?([.{GROUP}])\d{{3}}(?:\1\d{{3}})*(?:,\d*)?", re.ASCII),
}
CANONICAL = {  # numbers that `category` normalizes
    ".": re.compile(r"([+-]?)(0|[1-9]\d*)(?:\.(\d+))?", re.ASCII),
    ",": re.compile(r"([+-]?)(0|[1-9]\d*)(?:,(\d+))?", re.ASCII),
}
_HOUR, _SIXTIETH = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
ISO_DATE = re.compile(
    rf"\d{{4}}-\d\d-\d\d(?:[T ]{_HOUR}:{_SIXTIETH}(?::{_SIXTIETH}(?:\.\d{{1,9}})?)?(?:Z|[+-]{_HOUR}:?{_SIXTIETH})?)?",
    re.ASCII,
)
_OTHER_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{2,4}(?: \d{1,2}:\d{2}(?::\d{2})?)?", re.ASCII)


class RepeatedKey(ValueError):
    """A JSON object has the same key twice; long keys are shortened."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key {key[:MAX_SHOWN]!r} occurs twice in an object")


def text(value: Any) -> str:
    """A cell as text: without surrounding whitespace, in NFC, with one spelling for each number and date."""
    if isinstance(value, str):
        return _text(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)
    if isinstance(value, decimals.Decimal):
        return category(format(value, "f"))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return _text(value.decode("utf-8", "replace"))
    try:
        return str(value) if isinstance(value, int) else atomic_files.canonical_json(value)
    except (TypeError, ValueError):  # a duration, or a list that contains dates or NaN
        return _text(str(value))


def _text(value: str) -> str:
    if value.isascii():
        return value.strip()
    value = value.encode("utf-8", "replace").decode()  # an unpaired surrogate becomes a question mark
    if len(value) <= MAX_NFC_CHARACTERS:
        value = unicodedata.normalize("NFC", value)
    return value.strip().strip(INVISIBLE).strip()


def parse_json(content: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply. RepeatedKey: an object has a key twice, so that one
            of the values would be ignored.
    """
    try:
        return json.loads(content, object_pairs_hook=_reject_repeated_keys)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _reject_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise RepeatedKey(key)
    return values


def by_name(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row by the names of their columns, as `text` spells them.

    Raises:
        ValueError: two names have the same spelling.
    """
    values_by_name = {text(name): value for name, value in row.items()}
    if len(values_by_name) < len(row):
        [(name, _)] = Counter(map(text, row)).most_common(1)
        raise ValueError(occurs_twice(name))
    return values_by_name


def occurs_twice(name: str) -> str:
    """The message about a column whose name, as `text` spells it, occurs twice; long names are shortened."""
    return f"column {name[:MAX_SHOWN]!r} occurs twice (whitespace around a name does not count)"


def is_missing(value: Any) -> bool:
    """Whether a cell counts as missing in a column of any kind."""
    return text(value).lower() in MISSING


def category(value: Any, decimal: Decimal = ".", missing: Iterable[str] = ()) -> str:
    """A category or label in its normalized spelling; empty if it is missing.

    Truth values become "true" and "false". Numbers lose a plus sign and trailing decimal zeros; numbers with leading
    zeros are codes and do not change. missing: additional spellings of missing values, also normalized.
    """
    normalized = _category(text(value), decimal)
    return "" if missing and normalized in missing_categories(tuple(missing), decimal) else normalized


@functools.lru_cache(maxsize=64)
def missing_categories(missing: tuple[str, ...], decimal: Decimal) -> frozenset[str]:
    """Additional spellings of missing values, normalized, as JSON and Parquet do not store how a number is spelled.

    >>> missing_categories(("-999.0",), ".")
    frozenset({'-999'})
    """
    return frozenset(_category(text(spelling), decimal) for spelling in missing)


def _category(plain: str, decimal: Decimal) -> str:
    lower = plain.lower()
    if lower in MISSING:
        return ""
    if lower in ("true", "false"):
        return lower
    match = CANONICAL[decimal].fullmatch(plain)
    if match is None:
        return plain
    sign, integer, fraction = match.groups()
    fraction = (fraction or "").rstrip("0")
    digits = f"{integer}.{fraction}" if fraction else integer
    return f"-{digits}" if sign == "-" and digits != "0" else digits


def number(value: Any, decimal: Decimal = ".", missing: Iterable[str] = ()) -> float:
    """Read a number; NaN if it is missing, infinite or beyond LARGEST.

    Accepts group separators, a currency or percent sign, accounting parentheses, and ISO dates (days since 1970).

    Raises:
        ValueError: the value is not a number.
    """
    if isinstance(value, int | float | decimals.Decimal) and not isinstance(value, bool):
        try:
            return _unless_missing(_finite(float(value)), decimal, missing)
        except OverflowError:
            return math.nan
    plain = text(value)
    if isinstance(value, bool | list | dict):
        raise ValueError(f"not a number: {plain[:40]!r}")
    if plain in missing:
        return math.nan
    if len(plain) > MAX_NUMBER_CHARACTERS:  # keep long texts out of the cache
        raise ValueError(f"not a number: {plain[:40]!r}")
    return _unless_missing(_number(plain, decimal), decimal, missing)


def _unless_missing(value: float, decimal: Decimal, missing: Iterable[str]) -> float:
    return math.nan if missing and value in missing_numbers(tuple(missing), decimal) else value


@functools.lru_cache(maxsize=64)
def missing_numbers(missing: tuple[str, ...], decimal: Decimal) -> frozenset[float]:
    """The numbers among additional spellings of missing values, as JSON and Parquet do not store how one is spelled.

    A spelling with leading zeros is a code, which matches only itself.

    >>> missing_numbers(("-999.0", "00", "none given"), ".")
    frozenset({-999.0})
    """
    return frozenset(_number(plain, decimal) for plain in map(text, missing) if CANONICAL[decimal].fullmatch(plain))


@functools.lru_cache(maxsize=4096)
def _number(plain: str, decimal: Decimal) -> float:
    lower = plain.lower()
    if lower in MISSING_IN_NUMBERS or lower.lstrip("+-") in INFINITE:
        return math.nan
    if is_iso_date(plain):
        return _days(plain)
    bare = _bare(plain)
    if GROUPED[decimal].fullmatch(bare):
        bare = re.sub(rf"[^\d{decimal}+-]", "", bare)
    elif not PLAIN[decimal].fullmatch(bare):
        raise ValueError(f"not a number: {plain[:40]!r}")
    return _finite(float(bare.replace(",", ".")) * (-1 if _in_parentheses(plain) else 1))


def _in_parentheses(plain: str) -> bool:
    return plain.startswith("(") and plain.endswith(")")


def _bare(plain: str) -> str:
    """The text without parentheses and symbols, with an ASCII minus sign."""
    bare = (plain[1:-1] if _in_parentheses(plain) else plain).replace("\u2212", "-")
    for _ in range(2):  # one symbol before the number, one after it
        bare = SYMBOL.sub(r"\1", bare).strip()
    return bare


def is_ambiguous(value: Any, decimal: Decimal) -> bool:
    """Whether a point or comma in a cell could separate thousands or, in a file with the other sign, decimals.

    >>> [is_ambiguous(cell, ".") for cell in ("1,234", "1,234.5", "1,234,567", "1.234")]
    [True, False, False, False]
    """
    other = OTHER_SIGN[decimal]
    if not isinstance(value, str) or other not in value or len(value) > MAX_NUMBER_CHARACTERS:
        return False
    bare = _bare(text(value))
    return bool(GROUPED[decimal].fullmatch(bare) and PLAIN[other].fullmatch(bare))


def _finite(value: float) -> float:
    return value if abs(value) <= LARGEST else math.nan


def _days(date: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(date)
    except ValueError:
        raise ValueError(f"not a date: {date!r}") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return (moment - EPOCH).total_seconds() / 86400


def is_number(value: Any, decimal: Decimal = ".") -> bool:
    """Whether `number` can read the value."""
    try:
        number(value, decimal)
    except ValueError:
        return False
    return True


def is_iso_date(value: Any) -> bool:
    """Whether the value is written as an ISO date, which `number` converts to days."""
    return ISO_DATE.fullmatch(text(value)) is not None


def is_date(value: Any) -> bool:
    """Whether the value is written as a date: ISO, or day, month and year in another order."""
    return is_iso_date(value) or _OTHER_DATE.fullmatch(text(value)) is not None
