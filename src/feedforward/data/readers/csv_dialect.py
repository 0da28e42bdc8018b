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
from feedforward.data.readers import cells, encodings

HEAD = 2**20  # characters to examine
ROWS = 1000  # most rows to examine
SEPARATORS = {"\t": "a tab", ";": "';'", "|": "'|'", ",": "','"}
AGREE = 0.9  # share of the rows that must have as many cells as the header

Rows = Sequence[list[str]]
Quoting = tuple[str, str | None, str | None]  # separator, quote, escape


@dataclass(frozen=True)
class Dialect:
    """How a file is written. skipped: rows before the first data row. unnamed: columns whose header cell is empty."""

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
    return (row for row in reader if any(map(str.strip, row)))


def sniff(file: IO[bytes], wanted: Sequence[str] = ()) -> Dialect:
    """Detect the dialect of a file. wanted: column names that it should have.

    Raises:
        DataError: the file is neither UTF-8, UTF-16, UTF-32 nor Windows-1252, has no rows, or most of its rows are
            wider than the header.
    """
    encoding, notes = detect_encoding(file)
    file.seek(0)
    head = io.TextIOWrapper(file, encoding, newline="")
    text = head.read(HEAD)
    is_complete = len(text) < HEAD
    head.detach()
    if not is_complete and "\n" not in text and "\r" not in text:
        raise DataError(f"the first line has more than {HEAD} characters; put each row on a line of its own")
    separator, quote, escape = chosen = _quoting(text, is_complete, wanted)
    listed, _ = _head_rows(text, is_complete, chosen)
    if not listed:
        raise DataError("contains no rows")
    notes += [f"cells are separated by {SEPARATORS[separator]}"] if separator != "," else []
    notes += ["quotes are escaped with backslashes"] if escape else []
    first = _first_row(listed)
    notes += [f"{first} lines above the header are skipped"] if first else []
    header = [cells.text(cell) for cell in listed[first]]
    header[0] = header[0].lstrip("# ")
    named, below = len(header), listed[first + 1 :]
    width = max(named, _width(listed[first:]))
    header += [""] * (width - named)
    if not _is_header(header, below, wanted):
        notes.append(f"the first line looks like data, so the columns are named column_1 to column_{width}")
        return Dialect(encoding, separator, quote, escape, first, _numbered(width), [], notes)
    if width > named and any(cell.strip() for row in below for cell in row[named:]):
        raise DataError(
            f"most rows have {width} cells, but the header has {named}; add the missing column name to the header, or"
            " put quotes around cells that contain the separator"
        )
    unnamed = [f"column_{k}" for k, name in enumerate(header, start=1) if not name]
    names = [name or f"column_{k}" for k, name in enumerate(header, start=1)]
    return Dialect(encoding, separator, quote, escape, first + 1, names, unnamed, notes)


def _numbered(width: int) -> list[str]:
    return [f"column_{k}" for k in range(1, width + 1)]


def detect_encoding(file: IO[bytes]) -> tuple[str, list[str]]:
    """The encoding of a text file, and notes on it.

    Raises:
        DataError: see `sniff`.
    """
    start = file.read(4)
    if wide := encodings.wide(start):
        return wide, [f"the encoding is {wide.upper()}"]
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", []
    file.seek(0)
    decoders = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252")}
    position, bad, is_utf8 = 0, dict[str, str](), False
    while chunk := file.read(2**20):
        for name in list(decoders):
            try:
                is_utf8 |= not decoders[name].decode(chunk).isascii() and name == "utf-8"
            except UnicodeDecodeError as error:
                is_utf8 |= not error.object[: error.start].isascii() and name == "utf-8"
                bad[name] = f"byte 0x{error.object[error.start]:02x} near position {position + error.start}"
                del decoders[name]
        position += len(chunk)
    try:
        if "utf-8" in decoders:
            decoders["utf-8"].decode(b"", final=True)
            return "utf-8", []
    except UnicodeDecodeError:
        bad["utf-8"] = f"the last byte, at position {position - 1}"
    if is_utf8:
        raise DataError(f"is UTF-8 except for {bad['utf-8']}; correct it, or save the file as UTF-8")
    if "cp1252" not in decoders:
        raise DataError(f"neither UTF-8 nor Windows-1252: {bad['cp1252']}; save it as UTF-8")
    return "cp1252", ["the file is not UTF-8 and was read as Windows-1252"]


def _quoting(text: str, is_complete: bool, wanted: Sequence[str]) -> Quoting:
    """The separator, quote and escape characters that fit the beginning of the file best."""
    singles = sum(text.count(f"'{separator}") + text.count(f"{separator}'") for separator in SEPARATORS)
    is_single = '"' not in text and singles > text.count("\n") and text.count("'") % 2 == 0
    quote, escapes = "'" if is_single else '"', (None, "\\") if '\\"' in text else (None,)
    quotings = [(separator, quote, escape) for separator in SEPARATORS for escape in escapes]
    candidates = {quoting: _head_rows(text, is_complete, quoting) for quoting in quotings}
    named = [quoting for quoting, (listed, _) in candidates.items() if wanted and _has_names(listed, wanted)]
    # `max` returns the first of equally good candidates; the comma comes last, because cells often contain commas
    best = max(named or candidates, key=lambda quoting: _fit(*candidates[quoting]))
    return best if named or _fit(*candidates[best])[0] else (",", quote, None)


def _head_rows(text: str, is_complete: bool, quoting: Quoting) -> tuple[Rows, bool]:
    """The first rows (if some quotes do not fit the separator, those before them), and whether all quotes fit it."""
    reader = csv.reader(io.StringIO(text, newline=""), **_options(*quoting))
    listed: list[list[str]] = []
    try:
        for row in itertools.islice(rows(reader), ROWS):
            listed.append(row)
    except csv.Error as error:
        return listed, not is_complete and "unexpected end" in str(error)
    return (listed if is_complete or len(listed) in (1, ROWS) else listed[:-1]), True


def _has_names(listed: Rows, wanted: Sequence[str]) -> bool:
    return any({*wanted} <= {cells.text(cell).lstrip("# ") for cell in row} for row in listed[:20])


def _fit(listed: Rows, is_consistent: bool) -> tuple[bool, bool, float]:
    """How well the separator and quotes fit; a greater result is a better fit."""
    if not listed or (width := _width(listed)) < 2:
        return False, False, 0.0
    first = _first_row(listed)
    agree = sum(len(row) == width for row in listed[first:]) / len(listed[first:])
    is_first = abs(len(listed[first]) - width) <= 1 and len(listed[first]) > 1
    return is_first and agree >= AGREE, is_consistent, agree


def _width(listed: Sequence[list[str]]) -> int:
    return Counter(map(len, listed)).most_common(1)[0][0]


def _first_row(listed: Sequence[list[str]]) -> int:
    """The index of the header or first data row: the first row that is as wide as most rows."""
    width = _width(listed)
    least = width - 1 if width > 2 else width
    wide = (k for k, row in enumerate(listed) if len(row) >= least and not row[0].lower().startswith("sep="))
    return next(wide, 0)  # Excel reads the separator from a first line such as `sep=;`


def _is_header(header: Sequence[str], below: Sequence[list[str]], wanted: Sequence[str]) -> bool:
    if wanted:
        return {*wanted} <= {*header} or not {*wanted} <= {*_numbered(len(header))}
    numbers = [name for name in header if name and not cells.is_missing(name) and _is_number(name)]
    if numbers and not _is_rising(numbers):
        return False
    others = [cut for row in below if (cut := [*map(cells.text, row)]) != [*header]]  # the header may be repeated
    for k, name in enumerate(header):
        if name and any(len(row) > k and row[k] == name for row in others) and not _is_number(name):
            return False
    return True


def _is_number(name: str) -> bool:
    return cells.is_number(name, ".") or cells.is_number(name, ",")


def _is_rising(names: Sequence[str]) -> bool:
    """Whether the names are years or positions: at least three whole numbers that increase by one."""
    whole = [int(name) for name in names if name.isdecimal()]
    return len(whole) == len(names) > 2 and all(b - a == 1 for a, b in itertools.pairwise(whole))
