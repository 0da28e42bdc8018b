"""Detect the dialect of a CSV file: encoding, separator, quotes, lines above the header, whether there is a header."""

import codecs
import csv
import io
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from feedforward.core.errors import DataError
from feedforward.data.readers import cells, encodings

HEAD_CHARACTERS = 2**20  # to examine
MAX_ROWS = 1000  # to examine
SEPARATORS = {"\t": "a tab", ";": "';'", "|": "'|'", ",": "','"}
ROWS_ABOVE = 20  # the header is among them
MIN_AGREEMENT = 0.9  # share of the rows that must have as many cells as the header
NEARLY_ALL = 0.99  # share of the cells below years in the header that are no years
YEARS = range(1000, 3000)  # numbers that may name columns

Rows = Sequence[list[str]]
Quoting = tuple[str, str | None, str | None]  # separator, quote, escape


@dataclass(frozen=True)
class Dialect:
    """How a file is written. skipped: rows before the first data row. unnamed: names given to columns without one."""

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
    parsing = {"strict": quote is not None, "skipinitialspace": separator != "\t"}
    return {"delimiter": separator, "escapechar": escape, **parsing, **quoting}


def rows(reader: Iterable[list[str]]) -> Iterator[list[str]]:
    """The rows that are not empty."""
    return (row for row in reader if any(map(str.strip, row)))


def sniff(file: IO[bytes], requested: Sequence[str] = (), expected: Sequence[Sequence[str]] = ()) -> Dialect:
    """Detect the dialect of a file.

    requested: names of columns that it should have. expected: without them, names that its header may have; the first
    that it has count as requested.

    Raises:
        DataError: the file is neither UTF-8, UTF-16, UTF-32 nor Windows-1252, has no rows or too long a first line, or
            most of its rows are wider than the header.
    """
    encoding, notes = detect_encoding(file)
    file.seek(0)
    head = io.TextIOWrapper(file, encoding, newline="")
    text = head.read(HEAD_CHARACTERS)
    is_complete = len(text) < HEAD_CHARACTERS
    head.detach()
    if not is_complete and "\n" not in text and "\r" not in text:
        raise DataError(f"the first line has more than {HEAD_CHARACTERS} characters; put each row on a line of its own")
    for names in [requested] if requested else [*expected, ()]:
        quoting, has_names = _quoting(text, is_complete, names)
        if has_names:
            break
    requested, (separator, quote, escape) = names, quoting
    if quote and _contains(file, quote.encode()):  # perhaps only after `text`
        file.seek(0)
        lines = io.TextIOWrapper(file, encoding)
        if not _is_valid(lines, separator, quote):
            lines.seek(0)
            if _has_literal_quotes(lines, separator, quote):
                separator, quote, escape = quoting = separator, None, None
        lines.detach()
    notes += ["quotes are part of the cells"] if quote is None else []
    head_rows, _ = _head_rows(text, is_complete, quoting)
    if not head_rows:
        raise DataError("contains no rows")
    is_divided = _width(head_rows) > 1
    notes += [f"cells are separated by {SEPARATORS[separator]}"] if separator != "," and is_divided else []
    notes += ["quotes are escaped with backslashes"] if escape else []
    first = _below_titles(head_rows, _first_row(head_rows), requested)
    notes += [f"lines above the table that are skipped: {first}"] if first else []
    header = _texts(head_rows[first])
    header_width, below = len(header), head_rows[first + 1 :]
    width = max(header_width, _width(head_rows[first:]))
    header += [""] * (width - header_width)
    if not _is_header(header, below, requested):
        notes.append(f"there seems to be no header, so the columns are named column_1 to column_{width}")
        return Dialect(encoding, separator, quote, escape, first, _numbered_names(width), [], notes)
    if width > header_width and any(cell.strip() for row in below for cell in row[header_width:]):
        raise DataError(
            f"most rows have {width} cells, but the header has {header_width}; add the missing column name to the"
            " header, or put quotes around cells that contain the separator"
        )
    if _numbers(header):
        notes.append(
            "the first line has numbers and is read as the header; if it is data, add a line of names above it"
        )
    unnamed = [f"column_{k}" for k, name in enumerate(header, start=1) if not name]
    return Dialect(encoding, separator, quote, escape, first + 1, _named(header), unnamed, notes)


def _texts(row: Sequence[str]) -> list[str]:
    """The cells of a row that may be the header."""
    texts = [cells.text(cell) for cell in row]
    return [texts[0].lstrip("# "), *texts[1:]]


def _named(header: Sequence[str]) -> list[str]:
    return [name or f"column_{k}" for k, name in enumerate(header, start=1)]


def _numbered_names(width: int) -> list[str]:
    return [f"column_{k}" for k in range(1, width + 1)]


def detect_encoding(file: IO[bytes]) -> tuple[str, list[str]]:
    """The encoding of a text file, and notes on it.

    Raises:
        DataError: see `sniff`.
    """
    start = file.read(4)
    if encoding := encodings.detect_wide(start):
        return encoding, [f"the encoding is {encoding.upper()}"]
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", []
    file.seek(0)
    decoders = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252")}
    position, invalid, has_utf8 = 0, dict[str, str](), False
    while chunk := file.read(2**20):
        for name in list(decoders):
            try:
                has_utf8 |= not decoders[name].decode(chunk).isascii() and name == "utf-8"
            except UnicodeDecodeError as error:
                has_utf8 |= not error.object[: error.start].isascii() and name == "utf-8"
                invalid[name] = f"byte 0x{error.object[error.start]:02x} near position {position + error.start}"
                del decoders[name]
        position += len(chunk)
    try:
        if "utf-8" in decoders:
            decoders["utf-8"].decode(b"", final=True)
            return "utf-8", []
    except UnicodeDecodeError:
        invalid["utf-8"] = f"the last byte, at position {position - 1}"
    if has_utf8:
        raise DataError(f"is UTF-8 except for {invalid['utf-8']}; correct it, or save the file as UTF-8")
    if "cp1252" not in decoders:
        raise DataError(f"neither UTF-8 nor Windows-1252: {invalid['cp1252']}; save it as UTF-8")
    return "cp1252", ["the file is not UTF-8 and was read as Windows-1252"]


def _quoting(text: str, is_complete: bool, requested: Sequence[str]) -> tuple[Quoting, bool]:
    """The separator, quote and escape characters that fit the beginning of the file best; whether it has the names."""
    singles = sum(text.count(f"'{separator}") + text.count(f"{separator}'") for separator in SEPARATORS)
    is_single = '"' not in text and singles > text.count("\n") and text.count("'") % 2 == 0
    quote, escapes = "'" if is_single else '"', (None, "\\") if '\\"' in text else (None,)
    lines = [line for line in io.StringIO(text, newline=None) if is_complete or line.endswith("\n")]
    quotings: list[Quoting] = []
    for separator in SEPARATORS:
        is_valid = quote not in text or _is_valid(lines, separator, quote, is_complete)
        if not is_valid and _has_literal_quotes(lines, separator, quote):
            quotings.append((separator, None, None))
        else:
            quotings += [(separator, quote, escape) for escape in escapes]
    candidates = {quoting: _head_rows(text, is_complete, quoting) for quoting in quotings}
    with_names = [
        quoting for quoting, (head_rows, _) in candidates.items() if requested and _has_names(head_rows, requested)
    ]
    # `max` returns the first of equally good candidates; the comma comes last, because cells often contain commas
    best = max(with_names or candidates, key=lambda quoting: _fit(*candidates[quoting]))
    return (best if with_names or _fit(*candidates[best])[0] else (",", quote, None)), bool(with_names)


def _contains(file: IO[bytes], byte: bytes) -> bool:
    file.seek(0)
    return any(byte in chunk for chunk in iter(lambda: file.read(2**20), b""))


def _is_valid(lines: Iterable[str], separator: str, quote: str, is_complete: bool = True) -> bool:
    """Whether all quotes enclose cells. is_complete: False if further lines follow, which may close the last quote."""
    try:
        deque(csv.reader(lines, **_options(separator, quote, None)), maxlen=0)
    except csv.Error as error:
        return not is_complete and "unexpected end" in str(error)
    return True


def _has_literal_quotes(lines: Iterable[str], separator: str, quote: str) -> bool:
    """Whether quotes do not enclose cells in lines that are not valid with them: each line is a row, but in some line
    a cell begins with a quote and goes on after the next one or lacks one, and few cells are enclosed in quotes.
    """
    enclosed = re.compile(rf"{quote}((?:[^{quote}]|{quote}{quote}|\\{quote})*){quote}")
    separators = rows_read = enclosed_cells = other_cells = 0
    for line in filter(str.strip, lines):
        count = line.count(separator)
        if not count or count != (separators or count) or (separator != "\t" and f"{separator} " in line):
            return False  # a space follows: this comma or semicolon is a part of a text with line breaks
        separators, rows_read = count, rows_read + 1
        for cell in map(str.strip, line.split(separator) if quote in line else ()):
            if match := enclosed.fullmatch(cell):
                if quote in match[1]:  # doubled or escaped
                    return False
                enclosed_cells += 1
            else:
                other_cells += cell.startswith(quote)
    return other_cells > 0 and enclosed_cells <= (1 - MIN_AGREEMENT) * rows_read


def _head_rows(text: str, is_complete: bool, quoting: Quoting) -> tuple[Rows, bool]:
    """The first rows, up to the first quote that does not fit the separator, and whether there is no such quote."""
    reader = csv.reader(io.StringIO(text, newline=""), **_options(*quoting))
    head_rows: list[list[str]] = []
    try:
        for row in itertools.islice(rows(reader), MAX_ROWS):
            head_rows.append(row)
    except csv.Error as error:
        return head_rows, not is_complete and "unexpected end" in str(error)
    return (head_rows if is_complete or len(head_rows) in (1, MAX_ROWS) else head_rows[:-1]), True


def _has_names(head_rows: Rows, requested: Sequence[str]) -> bool:
    """Whether the row that would be the header has the requested names, or they are those of columns without names."""
    if not head_rows:
        return False
    header = head_rows[_below_titles(head_rows, _first_row(head_rows), requested)]
    return {*requested} <= {*_named(_texts(header))} or {*requested} <= {*_numbered_names(len(header))}


def _fit(head_rows: Rows, is_consistent: bool) -> tuple[bool, bool, float, int]:
    """How well the separator and quotes fit; a greater result is a better fit."""
    if not head_rows or (width := _width(head_rows)) < 2:
        return False, is_consistent, 0.0, 0
    first = _first_row(head_rows)
    agreement = sum(len(row) == width for row in head_rows[first:]) / len(head_rows[first:])
    has_full_header = abs(len(head_rows[first]) - width) <= 1 and len(head_rows[first]) > 1
    above = -first  # a row above may be the header with another separator
    return has_full_header and agreement >= MIN_AGREEMENT, is_consistent, agreement, above


def _width(head_rows: Sequence[list[str]]) -> int:
    return Counter(map(len, head_rows)).most_common(1)[0][0]


def _first_row(head_rows: Sequence[list[str]]) -> int:
    """The index of the header or first data row: the first row that is about as wide as most rows."""
    width = _width(head_rows)
    min_width = width - 1 if width > 2 else width
    indices = (k for k, row in enumerate(head_rows) if len(row) >= min_width and not row[0].lower().startswith("sep="))
    return next(indices, 0)  # Excel reads the separator from a first line such as `sep=;`


def _below_titles(head_rows: Rows, first: int, requested: Sequence[str]) -> int:
    """The index of the header below a title or names of groups of columns, which spreadsheets pad to the table's width.

    first: the index of the first row that is about as wide as most rows. It is returned unless it and perhaps further
    rows are mostly empty, compared with most rows, and the row below them is a header, with all requested columns.
    """
    filled = [sum(map(bool, map(str.strip, row))) for row in head_rows]
    typical = Counter(filled[first:]).most_common(1)[0][0]
    full = next((k for k in range(first, len(filled[:ROWS_ABOVE])) if 2 * filled[k] > typical), first)
    header, below = _texts(head_rows[full]), head_rows[full + 1 :]
    has_requested = {*requested} <= {*_named(header)}
    if full == first or not has_requested or not _is_header(header, below, requested):
        return first
    # any row of texts may be a header: one with few names, as pandas writes it for indices, is no title
    are_titles = all(filled[k] == 1 and head_rows[k][0].strip() for k in range(first, full))
    is_certain = requested or any(_names_numbers(name, _column(below, k)) for k, name in enumerate(header))
    return full if are_titles or is_certain else first


def _is_header(header: Sequence[str], below: Sequence[list[str]], requested: Sequence[str]) -> bool:
    if requested:
        return {*requested} <= {*header} or not {*requested} <= {*_numbered_names(len(header))}
    others = [texts for row in below if (texts := [*map(cells.text, row)]) != [*header]]  # the header may be repeated
    numbers = _numbers(header)
    if numbers and not _is_rising(numbers) and not _are_years(header, numbers, others):
        return False
    is_repeated = False
    for k, name in enumerate(header):
        below_name = _column(others, k)
        if name in below_name:
            is_repeated |= bool(name) and not _is_number(name)
        elif _names_numbers(name, below_name):
            return True  # even if another column contains its own name, like a column y with the values y and n
    return not is_repeated


def _column(head_rows: Sequence[Sequence[str]], index: int) -> list[str]:
    return [row[index] for row in head_rows if len(row) > index]


def _names_numbers(name: str, below: Sequence[str]) -> bool:
    return any(map(str.isalpha, name)) and not cells.is_missing(name) and _are_numbers(below)


def _numbers(header: Sequence[str]) -> list[str]:
    return [name for name in header if name and not cells.is_missing(name) and _is_number(name)]


def _is_number(name: str) -> bool:
    return cells.is_number(name, ".") or cells.is_number(name, ",")


def _are_numbers(texts: Sequence[str]) -> bool:
    """Whether nearly all texts are numbers, apart from missing ones."""
    known = [text for text in texts if not cells.is_missing(text)]
    return sum(map(_is_number, known)) > MIN_AGREEMENT * len(known)


def _are_years(header: Sequence[str], numbers: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether all numbers of the header are years in order, beside a name, and nearly none of the cells below are."""
    columns = [_column(below, k) for k in range(len(header))]
    is_named = any(any(map(str.isalpha, name)) and name not in columns[k] for k, name in enumerate(header))
    under_numbers = [cell for name, column in zip(header, columns, strict=True) if name in numbers for cell in column]
    is_ordered = [*numbers] in (sorted({*numbers}), sorted({*numbers}, reverse=True))
    has_years = sum(map(_is_year, under_numbers)) > (1 - NEARLY_ALL) * len(under_numbers)
    return is_named and is_ordered and all(map(_is_year, numbers)) and not has_years


def _is_year(text: str) -> bool:
    return len(text) == 4 and text.isdecimal() and int(text) in YEARS


def _is_rising(names: Sequence[str]) -> bool:
    """Whether the names are years, or positions from 0 or 1: at least three whole numbers that increase by one."""
    integers = [int(name) for name in names if name.isdecimal()]
    is_rising = len(integers) == len(names) > 2 and all(b - a == 1 for a, b in itertools.pairwise(integers))
    return is_rising and (integers[0] in (0, 1) or integers[0] in YEARS)
