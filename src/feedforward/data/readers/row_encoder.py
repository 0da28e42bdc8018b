"""Encode table rows from users, in the form that the network was trained on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedforward.core.errors import InputError
from feedforward.data.readers import cells
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.sample_kinds import kind_of

COLUMNS = "columns.json"
MAX_JSON_LENGTH = 2**18  # characters (or bytes) of a row as JSON text; while it is parsed, no other thread runs
MAX_SHOWN = 40  # characters of a cell in a message or warning


@dataclass(frozen=True)
class RowEncoder:
    """Encodes table rows as numbers and one-hot categories; cells are read as in training (see `cells`)."""

    measured: Columns
    sample_kind = "row"

    @property
    def feature_count(self) -> int:
        """Number of features."""
        return len(self.measured.names)

    @property
    def table_columns(self) -> list[str]:
        """The names of the columns that a row must have."""
        measured = self.measured
        return [*(name for name, _, _ in measured.numeric), *(name for name, _ in measured.categorical)]

    def check(self, sample: Any, field: str) -> dict[str, float | str]:
        """Extract the cells of this encoder's columns from an object or its JSON text; other columns are ignored.

        Raises:
            InputError: the sample is not an object, its JSON text is too long, a column is missing or occurs twice, a
                cell is a list or an object, or a cell in a number column is not a number, is a date unlike in training,
                or could mean two numbers.
        """
        if isinstance(sample, str | bytes):
            if len(sample) > MAX_JSON_LENGTH:
                raise InputError(field, f"must have at most {MAX_JSON_LENGTH} characters, got {len(sample)}")
            try:
                sample = cells.parse_json(sample)
            except cells.RepeatedKey as error:
                raise InputError(field, str(error)) from None
            except ValueError:
                raise InputError(field, 'expected a JSON object such as {"column": 1.5}, got invalid JSON') from None
        if not isinstance(sample, dict):
            raise InputError(field, f"expected an object with one value per column, got {kind_of(sample)}")
        try:
            values_by_name = cells.by_name(sample)
        except ValueError as error:
            raise InputError(field, str(error)) from None
        row: dict[str, float | str] = {}
        for name, _, _ in self.measured.numeric:
            row[name] = self._number(_cell_of(values_by_name, name, field), name, f"{field}.{name}")
        for name, _ in self.measured.categorical:
            value = _cell_of(values_by_name, name, field)
            row[name] = cells.category(value, self.measured.decimal, self.measured.missing)
        return row

    def _number(self, value: Any, name: str, field: str) -> float:
        decimal, grouped = self.measured.decimal, self.measured.grouped
        try:
            number = cells.number(value, decimal, self.measured.missing)
        except ValueError:
            expected = "a number with a decimal comma" if decimal == "," else "a number"
            raise InputError(field, f"expected {expected}, got {str(value)[:MAX_SHOWN]!r}") from None
        dates = self.measured.dates
        if dates is not None and name not in dates and not math.isnan(number) and cells.is_iso_date(value):
            raise InputError(
                field,
                f"{cells.text(value)[:MAX_SHOWN]!r} is a date, but in the training data this column contains numbers;"
                " write a number",
            )
        allows_thousands = grouped is None or name in grouped  # None: a version that does not record this
        if not allows_thousands and not math.isnan(number) and cells.is_ambiguous(value, decimal):
            meanings = f"{number:g} or {number / 1000:g}".replace(".", decimal)
            raise InputError(
                field,
                f"{value[:MAX_SHOWN]!r} is ambiguous, because this column of the training data has no thousands"
                f" separators; write {meanings}",
            )
        return number

    def encode(self, samples: Sequence[Mapping[str, float | str]]) -> npt.NDArray[np.float32]:
        """Encode checked rows: float32, shape (rows, features)."""
        numbers = {n: np.array([float(row[n]) for row in samples], np.float64) for n, _, _ in self.measured.numeric}
        texts = {name: [str(row[name]) for row in samples] for name, _ in self.measured.categorical}
        return self.measured.encode(numbers, texts, len(samples))

    def unknown(self, sample: Mapping[str, float | str]) -> list[str]:
        """`COLUMN=CATEGORY` for each category that does not occur in the training rows; long names are shortened."""
        values = [(name, str(sample[name]), known) for name, known in self.measured.categorical]
        return [f"{name}={_shorten(value) or '(missing)'}" for name, value, known in values if value not in known]

    def settings(self) -> dict[str, Any]:
        """The settings of this encoder, as JSON-serializable values."""
        return {"kind": "columns"}

    def files(self) -> dict[str, bytes]:
        """The columns as measured on the training rows, as JSON."""
        return {COLUMNS: self.measured.to_json()}


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _cell_of(values_by_name: Mapping[str, Any], name: str, field: str) -> Any:
    if name not in values_by_name:
        raise InputError(field, f"expected a column {name!r}, got {', '.join(values_by_name)[:200] or 'none'}")
    value = values_by_name[name]
    # MLflow's server wraps each value in an array, whose text would be read as a cell; arrays of times become integers
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind not in "mM":
        value = value.tolist()
    if isinstance(value, list | dict):
        raise InputError(f"{field}.{name}", f"expected a number or text, got {kind_of(value)}")
    return value
