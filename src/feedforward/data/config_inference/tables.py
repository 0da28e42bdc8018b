"""Infer what to predict from which columns of a CSV, Parquet or JSON lines file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from feedforward.config.cross_checks import choices
from feedforward.core.errors import DataError, InputError, one_line
from feedforward.data.config_inference.column_roles import MOST_CLASSES, Column, ambiguous_cell, decimal_of, describe
from feedforward.data.config_inference.entry import Guess, complete_guess, dense_network, text_network
from feedforward.data.readers import cells, table_file
from feedforward.data.readers.cells import Decimal
from feedforward.data.readers.table import NO, YES

TARGETS = ("target", "label", "class", "y", "outcome")
FEWEST_ROWS = 10
RARE_ROWS = 10  # a class with fewer rows is reported
SMALL = 0.1  # if the largest number is below this, the numbers are probably in a small unit, not shares of 1
NO_TEST_NOTE = (
    "no test file: about a fifth of the rows (of each class, if there are classes) become the test split, chosen by a"
    " hash of their features and `split_seed`"
)
DRAWN_AGAIN_NOTE = "; other columns in `numeric` or `categorical` draw it again"


def guess(path: Path, targets: tuple[str, ...]) -> Guess:
    """The entry for a table.

    Raises:
        InputError: the table cannot be read or used for training; one line with the reason and a remedy.
    """
    table = _read(path)
    if table.row_count < FEWEST_ROWS:
        raise InputError(str(path), f"has {table.row_count} rows; at least {FEWEST_ROWS} are needed")
    if len(table.columns) == 1:
        [name], left_out = table.columns, [note for note in table.notes if "is left out" in note]
        remedy = left_out[0] if left_out else "separate cells with commas, semicolons, tabs or bars"
        raise InputError(str(path), f"has a single column ({name}), but at least two are needed; {remedy}")
    separator = ";" if any("';'" in note for note in table.notes) else ","
    decimal = decimal_of(table.columns, separator)
    inferred = _infer(path, table if decimal == "." else _read(path, decimal), targets, decimal)
    if inferred.entry["reader"]["kind"] == "table" or decimal == ".":
        return inferred
    texts = _infer(path, table, targets, ".")  # the reader of texts does not convert decimal commas in labels
    label = texts.entry["reader"].get("label")
    shown = zip(texts.columns, inferred.columns, strict=True)
    return replace(texts, columns=[column if column.name == label else other for column, other in shown])


def _infer(path: Path, table: table_file.Table, targets: tuple[str, ...], decimal: Decimal) -> Guess:
    """The entry for a table that was read, if its numbers have this decimal sign."""
    columns = {name: describe(name, table.columns[name], decimal) for name in _row_names_first(table)}
    columns |= {name: _as_row_names(columns[name]) for name in table.row_names}
    if unknown := [name for name in map(cells.text, targets) if name not in columns]:
        raise InputError("--target", f"must be among {', '.join(columns)}, got {unknown[0]}")
    reasons = list(table.notes) + (["numbers have a decimal comma: `decimal: ','`"] if decimal == "," else [])
    reasons += _ambiguity_notes(table, columns, decimal)
    targets, target_reasons = (tuple(map(cells.text, targets)), []) if targets else _targets(path, columns)
    task, classes, excluded, task_reasons = _task(targets, columns)
    reasons += [*target_reasons, *task_reasons]
    key = re.sub(r"[^A-Za-z0-9._-]", "_", path.name)[-120:]
    key = key if key[0].isalnum() else f"x{key}"  # other characters may be first in the name, or after the cut
    files = {key: {"archive": "gzip" if path.suffix.lower() == ".gz" else "none", "urls": [str(path)]}}
    return _entry(path, files, columns, targets, (task, classes), excluded, reasons, decimal)


def _row_names_first(table: table_file.Table) -> list[str]:
    """The names of the columns, those with row names first, because the last column may become the target."""
    return sorted(table.columns, key=lambda name: name not in table.row_names)


def _as_row_names(column: Column) -> Column:
    """Classify a column without a name as an ID if it contains row numbers, even if some of them occur twice."""
    if column.role != "number" or not column.is_whole or column.may_be_classes:
        return column
    return replace(column, role="id", explanation="row numbers, in a column without a name")


def _read(path: Path, decimal: Decimal = ".") -> table_file.Table:
    try:
        return table_file.read(path, decimal=decimal)
    except DataError as error:
        raise InputError(str(path), str(error).removeprefix(f"{path}: ")) from None


def _entry(
    path: Path,
    files: Mapping[str, Any],
    columns: Mapping[str, Column],
    targets: Sequence[str],
    task_and_classes: tuple[str, list[str] | None],
    excluded: list[str],
    reasons: list[str],
    decimal: Decimal,
) -> Guess:
    (task, classes), [key] = task_and_classes, files
    labels = classes or list(targets)
    classes_of_reader = {key: value for key, value in (("classes", classes), ("excluded_classes", excluded)) if value}
    labeled = min(sum(columns[name].counts.values()) for name in targets)
    train = round(0.8 * labeled)
    others = [column for name, column in columns.items() if name not in targets]
    texts = [column.name for column in others if column.role == "text"]
    numeric = [column.name for column in others if column.role == "number"]
    categorical = [column.name for column in others if column.role == "category"]
    all_columns = list(columns.values())
    is_json_lines = path.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))
    is_text = classes and len(texts) == 1 and (is_json_lines or not numeric or columns[texts[0]].length >= 30)
    reasons.append(NO_TEST_NOTE if is_text else NO_TEST_NOTE + DRAWN_AGAIN_NOTE)
    if is_text:
        reader: dict[str, Any] = {"kind": "labeled_text", "file": key, "text": texts[0], "label": targets[0]}
        reader |= classes_of_reader | {"num_words": 10_000}
        reasons.append(f"column {texts[0]} contains long texts: `kind: labeled_text`")
        if left_out := [column.name for column in others if column.name != texts[0]]:
            reasons.append(
                f"the words of {texts[0]} are the only features; left out: {choices(left_out)}. To use these columns"
                f" instead, run init again on a copy of the file without column {texts[0]}"
            )
        return complete_guess(path, task, labels, files, reader, train, reasons, text_network(), all_columns)
    if not numeric and not categorical:
        raise InputError(str(path), f"no column other than {', '.join(targets)} contains numbers or a few categories")
    odd = {cell: name for name in (*numeric, *targets) for cell in columns[name].odd}
    for cell in (cell for cell in odd if cell in (classes or ())):
        raise InputError(
            str(path),
            f"column {one_line(odd[cell])} contains {one_line(cell)} among numbers, and `missing` cannot name it,"
            f" because it is also a class of {one_line(targets[0])}; correct the column, or leave it out of the file",
        )
    reasons += [
        f"{cell} counts as missing not only in column {odd[cell]}, but also in column {name}"
        for name in categorical
        for cell in odd
        if cell in columns[name].counts
    ]
    missing = sorted(odd)
    reader = {"kind": "table", "file": key, "target": list(targets), "numeric": numeric, "categorical": categorical}
    reader |= classes_of_reader
    reader |= {"decimal": decimal} if decimal != "." else {}
    reader |= {"missing": missing} if missing else {}
    reasons.append(
        f"columns of numbers (standardized): {len(numeric)}; of categories (one-hot encoded): {len(categorical)}"
    )
    reasons += _left_out_reasons(column for column in others if column.name not in (*numeric, *categorical))
    reasons += _possible_ids([columns[name] for name in numeric])
    return complete_guess(path, task, labels, files, reader, train, reasons, dense_network(32, 1), all_columns)


def _ambiguity_notes(table: table_file.Table, columns: Mapping[str, Column], decimal: Decimal) -> list[str]:
    """Notes on columns of numbers such as 1.125; none if commas separate cells, because then a point is decimal."""
    if not any("cells are separated" in note for note in table.notes):
        return []
    numeric = [name for name, column in columns.items() if column.role == "number"]
    ambiguous = {name: ambiguous_cell(table.columns[name]) for name in numeric}
    return [
        f"column {name}: {cell} is read as {cells.number(cell, decimal):g}; if that is wrong, change `decimal`"
        for name, cell in ambiguous.items()
        if cell
    ]


def _left_out_reasons(columns: Any) -> list[str]:
    reasons = {
        "date": "dates are not used; to use ISO dates as days since 1970, list it under `numeric`",
        "id": "it seems to identify rows; to use it, list it under `numeric` or `categorical`",
        "many categories": f"it has more than {MOST_CLASSES} categories; to use it, list it under `categorical`",
        "text": "it contains texts",
        "one value": "all rows have the same value",
        "empty": "it is empty",
        "inconsistent": "some numbers have a decimal point, others a decimal comma; use one of them in the file",
    }
    return [f"column {column.name} is left out: {reasons[column.role]}" for column in columns]


def _possible_ids(features: Sequence[Column]) -> list[str]:
    names = [column.name for column in features if column.is_whole and column.distinct == sum(column.counts.values())]
    note = "whole numbers that differ in every row; a column that identifies rows must be removed from `numeric`"
    return [f"{note}: {', '.join(names)}"] if names else []


# --- what to predict -----------------------------------------------------------------------------


def _targets(path: Path, columns: Mapping[str, Column]) -> tuple[tuple[str, ...], list[str]]:
    prefixed = tuple(name for name in columns if name.startswith(("label_", "target_")) and _is_yes_no(columns[name]))
    if len(prefixed) > 1:
        return prefixed, [f"{len(prefixed)} columns with two values are named label_… or target_…: the targets"]
    named = next((name for name in columns if name.lower() in TARGETS), None)
    if named:
        return (named,), [f"column {named} is the target, because of its name"]
    if not columns:
        raise InputError(str(path), "contains no columns")
    last = list(columns)[-1]
    if columns[last].role in ("number", "category"):
        return (last,), [f"the last column, {last}, is the target; choose another with --target"]
    candidates = [name for name, column in columns.items() if column.role in ("number", "category")]
    categories = [name for name in candidates if columns[name].role == "category"]
    if len(categories) == 1 and columns[last].role == "text":
        return (categories[0],), [f"column {categories[0]} is the target: the only one with few categories"]
    remedy = (
        f"name the column to predict with --target, for instance {', '.join(candidates[:5])}"
        if candidates
        else "no other column can be predicted either; add a column of classes or numbers"
    )
    raise InputError(str(path), f"the last column, {last}, cannot be predicted ({columns[last].explanation}); {remedy}")


def _is_yes_no(column: Column) -> bool:
    """Whether a column can be one of several labels: it has two values, which mean yes or no."""
    return column.distinct == 2 and _not_yes_or_no(column) is None


def _not_yes_or_no(column: Column) -> str | None:
    """A value of the column that is neither yes nor no in any spelling; None if there is none."""
    return next((value for value in column.counts if value.lower() not in (*YES, *NO)), None)


def _task(targets: Sequence[str], columns: Mapping[str, Column]) -> tuple[str, list[str] | None, list[str], list[str]]:
    """The task, its classes (None if it has none), the classes to leave out, and reasons."""
    if len(targets) > 1:
        for column in map(columns.__getitem__, targets):
            if (value := _not_yes_or_no(column)) is not None:
                expected = "each of several columns must contain 0 and 1, or yes and no"
                raise InputError("--target", f"{expected}, got {value[:40]!r} in {column.name}")
        return "multilabel", None, [], [f"{len(targets)} columns to predict: `task: multilabel`"]
    [name], column = targets, columns[targets[0]]
    unlabeled = [f"{column.missing} rows have no label and are left out"] if column.missing else []
    if column.role in ("number", "id") and column.lowest != column.highest and not column.may_be_classes:
        if column.lowest >= 0 and SMALL <= column.highest <= 1:
            return (
                "unit_regression",
                None,
                [],
                [f"{name} contains numbers from 0 to 1: `task: unit_regression`", *unlabeled],
            )
        span = f"{column.lowest:g} to {column.highest:g}"
        reason = f"{name} contains {column.distinct} numbers from {span}: `task: regression`"
        return "regression", None, [], [reason, *unlabeled]
    return _classes(name, column, unlabeled)


def _classes(name: str, column: Column, unlabeled: list[str]) -> tuple[str, list[str], list[str], list[str]]:
    single_row_classes = sorted(value for value, count in column.counts.items() if count == 1)
    classes = _sorted([value for value in column.counts if value not in single_row_classes])
    if not 2 <= len(classes) <= MOST_CLASSES:
        got = f"{len(column.counts)} different values, {len(classes)} of them in at least two rows"
        raise InputError(name, f"expected 2 to {MOST_CLASSES} classes, or numbers, to predict, got {got}; see --target")
    task = "binary" if len(classes) == 2 else "multiclass"
    reasons = [f"{name} contains {len(classes)} different values: `task: {task}`", *unlabeled]
    if single_row_classes:
        shown = choices(single_row_classes)
        reasons.append(f"left out (`excluded_classes`), because only one row has the class: {shown}")
    rare = [f"{value} ({column.counts[value]})" for value in classes if column.counts[value] < RARE_ROWS]
    if rare:
        reasons.append(
            f"few rows: {choices(rare)}; estimates for these classes are rough. Collect more data, try another"
            " `split_seed`, or leave out a class: move it from `classes` and `labels` to `excluded_classes`"
        )
    lower = {value.lower() for value in classes}
    if len(lower) < len(classes):
        reasons.append(f"{name}: some classes differ only in case; they are treated as different classes")
    return task, classes, single_row_classes, reasons


def _sorted(values: list[str]) -> list[str]:
    try:
        return sorted(values, key=lambda value: (float(value), value))
    except ValueError:
        return sorted(values)
