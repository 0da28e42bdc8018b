"""Reader for tables: features are numbers and categories; see `table_file`, `cells` and `columns`."""

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feedforward.config.schema import TableReader
from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.data.readers import cells, column_values, columns, table_file
from feedforward.data.readers.class_labels import class_numbers, normalized_classes, warn_unlabeled
from feedforward.data.readers.column_values import Texts
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.reading import Part, Reading, check_rows, draw_test_split, order
from feedforward.data.splits import Split

COLUMNS = "columns.json"
BLOCK = 16_384  # rows held as Python objects at a time
MANY_UNKNOWN = 0.5  # share of the test rows; more rows with unknown categories cause a warning
YES, NO = ("1", "true", "yes", "t", "y"), ("0", "false", "no", "f", "n")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """Labeled rows. labels: class numbers, values (float64), or zeros and ones of shape (rows, labels).

    grouped: the number columns in which points or commas separate thousands. dates: those that contain dates.
    """

    numbers: dict[str, npt.NDArray[np.float64]]
    texts: dict[str, Texts]
    labels: npt.NDArray[np.generic]
    grouped: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, row_order: npt.NDArray[np.int64]) -> "Rows":
        """The rows with the numbers in `row_order`, in that order."""
        numbers = {name: values[row_order] for name, values in self.numbers.items()}
        texts = {name: texts[row_order] for name, texts in self.texts.items()}
        return Rows(numbers, texts, self.labels[row_order], self.grouped, self.dates)

    def missing(self) -> dict[str, int]:
        """The number of missing cells of each column that has any."""
        counts = {name: int(np.isnan(values).sum()) for name, values in self.numbers.items()}
        counts |= {name: int((texts == "").sum()) for name, texts in self.texts.items()}
        return {name: count for name, count in counts.items() if count}

    def raw(self, row: int) -> dict[str, Any]:
        """The cells of a row by column: None for a missing number, "" for a missing text."""
        numbers = {name: float(values[row]) for name, values in self.numbers.items()}
        row_cells: dict[str, Any] = {name: None if np.isnan(value) else value for name, value in numbers.items()}
        return row_cells | {name: texts[row] for name, texts in self.texts.items()}

    def encode(self) -> Iterator[bytes]:
        """Yield each row as bytes; equal rows have equal bytes, even if the file spells them differently."""
        for start in range(0, len(self), BLOCK):
            block = self.take(np.arange(start, min(start + BLOCK, len(self))))
            numbers = {name: _nan_to_none(values.tolist()) for name, values in block.numbers.items()}
            cells_by_column = numbers | {name: texts.tolist() for name, texts in block.texts.items()}
            for row in zip(*cells_by_column.values(), strict=True):
                yield atomic_files.canonical_json(dict(zip(cells_by_column, row, strict=True))).encode()


@dataclass(frozen=True)
class HashedRows:
    """Rows with their lengths, int64, shape (rows,), and SHA-256 digests, uint8, shape (rows, 32)."""

    rows: Rows
    lengths: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, rows: Rows) -> "HashedRows":
        """Hash each row."""
        lengths, digests = np.empty(len(rows), np.int64), bytearray()
        for index, line in enumerate(rows.encode()):
            lengths[index] = len(line)
            digests += hashlib.sha256(line).digest()
        return cls(rows, lengths, np.frombuffer(digests, np.uint8).reshape(-1, 32))

    def take(self, row_order: npt.NDArray[np.int64]) -> "HashedRows":
        """The rows with the numbers in `row_order`, in that order."""
        return HashedRows(self.rows.take(row_order), self.lengths[row_order], self.digests[row_order])


def read(config: TableReader, files: Mapping[str, Path]) -> Reading:
    """Read both splits; statistics and categories come from the training rows alone.

    Raises:
        DataError: a file is missing or damaged, lacks a column that `config` names, or has a cell that is not a number
            or class where one is required.
    """
    train, test = _splits(config, files)
    try:
        measured = columns.measure(
            train.rows.numbers,
            train.rows.texts,
            config.decimal,
            config.missing,
            train.rows.grouped,
            train.rows.dates,
        )
    except ValueError as error:
        raise DataError(f"{files[config.file]}: {error}; change `reader` in params.yaml") from None
    test_path = files[config.test_file or config.file]
    for name in sorted({*test.rows.dates} ^ {*train.rows.dates}):
        if not np.isnan(test.rows.numbers[name]).all():
            kinds = ("dates", "numbers") if name in test.rows.dates else ("numbers", "dates")
            raise DataError(
                f"{test_path}: column {name!r} contains {kinds[0]}, but in {files[config.file]} it contains {kinds[1]};"
                " use the same in both files"
            )
    _warn_of_unknown(test.rows.texts, measured, test_path)
    for name in set(test.rows.grouped) - set(train.rows.grouped):
        log.warning(
            "%s: column %r: thousands are separated, unlike in the training rows; check `decimal`", test_path, name
        )
    shuffled = train.take(order(len(train.rows), config.shuffle_seed))
    parts = [_part("train", shuffled, measured), _part("test", test, measured)]
    facts = {"missing_cells": {"train": train.rows.missing(), "test": test.rows.missing()}}
    return Reading(iter(parts), facts=facts, files={COLUMNS: measured.to_json()})


def samples(config: TableReader, files: Mapping[str, Path], rows: Sequence[int]) -> list[str]:
    """The given test rows, each as a line of `column value` pairs; numbers have the decimal sign of the file."""
    _, test = _splits(config, files)
    check_rows(rows, len(test.rows))
    shown = [{name: _display(value, config.decimal) for name, value in test.rows.raw(row).items()} for row in rows]
    return [", ".join(f"{name} {value}" for name, value in row.items()) for row in shown]


def column_names(vectorized: Path) -> Callable[[int], str]:
    """Names of the feature columns: number columns by name, categories as `name=category`."""
    names = columns.from_json((vectorized / COLUMNS).read_bytes()).names
    return lambda column: names[column]


def _nan_to_none(values: list[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def _display(value: Any, decimal: cells.Decimal) -> str:
    if value in (None, ""):
        return "(missing)"
    return f"{value:g}".replace(".", decimal) if isinstance(value, float) else str(value)


def _splits(config: TableReader, files: Mapping[str, Path]) -> tuple[HashedRows, HashedRows]:
    all_rows = HashedRows.of(load(config, files[config.file]))
    if config.test_file is not None:
        return all_rows, HashedRows.of(load(config, files[config.test_file]))
    # Rows may be equal by chance, for instance if all columns are categories, so each is drawn on its own.
    train, test = draw_test_split(all_rows.digests, all_rows.rows.labels, config, copies_together=False)
    return all_rows.take(train), all_rows.take(test)


def load(config: TableReader, path: Path) -> Rows:
    """Load all labeled rows of a file.

    Raises:
        DataError: see `read`.
    """
    names = (*config.numeric, *config.categorical, *config.target)
    table = table_file.read(path, names, config.decimal)
    if not table.row_count:
        raise DataError(f"{path}: contains no rows; check the file")

    def numbers(name: str) -> npt.NDArray[np.float64]:
        try:
            return column_values.numbers(table.columns[name], config.decimal, config.missing, table.position)
        except column_values.NotANumber as error:
            remedy = _remedy(config, name, error.cell, table.columns)
            raise DataError(f"{path}: column {name!r}, {error}; {remedy}") from None

    def texts(name: str) -> Texts:
        missing = (*config.missing, *config.excluded_classes) if name in config.target else config.missing
        return column_values.categories(table.columns[name], config.decimal, missing)

    labels, has_label = _labels(config, path, numbers, texts, table.position)
    grouped = tuple(name for name in config.numeric if column_values.has_groups(table.columns[name], config.decimal))
    by_name = {name: numbers(name) for name in config.numeric}
    dates = tuple(name for name in config.numeric if column_values.has_dates(table.columns[name], by_name[name]))
    rows = Rows(by_name, {name: texts(name) for name in config.categorical}, labels, grouped, dates)
    return rows if has_label.all() else rows.take(np.flatnonzero(has_label))


def _remedy(config: TableReader, name: str, wrong: str | None, by_name: Mapping[str, pa.Array]) -> str:
    """What to do about a cell of the number column `name`. wrong: see `NotANumber.cell`."""
    other = cells.OTHER_SIGN[config.decimal]

    def is_number(cell: Any, decimal: cells.Decimal) -> bool:
        try:
            cells.number(cell, decimal, config.missing)
        except ValueError:
            return False
        return True

    if wrong is not None and is_number(wrong, other):
        target = config.target if config.classes is None and len(config.target) == 1 else ()
        number_cells = {cell for column in (*config.numeric, *target) for cell in by_name[column].unique().to_pylist()}
        if any(is_number(cell, config.decimal) and not is_number(cell, other) for cell in number_cells):
            return "some numbers have a decimal point, others a decimal comma; use one of them in the file"
        return f'set `decimal: "{other}"` under `reader` in params.yaml'
    move = "name another target" if name in config.target else "move the column to `reader.categorical`"
    return f"add the spelling to `reader.missing` in params.yaml, or {move}"


def _labels(
    config: TableReader,
    path: Path,
    numbers: Callable[[str], npt.NDArray[np.float64]],
    texts: Callable[[str], Texts],
    position: Callable[[int], str],
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """The labels of all rows, and which rows have one; for the other rows, the label is meaningless."""
    if config.classes is None and len(config.target) == 1:
        numbered = numbers(config.target[0])
        return numbered, warn_unlabeled(~np.isnan(numbered), f"{path}: column {config.target[0]!r}")
    label_columns = [texts(name) for name in config.target]
    has_label = np.all([column != "" for column in label_columns], axis=0)
    warn_unlabeled(has_label, f"{path}: column {', '.join(map(repr, config.target))}")
    if config.classes is not None:
        classes = normalized_classes(config, path, config.decimal)
        return class_numbers(label_columns[0], classes, f"{path}: column {config.target[0]!r}", position), has_label
    codes = dict.fromkeys(YES, 1) | dict.fromkeys(NO, 0) | {"": 0}
    multi_hot = np.zeros((len(has_label), len(config.target)), np.uint8)
    for column, (name, values) in enumerate(zip(config.target, label_columns, strict=True)):
        lower = [value.lower() for value in values]
        invalid = next((row for row, value in enumerate(lower) if value not in codes), None)
        if invalid is not None:
            got = f"{values[invalid][:40]!r} in {position(invalid)}"
            raise DataError(f"{path}: column {name!r} must contain 0 and 1, or yes and no, got {got}")
        multi_hot[:, column] = [codes[value] for value in lower]
    return multi_hot, has_label


def _warn_of_unknown(texts: Mapping[str, Texts], measured: Columns, path: Path) -> None:
    """Log a warning if most cells of a test column are categories that no training row has."""
    for name, known in measured.categorical:
        categories = {*known}
        unknown = [value for value in texts[name] if value not in categories]
        if len(unknown) > MANY_UNKNOWN * len(texts[name]):
            log.warning(
                "%s: column %r: %d of %d test rows have a category that no training row has, such as %r; check its"
                " spelling", path, name, len(unknown), len(texts[name]), unknown[0][:40],
            )  # fmt: skip


def _part(name: Literal["train", "test"], part: HashedRows, measured: Columns) -> Part:
    features = measured.encode(part.rows.numbers, part.rows.texts, len(part.rows))
    return Part(name, Split(features, part.rows.labels), part.lengths, part.digests)
