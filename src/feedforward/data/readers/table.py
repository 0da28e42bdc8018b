"""Rows of a CSV or Parquet file: features are numbers and categories; see `columns`."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from feedforward.config.schema import TableReader
from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.data.readers import columns
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.reading import Part, Reading, drawn, order
from feedforward.data.splits import Split

COLUMNS = "columns.json"
YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")


@dataclass(frozen=True)
class Rows:
    """Rows of a file. labels: class numbers, values (float32), or (rows, labels) zeros and ones."""

    numbers: dict[str, npt.NDArray[np.float64]]
    texts: dict[str, list[str]]
    labels: npt.NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, wanted: npt.NDArray[np.int64]) -> "Rows":
        """Those rows, in that order."""
        numbers = {name: values[wanted] for name, values in self.numbers.items()}
        return Rows(numbers, {n: [v[k] for k in wanted] for n, v in self.texts.items()}, self.labels[wanted])

    def raw(self, row: int) -> dict[str, Any]:
        """A row as it was given."""
        found = {name: float(values[row]) for name, values in self.numbers.items()}
        return {name: None if np.isnan(v) else v for name, v in found.items()} | {
            n: v[row] for n, v in self.texts.items()
        }


def read(config: TableReader, files: Mapping[str, Path]) -> Reading:
    """Read both splits; statistics and categories come from the training rows alone.

    Raises:
        DataError: a file is missing, damaged, or has not the columns that `config` names.
    """
    train, test = _splits(config, files)
    try:
        found = columns.measure(train.numbers, train.texts)
    except ValueError as error:
        raise DataError(f"{files[config.file]}: {error}; change `reader` in params.yaml") from None
    shuffled = train.take(order(len(train), config.shuffle_seed))
    parts = [_part("train", shuffled, found), _part("test", test, found)]
    return Reading(iter(parts), files={COLUMNS: found.to_json()})


def samples(config: TableReader, files: Mapping[str, Path], rows: Sequence[int]) -> list[str]:
    """Test rows, a line of `column value` each."""
    _, test = _splits(config, files)
    return [", ".join(f"{name} {_shown(value)}" for name, value in test.raw(row).items()) for row in rows]


def column_names(vectorized: Path) -> Callable[[int], str]:
    """Names of numbers, and `name=category`."""
    names = columns.from_json((vectorized / COLUMNS).read_bytes()).names
    return lambda column: names[column]


def _shown(value: Any) -> str:
    return "(missing)" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def _splits(config: TableReader, files: Mapping[str, Path]) -> tuple[Rows, Rows]:
    whole = load(config, files[config.file])
    if config.test_file is not None:
        return whole, load(config, files[config.test_file])
    train, test = drawn(len(whole), config)
    return whole.take(train), whole.take(test)


def load(config: TableReader, path: Path) -> Rows:
    """All rows of a file.

    Raises:
        DataError: see `read`.
    """
    numbers = config.numeric + (config.target if config.classes is None and len(config.target) == 1 else ())
    wanted = {name: pa.float64() if name in numbers else pa.string() for name in _named(config)}
    table = open_table(path, wanted)
    listed = {name: table[name].fill_null("").to_pylist() for name in wanted if name not in numbers}
    found = {name: table[name].to_numpy().astype(np.float64) for name in numbers}
    infinite = [name for name, values in found.items() if np.isinf(values).any()]
    if infinite:
        raise DataError(f"{path}: column {infinite[0]!r} holds an infinite number; mend the file and fetch it again")
    return Rows(
        {name: found[name] for name in config.numeric},
        {name: listed[name] for name in config.categorical},
        _labels(config, path, found, listed),
    )


def _named(config: TableReader) -> tuple[str, ...]:
    return (*config.numeric, *config.categorical, *config.target)


def open_table(path: Path, wanted: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """A CSV or Parquet file; `wanted` columns as those types, None: all, as Arrow finds them.

    Raises:
        DataError: it cannot be read so.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if not is_parquet:
            options = pa_csv.ConvertOptions(column_types=wanted, include_columns=list(wanted) if wanted else None)
            return pa_csv.read_csv(path, convert_options=options)
        table = pq.read_table(path, columns=list(wanted) if wanted else None)
        if wanted is None:
            return table
        if missing := [name for name in wanted if name not in table.column_names]:
            raise KeyError(f"no column {missing[0]!r}")
        return table.select(list(wanted)).cast(pa.schema(list(wanted.items())))
    except (OSError, pa.ArrowException, KeyError) as error:
        reason = str(error).splitlines()[0].strip("'\"")
        raise DataError(f"{path}: cannot be read as a table ({reason}); check `reader` in params.yaml") from None


def _labels(
    config: TableReader,
    path: Path,
    numbers: Mapping[str, npt.NDArray[np.float64]],
    texts: Mapping[str, list[str]],
) -> npt.NDArray[np.generic]:
    if config.classes is not None:
        return class_numbers(texts[config.target[0]], config.classes, f"{path}: column {config.target[0]!r}")
    if len(config.target) == 1:
        values = numbers[config.target[0]]
        if np.isnan(values).any():
            row = int(np.flatnonzero(np.isnan(values))[0])
            raise DataError(
                f"{path}: column {config.target[0]!r} lacks a value in row {row + 1}; a target must be known"
            )
        return values
    known = dict.fromkeys(YES, 1) | dict.fromkeys(NO, 0)
    hot = np.zeros((len(texts[config.target[0]]), len(config.target)), np.uint8)
    for column, name in enumerate(config.target):
        for row, value in enumerate(texts[name]):
            if value.strip().lower() not in known:
                raise DataError(f"{path}: column {name!r} must hold 0 and 1, got {value[:40]!r} in row {row + 1}")
            hot[row, column] = known[value.strip().lower()]
    return hot


def class_numbers(values: Sequence[str], classes: Sequence[str], where: str) -> npt.NDArray[np.generic]:
    """The number of each value among the classes, uint8 or wider.

    Raises:
        DataError: a value is none of them.
    """
    place = {value: number for number, value in enumerate(classes)}
    odd = next((row for row, value in enumerate(values) if value not in place), None)
    if odd is not None:
        known = ", ".join(classes)[:200]
        raise DataError(
            f"{where} must hold one of {known}, got {values[odd][:40]!r} in row {odd + 1}; see reader.classes"
        )
    return np.array([place[value] for value in values], np.min_scalar_type(len(classes) - 1))


def _part(name: Literal["train", "test"], rows: Rows, found: Columns) -> Part:
    raw = [atomic_files.canonical_json(rows.raw(row)).encode() for row in range(len(rows))]
    digests = b"".join(hashlib.sha256(line).digest() for line in raw)
    return Part(
        name,
        Split(found.encode(rows.numbers, rows.texts, len(rows)), rows.labels),
        np.array([len(line) for line in raw], np.int64),
        np.frombuffer(digests, np.uint8).reshape(-1, 32),
    )
