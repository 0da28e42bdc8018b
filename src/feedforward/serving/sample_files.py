"""Samples to predict, read from files. Each has a name for messages, such as `reviews.csv line 3`."""

import codecs
import contextlib
import gzip
import io
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from feedforward.core.errors import DataError, InputError
from feedforward.data.readers import cells, csv_dialect, encodings, tokenizer
from feedforward.data.readers.cells import Decimal
from feedforward.promotion.bundle import Servable

if TYPE_CHECKING:
    from feedforward.data.readers.table_file import Table

log = logging.getLogger(__name__)

TEXT_COLUMNS = ("text", "sample")  # "sample" is used only if there is no column "text"
LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet",)
TABLES = (".csv", ".tsv", *PARQUET)
WITHOUT_HEADER = "column_1"  # name of the only column of a CSV file whose first line looks like data
# First bytes of common files that are not texts
BINARY = (b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"%PDF-", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
START = 4096  # bytes at the beginning of a file that show whether it is a text
MAX_BYTES = 2**26  # of an image, or of a line
CHUNK = 2000  # samples processed at a time
NamedSample = tuple[str, Any]


def from_files(paths: Sequence[str]) -> Iterator[NamedSample]:
    """Yield the path and content of each file.

    Raises:
        InputError: a file cannot be read, or is too large.
    """
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})") from None
        if len(content) > MAX_BYTES:  # also a device that never ends
            raise InputError(path, f"must have at most {MAX_BYTES} bytes")
        yield path, content


def from_rows(path: Path, columns: Sequence[str] = (), decimal: Decimal = ".") -> Iterator[NamedSample]:
    """Yield the rows of a table (.csv, .tsv, .parquet) or of JSON lines as dictionaries, read as in training.

    columns: names of the columns of the training table, by which the header of a CSV file is recognized. decimal: the
    model's decimal sign. If the path is `-`, JSON lines are read from standard input.

    Raises:
        InputError: the file cannot be read.
    """
    if str(path) == "-" or _has_suffix(path, LINES):
        yield from _lines(path, "")
        return
    table = _table(path, [columns] if columns else [], decimal)
    names = list(table.columns)
    for number, row in enumerate(zip(*(column.to_pylist() for column in table.columns.values()), strict=True)):
        yield f"{path} {table.position(number)}", dict(zip(names, row, strict=True))


def from_table(path: Path, column: str = "") -> Iterator[NamedSample]:
    """Yield the texts of a file, possibly gzipped: lines, a column of a table, or a field of JSON lines.

    column: name of the text column in the training table. If the file has no such column, one of TEXT_COLUMNS is used.
    A single column may have any name in Parquet; in CSV, that name could be the first text of a file without a header.
    The path `-` stands for standard input.

    Raises:
        InputError: the file cannot be read, is not a text file, has no such column or field, or has too long a line.
    """
    if _has_suffix(path, LINES):
        yield from _lines(path, column or TEXT_COLUMNS[0])
    elif _has_suffix(path, TABLES):
        table = _table(path, [(name,) for name in _wanted(column)])
        names = list(table.columns)
        if names != [WITHOUT_HEADER] and not (len(names) == 1 and _has_suffix(path, PARQUET)):
            remedy = f"rename the column of texts, or write {column or TEXT_COLUMNS[0]} above it if it has no name"
            names = [_text_column(str(path), names, column, remedy)]
        [name] = names
        yield from ((f"{path} {table.position(k)}", text) for k, text in enumerate(table.columns[name].to_pylist()))
    elif _has_suffix(path, (".json",)):
        raise InputError(str(path), "must be JSON lines; write one text or object per line in a .jsonl file")
    else:
        yield from _text_lines(path)


def _has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(suffixes)


def _table(path: Path, expected: Sequence[Sequence[str]], decimal: Decimal = ".") -> "Table":
    from feedforward.data.readers import table_file

    try:
        table = table_file.read(path, decimal=decimal, expected=expected)
    except DataError as error:
        raise InputError(str(path), str(error).removeprefix(f"{path}: ")) from None
    for note in table.notes:
        log.warning("%s: %s", path, note)
    return table


def _wanted(column: str) -> list[str]:
    return [*dict.fromkeys(name for name in (column, *TEXT_COLUMNS) if name)]


def _text_column(where: str, names: Sequence[str], column: str, remedy: str) -> str:
    wanted = _wanted(column)
    name = next((name for name in wanted if name in names), None)
    if name is None:
        raise InputError(where, f"expected a column {' or '.join(wanted)}, got {', '.join(names)[:200]}; {remedy}")
    return name


def _open(path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    if str(path) != "-":
        return path.open("rb")
    if sys.stdin is None:  # the process was started without standard input
        raise InputError("-", "cannot be read (standard input is closed)")
    return contextlib.nullcontext(sys.stdin.buffer)


def _text_lines(path: Path) -> Iterator[NamedSample]:
    warned, number = False, 0
    try:
        with _open(path) as opened:
            file = cast(io.BufferedReader, opened)
            if file.peek(2).startswith(encodings.GZIP):  # opening the file again would lose the start of a pipe
                file = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=file)))
            start = file.peek(START)[:START]
            encoding = encodings.detect_wide(start)
            if start.startswith(BINARY) or (b"\0" in start and not encoding):
                raise InputError(str(path), "is not a text file; save it as .txt (one text per line), .csv or .jsonl")
            decoded = io.TextIOWrapper(file, encoding) if encoding else None

            def read_line() -> bytes:
                return decoded.readline(MAX_BYTES + 1).encode() if decoded else file.readline(MAX_BYTES + 1)

            for part in iter(read_line, b""):
                if len(part) > MAX_BYTES:
                    raise InputError(f"{path} line {number + 1}", f"must have at most {MAX_BYTES} bytes")
                for line in part.splitlines(keepends=True):  # `part` may contain carriage returns, which also end lines
                    number += 1
                    text = tokenizer.decode(line).removeprefix("\ufeff")
                    if not warned and text.encode() != line.removeprefix(codecs.BOM_UTF8):
                        log.warning("%s line %d: is not UTF-8 and is read as Windows-1252", path, number)
                        warned = True
                    if text.strip():
                        yield f"{path} line {number}", text
    except encodings.UNREADABLE as error:
        raise _unreadable(path, error) from None


def _lines(path: Path, column: str) -> Iterator[NamedSample]:
    """Yield JSON values, one per line. If `column` is given, objects are replaced by that field (see `from_table`)."""
    try:
        with _decoded(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                where = f"{path} line {number}"
                try:
                    value = cells.parse_json(line)
                except cells.RepeatedKey as error:
                    raise InputError(where, str(error)) from None
                except ValueError:
                    raise InputError(where, "is not JSON") from None
                if isinstance(value, dict) and column:
                    value = _field(where, value, column)
                yield where, value
    except (*encodings.UNREADABLE, UnicodeError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(str(path), f"cannot be read ({getattr(error, 'strerror', None) or error})")


@contextlib.contextmanager
def _decoded(path: Path) -> Iterator[IO[str]]:
    """The lines of a file, possibly gzipped, in the encoding that training would detect; standard input is UTF-8."""
    if str(path) == "-":
        with _open(path) as file:
            yield io.TextIOWrapper(file, "utf-8-sig")
        return
    with encodings.open_unpacked(path) as file:
        try:
            encoding, notes = csv_dialect.detect_encoding(file)
        except DataError as error:
            raise InputError(str(path), str(error)) from None
    for note in notes:
        log.warning("%s: %s", path, note)
    with encodings.open_unpacked(path) as file, io.TextIOWrapper(file, encoding) as lines:
        yield lines


def _field(where: str, entry: dict[str, Any], column: str) -> Any:
    try:
        named = cells.by_name(entry)
    except ValueError as error:
        raise InputError(where, str(error)) from None
    return named[_text_column(where, list(named), column, "rename the field that contains the text")]


def in_chunks(served: Servable, named: Iterator[NamedSample]) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield names and checked samples, CHUNK at a time.

    Raises:
        InputError: the encoder refuses a sample; the message names it.
    """
    names: list[str] = []
    samples: list[Any] = []
    for name, sample in named:
        names.append(name)
        samples.append(served.encoder.check(sample, name))
        if len(samples) == CHUNK:
            yield names, samples
            names, samples = [], []
    if samples:
        yield names, samples
