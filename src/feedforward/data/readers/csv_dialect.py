"""Detect the dialect of a CSV file: encoding, separator, quotes, lines above the header, whether there is a header."""

import codecs
import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from feedforward.core.errors import DataError
from feedforward.data.readers import cells

HEAD = 2**20  # characters to examine, more if the first rows are longer
ROWS = 1000  # to examine at most
SEPARATORS = {"\t": "a tab", ";": "';'", "|": "'|'", ",": "','"}
AGREE = 0.9  # share of the rows that must have as many cells as the header
ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Dialect:
    """How a file is written. skipped: rows before the first data row. unnamed: columns with a generated name."""

    encoding: str
    separator: str
    quote: str | None
    escape: str | None
    skipped: int
    names: list[str]
    unnamed: list[str]
    notes: list[str]

    def options(self) -> dict[str, Any]:
        """Arguments for `csv.reader`."""
        return _options(self.separator, self.quote, self.escape)


def _options(separator: str, quote: str | None, escape: str | None) -> dict[str, Any]:
    quoting = {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote, "doublequote": escape is None}
    strict = {"strict": quote is not None, "skipinitialspace": separator != "\t"}
    return {"delimiter": separator, "escapechar": escape, **strict, **quoting}


def rows(reader: Iterable[list[str]]) -> Iterator[list[str]]:
    """The rows that are not empty."""
    return (row for row in reader if any(row) and any(cell.strip() for cell in row))


def sniff(file: IO[bytes], wanted: Sequence[str] = ()) -> Dialect:
    """Detect the dialect of a file. wanted: column names that it should have.

    Raises:
        DataError: the file is neither UTF-8, UTF-16 nor Windows-1252, or has no rows.
    """
    encoding, notes = _encoding(file)
    file.seek(0)
    head = io.TextIOWrapper(file, encoding, newline="")
    text = head.read(HEAD)
    is_complete = len(text) < HEAD
    head.detach()
    quote, escape = _quoting(text)
    candidates = {separator: _head_rows(text, is_complete, separator, quote, escape) for separator in SEPARATORS}
    separator = _separator(candidates, wanted)
    listed = candidates[separator]
    if not listed:
        raise DataError("contains no rows")
    notes += [f"cells are separated by {SEPARATORS[separator]}"] if separator != "," else []
    notes += ["quotes are escaped with backslashes"] if escape else []
    first = _first_row(listed)
    notes += [f"{first} lines above the header are skipped"] if first else []
    header = [cells.text(cell) for cell in listed[first]]
    header[0] = header[0].lstrip("# ")
    width = max(len(header), _width(listed[first:]))
    header += [""] * (width - len(header))
    if not _is_header(header, listed[first + 1 :], wanted):
        notes.append(f"the first line looks like data, so the columns are named column_1 to column_{width}")
        return Dialect(encoding, separator, quote, escape, first, _numbered(width), [], notes)
    unnamed = [f"column_{k}" for k, name in enumerate(header, start=1) if not name]
    names = [name or f"column_{k}" for k, name in enumerate(header, start=1)]
    return Dialect(encoding, separator, quote, escape, first + 1, names, unnamed, notes)


def _numbered(width: int) -> list[str]:
    return [f"column_{k}" for k in range(1, width + 1)]


def _encoding(file: IO[bytes]) -> tuple[str, list[str]]:
    start = file.read(3)
    for mark, encoding in ENCODINGS.items():
        if start.startswith(mark):
            return encoding, ["the encoding is UTF-16"] if encoding == "utf-16" else []
    file.seek(0)
    decoders = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252")}
    position, bad = 0, ""
    while chunk := file.read(2**20):
        for name in list(decoders):
            try:
                decoders[name].decode(chunk)
            except UnicodeDecodeError as error:
                bad = f"byte 0x{error.object[error.start]:02x} near position {position + error.start}"
                del decoders[name]
        position += len(chunk)
    try:
        if "utf-8" in decoders:
            decoders["utf-8"].decode(b"", final=True)
            return "utf-8", []
    except UnicodeDecodeError:
        bad = f"the last byte, at position {position - 1}"
    if "cp1252" not in decoders:
        raise DataError(f"neither UTF-8 nor Windows-1252: {bad}; save it as UTF-8")
    return "cp1252", ["the file is not UTF-8 and was read as Windows-1252"]


def _quoting(text: str) -> tuple[str | None, str | None]:
    """The quote and escape characters that the beginning of the file suggests."""
    if '"' not in text:
        singles = sum(text.count(f"'{separator}") + text.count(f"{separator}'") for separator in SEPARATORS)
        return ("'" if singles > text.count("\n") and text.count("'") % 2 == 0 else '"'), None
    return '"', ("\\" if '\\"' in text else None)


def _head_rows(text: str, is_complete: bool, separator: str, quote: str | None, escape: str | None) -> list[list[str]]:
    """The first rows, up to a row whose quotes are inconsistent with the separator."""
    reader = csv.reader(io.StringIO(text, newline=""), **_options(separator, quote, escape))
    listed: list[list[str]] = []
    try:
        for row in itertools.islice(rows(reader), ROWS):
            listed.append(row)
    except csv.Error:
        return listed
    return listed if is_complete or len(listed) in (1, ROWS) else listed[:-1]


def _width(listed: Sequence[list[str]]) -> int:
    return Counter(map(len, listed)).most_common(1)[0][0]


def _separator(candidates: dict[str, list[list[str]]], wanted: Sequence[str]) -> str:
    if wanted:
        for separator, listed in candidates.items():
            if any({*wanted} <= {cells.text(cell).lstrip("# ") for cell in row} for row in listed[:20]):
                return separator

    def fits(separator: str) -> tuple[bool, float]:
        listed = candidates[separator]
        if not listed or (width := _width(listed)) < 2:
            return False, 0.0
        first = _first_row(listed)
        agree = sum(len(row) == width for row in listed[first:]) / len(listed[first:])
        is_first = abs(len(listed[first]) - width) <= 1 and len(listed[first]) > 1
        return is_first and agree >= AGREE, agree

    best = max(candidates, key=fits)  # on a tie, the first; the comma comes last, because cells often contain commas
    return best if fits(best)[0] else ","


def _first_row(listed: Sequence[list[str]]) -> int:
    """The index of the header or first data row: the first row that is as wide as most rows."""
    width = _width(listed)
    least = width - 1 if width > 2 else width
    return next((k for k, row in enumerate(listed) if len(row) >= least), 0)


def _is_header(header: Sequence[str], below: Sequence[list[str]], wanted: Sequence[str]) -> bool:
    if wanted:
        return {*wanted} <= {*header} or not {*wanted} <= {*_numbered(len(header))}
    numbers = [name for name in header if name and not cells.is_missing(name) and _is_number(name)]
    if numbers and not _is_rising(numbers):
        return False
    for k, name in enumerate(header):
        if name and any(len(row) > k and cells.text(row[k]) == name for row in below) and not _is_number(name):
            return False
    return True


def _is_number(name: str) -> bool:
    return cells.is_number(name, ".") or cells.is_number(name, ",")


def _is_rising(names: Sequence[str]) -> bool:
    """Whether the names are years or positions: at least three whole numbers that increase by one."""
    whole = [int(name) for name in names if name.isdecimal()]
    return len(whole) == len(names) > 2 and all(b - a == 1 for a, b in itertools.pairwise(whole))
