"""Class labels in a column of a table: the values that params.yaml names, as class numbers."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feedforward.config.schema import TableReader, TextReader
from feedforward.core.errors import DataError
from feedforward.data.readers import cells
from feedforward.data.readers.column_values import Texts

log = logging.getLogger(__name__)


def warn_unlabeled(has_label: npt.NDArray[np.bool_], where: str) -> npt.NDArray[np.bool_]:
    """Return `has_label` unchanged; log a warning with the number of rows without a label, if any.

    where: file and column, for messages.

    Raises:
        DataError: no row has a label.
    """
    if not has_label.any():
        raise DataError(f"{where}: no row has all labels; name another target")
    if not has_label.all():
        unlabeled = int((~has_label).sum())
        log.warning("%s: %d of %d rows lack a label and are left out", where, unlabeled, len(has_label))
    return has_label


def normalized_classes(config: TableReader | TextReader, path: Path, decimal: cells.Decimal = ".") -> list[str]:
    """The classes in params.yaml, normalized like cells.

    Raises:
        DataError: two classes are the same value, or one is a missing or excluded value; rows would get another class
            or be left out. `path` begins the message.
    """
    normalized: dict[str, str] = {}
    for name in config.classes or ():
        if not (value := cells.category(name, decimal)):
            raise DataError(
                f"{path}: reader.classes: {name!r} counts as a missing value, so no row has this class; remove it and"
                " its label from params.yaml"
            )
        if value in normalized:
            raise DataError(
                f"{path}: reader.classes: {normalized[value]!r} and {name!r} are the same value; remove one of them and"
                " its label from params.yaml"
            )
        normalized[value] = name
    for key, left_out in {"missing": config.missing, "excluded_classes": config.excluded_classes}.items():
        for name in left_out:
            if (value := cells.category(name, decimal)) in normalized:
                raise DataError(
                    f"{path}: reader.{key}: {name!r} is the class {normalized[value]!r}; remove it from `{key}` or from"
                    " `classes` and `labels` in params.yaml"
                )
    return list(normalized)


def class_numbers(
    values: Sequence[str] | Texts, classes: Sequence[str], where: str, position: Callable[[int], str]
) -> npt.NDArray[np.generic]:
    """The class number of each value, uint8 or wider; 0 where the value is empty.

    where: file and column, for the message. position: returns where a row, counted from 0, is in the file.

    Raises:
        DataError: a value is not one of the classes.
    """
    codes = {value: number for number, value in enumerate(classes)}
    codes.setdefault("", 0)
    invalid = next((row for row, value in enumerate(values) if value not in codes), None)
    if invalid is not None:
        known, got = ", ".join(classes)[:200], f"{values[invalid][:40]!r} in {position(invalid)}"
        raise DataError(
            f"{where} must contain one of {known}, got {got}; add it to reader.classes and labels, or leave"
            " out its rows with reader.excluded_classes"
        )
    dtype = np.min_scalar_type(len(classes) - 1)
    return np.fromiter((codes[value] for value in values), np.int64, len(values)).astype(dtype)
