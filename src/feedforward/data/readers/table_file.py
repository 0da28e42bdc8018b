"""Read CSV in its common dialects, Parquet, and JSON lines into columns as Arrow arrays.

Cells of CSV and JSON strings stay text, which `cells` reads later. CSV is parsed with Python's `csv`, because Arrow
cannot detect dialects. DuckDB detected the separator and the header in 32 of 34 trial files, but it silently renames
duplicate columns, converts yes and no to truth values, reads neither Windows-1252 nor decimal commas, and takes 25 MB.
"""

import array
import csv
import functools
import io
import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from feedforward.core.errors import DataError, one_line
from feedforward.data.readers import cells, column_values, csv_dialect, encodings
from feedforward.data.readers.cells import Decimal
from feedforward.data.readers.csv_dialect import Dialect

BATCH = 16_384  # rows of a CSV file held as Python objects at a time
# First cell of a line of totals
TOTALS = ("total", "totals", "sum", "sums", "grand total", "gesamt", "summe", "insgesamt")
JSON_LINES = (".jsonl", ".ndjson")  # suffixes of file names
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
LARGEST_CELL = 2**26  # characters; `csv` has one limit for the whole process

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """A table.

    columns: by name; text for CSV, typed for Parquet, and either of these for JSON lines (`column_values.from_json`).
    notes: how the file was read. lines: number of the first line of each row, counted from 1; empty for Parquet.
    row_names: columns without a name where pandas and R write the names of rows, which are usually numbers: the first
    ones in CSV, `__index_level_0__` in Parquet.
    """

    columns: dict[str, pa.Array]
    row_count: int
    notes: list[str] = field(default_factory=list)
    lines: Sequence[int] = ()
    row_names: Sequence[str] = ()

    def position(self, row: int) -> str:
        """Where a row is in the file, for messages: `line 3`, or in Parquet `row 2`. row: counted from 0."""
        return f"line {self.lines[row]}" if self.lines else f"row {row + 1}"


def read(
    path: Path, requested: Sequence[str] = (), decimal: Decimal = ".", expected: Sequence[Sequence[str]] = ()
) -> Table:
    """Read a file. requested: names of the columns to read; if empty, all are read. decimal: sign in JSON strings.

    expected: names of columns that a CSV file may have, by which its header is recognized; see `csv_dialect.sniff`.

    If columns are requested, the caller does not show the table's notes, so those on skipped and incomplete rows are
    logged.

    Raises:
        DataError: the file or a column cannot be read; one line with the reason.
    """
    try:
        with encodings.open_unpacked(path) as file:
            start = file.read(4096)
        if start[:4] == b"PAR1":
            return _parquet(path, requested)
        first = start.translate(None, b"\0\xef\xbb\xbf\xff\xfe").lstrip()[:1]  # no marks or zeros of UTF-16
        if first == b"{":
            return _json_lines(path, requested, decimal)
        if first == b"[" and path.name.lower().removesuffix(".gz").endswith(JSON_LINES):
            raise DataError(f"{path}: is a JSON array; save one JSON object per line")
        return _csv(path, requested, expected)
    except (*encodings.UNREADABLE, pa.ArrowException, csv.Error, UnicodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read as a table ({one_line(reason)})") from None


def _examine(path: Path, examine: Callable[[IO[bytes]], T]) -> T:
    """Return the result of `examine`, and add the path to its errors."""
    try:
        with encodings.open_unpacked(path) as file:
            return examine(file)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _select(path: Path, names: Sequence[str], requested: Sequence[str]) -> list[str]:
    """Check that the file has the requested columns; return their names, or all names if none is requested.

    Raises:
        DataError: a name occurs twice or is missing.
    """
    duplicates = [name for name, count in Counter(name for name in names if name).items() if count > 1]
    if (duplicates and not requested) or set(duplicates) & set(requested):
        raise DataError(f"{path}: {cells.occurs_twice(duplicates[0])}; rename one of them in the file")
    for name in requested:
        if name not in names:
            raise DataError(
                f"{path}: cannot be read as a table (no column {name!r}; it has {one_line(', '.join(names))[:200]});"
                " check `reader` in params.yaml"
            )
    return list(requested or names)


# --- Parquet and JSON lines ----------------------------------------------------------------------


def _parquet(path: Path, requested: Sequence[str]) -> Table:
    schema = pq.read_schema(path)
    trimmed = [cells.text(name) for name in schema.names]
    chosen = _select(path, trimmed, requested)
    table = pq.read_table(path, columns=[schema.names[trimmed.index(name)] for name in chosen])
    columns, notes = {}, []
    for k, name in enumerate(chosen):
        if _has_bytes(table.column(k)):
            reason = f"column {name} contains bytes, not texts or numbers"
            if requested:
                raise DataError(f"{path}: {reason}; name another column in `reader` in params.yaml")
            notes.append(f"{reason}, and is left out; if these are images, save them as files, one folder per class")
            continue
        try:
            columns[name] = _to_plain_type(table.column(k))
        except (OverflowError, LookupError) as error:  # a year after 9999; an unknown time zone
            raise DataError(
                f"{path}: column {name!r} has a date or time zone that cannot be read ({error}); leave the column out"
                " or save it as text"
            ) from None
    return Table(columns, table.num_rows, notes, row_names=[name for name in columns if PANDAS_INDEX.fullmatch(name)])


def _has_bytes(column: pa.ChunkedArray) -> bool:
    """Whether the cells are bytes other than UTF-8, or records of bytes, as pictures from Hugging Face are."""
    if pa.types.is_nested(column.type):
        return _has_binary_fields(column.type)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        try:
            column.cast(pa.large_string())
        except pa.ArrowInvalid:
            return True
    return False


def _has_binary_fields(nested: pa.DataType) -> bool:
    kinds = [nested.field(k).type for k in range(nested.num_fields)]
    return any(_has_binary_fields(kind) if pa.types.is_nested(kind) else "binary" in str(kind) for kind in kinds)


def _to_plain_type(column: pa.ChunkedArray) -> pa.Array:
    """Keep integers; convert other numbers to float64 and everything else to text.

    Raises:
        OverflowError: a date is out of Python's range. LookupError: a time zone is unknown.
    """
    arrow_type = column.type
    if pa.types.is_dictionary(arrow_type):
        column, arrow_type = column.cast(arrow_type.value_type), arrow_type.value_type
    if pa.types.is_decimal(arrow_type) or pa.types.is_floating(arrow_type):
        column = column.cast(pa.float64())
    elif not pa.types.is_integer(arrow_type):
        return pa.array((cells.text(value) for value in column.to_pylist()), pa.large_string())
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _json_lines(path: Path, requested: Sequence[str], decimal: Decimal) -> Table:
    columns: dict[str, list[Any]] = {name: [] for name in requested}
    row_count, row_lines = 0, array.array("q")
    encoding, notes = _examine(path, csv_dialect.detect_encoding)
    with encodings.open_unpacked(path) as packed, io.TextIOWrapper(packed, encoding) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = cells.parse_json(line)
            except cells.RepeatedKey as error:
                raise DataError(f"{path}: line {number}: {error}; correct the file") from None
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                raise DataError(f"{path}: line {number} is not a JSON object; correct the file")
            try:
                fields = cells.by_name(entry)
            except ValueError as error:
                raise DataError(f"{path}: line {number}: {error}; rename one of them in the file") from None
            for name in fields if not requested else ():
                columns.setdefault(name, [None] * row_count)
            for name, values in columns.items():
                values.append(fields.get(name))
            row_count += 1
            row_lines.append(number)
    if requested and row_count:
        filled = [name for name, values in columns.items() if any(value not in (None, "") for value in values)]
        _select(path, filled or list(requested), requested)
    by_name = {name: column_values.from_json(values, decimal) for name, values in columns.items()}
    return Table(by_name, row_count, notes, row_lines)


# --- CSV -----------------------------------------------------------------------------------------


def _csv(path: Path, requested: Sequence[str], expected: Sequence[Sequence[str]]) -> Table:
    csv.field_size_limit(LARGEST_CELL)
    dialect = _examine(path, functools.partial(csv_dialect.sniff, requested=requested, expected=expected))
    with encodings.open_unpacked(path) as packed, io.TextIOWrapper(packed, dialect.encoding, newline="") as file:
        rows = _Rows(path, dialect, file)
        names = dialect.names
        chosen = _select(path, names, requested)
        indices = [names.index(name) for name in chosen if name]
        chosen = [name for name in chosen if name]
        pieces: list[list[pa.Array]] = [[] for _ in chosen]
        remaining = iter(rows)  # one iterator for all batches, because a new one would skip rows as if above the table
        while batch := list(itertools.islice(remaining, BATCH)):
            transposed = list(zip(*batch, strict=True))
            for piece, index in zip(pieces, indices, strict=True):
                piece.append(pa.array(transposed[index], pa.large_string()))
    columns = {
        name: pa.concat_arrays(piece) if piece else pa.array([], pa.large_string())
        for name, piece in zip(chosen, pieces, strict=True)
    }
    columns, ignored = _drop_empty(columns, [] if requested else dialect.unnamed)
    notes = [*dialect.notes, *rows.notes(), *rows.notes_on_lines()]
    for note in rows.notes() if requested else ():
        log.warning("%s: %s", path, note)
    notes += [f"empty columns without a name that are ignored: {ignored}"] if ignored else []
    row_names = [name for name, unnamed in zip(names, dialect.unnamed, strict=False) if name == unnamed in columns]
    return Table(columns, len(rows.lines), notes, rows.lines, row_names)


def _drop_empty(columns: dict[str, pa.Array], unnamed: Sequence[str]) -> tuple[dict[str, pa.Array], int]:
    empty = [name for name in unnamed if not any(cell.strip() for cell in columns[name].unique().to_pylist())]
    return {name: column for name, column in columns.items() if name not in empty}, len(empty)


class _Rows:
    """The rows below the header, as wide as the header, without blank lines, comments, repeated headers and totals."""

    def __init__(self, path: Path, dialect: Dialect, file: Any) -> None:
        self.path, self.dialect = path, dialect
        self.lines = array.array("q")  # number of the first line of each row that was yielded
        self._reader, self._line = csv.reader(file, **dialect.options()), 0
        self._skipped, self._empty, self._short = (array.array("q") for _ in range(3))  # lines
        self._several, self._longest = 0, (0, 0, 0)  # rows on several lines; the longest: lines, the first, the last

    def __iter__(self) -> Iterator[list[str]]:
        names, previous, line = self.dialect.names, None, 0
        width = len(names)
        try:
            for number, row in enumerate(csv_dialect.rows(self._counting_empty())):
                if number < self.dialect.skipped:
                    continue
                if names[0] in row[0] and [*map(cells.text, row)] == names:
                    self._skipped.append(self._line)
                    continue
                if len(row) != width or row[0].startswith("#"):
                    fitted = self._fit(row, width)
                    if fitted is None:
                        continue
                    row = fitted
                if previous is not None:
                    self.lines.append(line)
                    yield previous
                previous, line = row, self._line
        except csv.Error as error:
            raise DataError(
                f"{self.path}: line {self._reader.line_num}: quotes are not closed or not doubled ({error});"
                " correct the file"
            ) from None
        if previous is not None:
            if cells.text(next(filter(None, previous), "")).lower().rstrip(":") in TOTALS:
                self._skipped.append(line)
            else:
                self.lines.append(line)
                yield previous

    def _counting_empty(self) -> Iterator[list[str]]:
        """Yield all rows; count those that have separators or quotes but no content, because the caller skips them.

        `_line` is the number of the row's first line; `line_num` is that of its last one.
        """
        next_line = 1
        for row in self._reader:
            self._line, next_line = next_line, self._reader.line_num + 1
            if next_line - self._line > 1:
                self._several += 1
                self._longest = max(self._longest, (next_line - self._line, self._line, next_line - 1))
            if row and not any(map(str.strip, row)):
                self._empty.append(self._line)
            yield row

    def _fit(self, row: list[str], width: int) -> list[str] | None:
        """Return the row with as many cells as the header; None if it is a comment.

        Raises:
            DataError: the row has cells with content beyond the columns of the header.
        """
        if row[0].lstrip().startswith("#") and len(row) != width:
            self._skipped.append(self._line)
            return None
        if len(row) < width:
            self._short.append(self._line)
            return row + [""] * (width - len(row))
        if any(cell.strip() for cell in row[width:]):
            raise DataError(
                f"{self.path}: line {self._reader.line_num} has {len(row)} cells, but the header has {width};"
                " correct the line or put quotes around cells that contain the separator"
            )
        return row[:width]

    def notes(self) -> list[str]:
        """Notes on skipped lines and incomplete rows."""
        notes = {
            "comments, totals or repeated headers that are skipped": self._skipped,
            "rows with only empty cells, which are skipped and not counted": self._empty,
            "rows with too few cells, whose absent cells count as missing": self._short,
        }
        return [f"{text}: {len(lines)} (the last: line {lines[-1]})" for text, lines in notes.items() if lines]

    def notes_on_lines(self) -> list[str]:
        """A note on rows with line breaks in quotes, which are usual in texts, but also the result of a stray quote."""
        _, first, last = self._longest
        longest = f"the longest: lines {first} to {last}"
        return [f"rows that span several lines, in quotes: {self._several} ({longest})"] if self._several else []
