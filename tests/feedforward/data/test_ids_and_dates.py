"""Which columns of a table are IDs, dates or numbers too large to be told apart; mixtures are refused, or missing."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from own_tables import HEAD, LABELS, ROOMS, SIZES, Prepare, encoder, table

from feedforward.core import paths
from feedforward.core.errors import DataError, InputError
from feedforward.data import config_inference, preparation
from feedforward.data.readers import row_encoder
from feedforward.data.readers import table as data_table
from feedforward.data.readers.columns import from_json


def test_columns_of_ids_are_left_out_and_reported(tmp_path: Path, prepare: Prepare) -> None:
    path = table(tmp_path / "iris.csv", Id=[str(k) for k in range(1, 61)], size=SIZES, Species=LABELS)
    guess, _ = prepare(path)
    assert guess.entry["reader"]["numeric"] == ["size"]
    assert any("column Id is left out" in reason for reason in guess.reasons)


@pytest.mark.proves("`init` reports the missing cells of every column, and why a column is left out")
def test_missing_cells_are_counted_in_columns_of_every_kind_and_many_categories_are_not_ids(tmp_path: Path) -> None:
    columns = {
        "region": ["NA" if k % 4 == 0 else ["EU", "Asia"][k % 2] for k in range(200)],
        "job": ["?" if k == 7 else f"job {k % 60}" for k in range(200)],
        "token": ["null" if k == 7 else f"t{k}x" for k in range(200)],
        "day": ["?" if k == 7 else f"2024-02-{k % 28 + 1:02}" for k in range(200)],
        "fixed": ["?" if k == 7 else "yes" for k in range(200)],
        "label": [["dear", "cheap"][k % 2] for k in range(200)],
    }
    guess = config_inference.guess(table(tmp_path / "a.csv", **columns))
    assert [column.explanation for column in guess.columns[:5]] == [
        "2 categories; 50 missing",
        "60 different texts; 1 missing",
        "199 different texts; 1 missing",
        "dates; 1 missing",
        "the same value in every row; 1 missing",
    ]
    reasons = {column: next(r for r in guess.reasons if f"column {column} " in r) for column in ("job", "token")}
    assert reasons["job"].endswith("it has more than 50 categories; to use it, list it under `categorical`")
    assert "it seems to identify rows" in reasons["token"]


@pytest.mark.proves("IDs that float64 cannot tell apart become categories or are left out, but not numbers")
@pytest.mark.parametrize("step", [1, 100, 1000])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_large_ids_are_no_numbers(tmp_path: Path, prepare: Prepare, suffix: str, step: int) -> None:
    ids = {"few": [2**60 + step * (k % 20) for k in range(60)], "many": [2**60 + step * k for k in range(60)]}
    path = tmp_path / f"a.{suffix}"
    frame = pd.DataFrame(ids | {"size": map(float, SIZES), "label": LABELS})
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    guess, dataset = prepare(path)
    assert [column.role for column in guess.columns][:2] == ["category", "id"]
    assert guess.entry["reader"]["numeric"] == ["size"]
    row = encoder(dataset).check({"few": 2**60 + step, "size": 1}, "row")
    assert row["few"] == str(2**60 + step)
    assert encoder(dataset).unknown(row) == []


def test_large_ids_among_other_numbers_of_json_lines_are_the_categories_of_rows_to_predict(
    tmp_path: Path, prepare: Prepare
) -> None:
    path, ids = tmp_path / "a.jsonl", [2**60 + 1, 2**60 + 2, 2.5, 10**400]
    rows = [{"code": ids[k % 4], "size": float(SIZES[k]), "label": LABELS[k]} for k in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    guess, _ = prepare(path)
    reader = guess.entry["reader"]
    reader["categorical"], reader["numeric"] = ["code"], ["size"]
    paths.params().write_text(HEAD)
    dataset = config_inference.write(guess.entry, "own", paths.params()).datasets["own"]
    preparation.vectorize("own", dataset)
    encoded = [encoder(dataset).check(row, "row") for row in rows]
    assert [row["code"] for row in encoded[:3]] == [str(2**60 + 1), str(2**60 + 2), "2.5"]
    assert not any(encoder(dataset).unknown(row) for row in encoded)


def test_large_numbers_that_differ_enough_are_numbers(tmp_path: Path) -> None:
    amounts = [str(10**18 + k * 37 % 101 * 10**9) for k in range(60)]
    guess = config_inference.guess(table(tmp_path / "a.csv", amount=amounts * 2, label=LABELS * 2))
    assert guess.entry["reader"]["numeric"] == ["amount"]


@pytest.mark.parametrize(
    "name",
    [
        "Unnamed: 0",
        "Index",
        "Id",
        "ID",
        "customerId",
        "OrderID",
        "Row ID",
        "order number",
        "RowNumber",
        "level_0",
        "S.No",
    ],
)
def test_ids_of_a_shuffled_part_of_a_table_are_recognized_by_name(tmp_path: Path, name: str) -> None:
    ids = [str(k * 37 % 101) for k in range(60)]
    guess = config_inference.guess(table(tmp_path / "a.csv", **{name: ids}, size=SIZES, label=LABELS))
    assert guess.entry["reader"]["numeric"] == ["size"]


@pytest.mark.proves("Row numbers that pandas or R has added to a file become neither features nor the target")
@pytest.mark.parametrize("replace", [False, True], ids=["subset", "drawn with replacement"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_row_numbers_of_a_shuffled_table_are_left_out(tmp_path: Path, suffix: str, replace: bool) -> None:
    frame = pd.DataFrame({"size": SIZES, "kind": sorted(LABELS)})
    rows, path = frame.sample(48, replace=replace, random_state=1), tmp_path / f"a.{suffix}"
    if suffix == "csv":
        rows.to_csv(path)
    else:
        rows.to_parquet(path)
    guess = config_inference.guess(path)
    assert guess.entry["reader"]["target"] == ["kind"]
    assert guess.entry["reader"]["numeric"] == ["size"]
    name = "column_1" if suffix == "csv" else "__index_level_0__"
    assert any(reason.startswith(f"column {name} is left out: it seems to identify") for reason in guess.reasons)


def test_a_first_column_without_a_name_may_be_the_label_and_a_column_of_different_numbers_is_reported(
    tmp_path: Path,
) -> None:
    path = table(
        tmp_path / "a.csv", label=[str(k % 2) for k in range(60)], member=[str(k * 37 % 101) for k in range(60)]
    )
    path.write_text(path.read_text().removeprefix("label"))
    guess = config_inference.guess(path, ("column_1",))
    assert guess.entry["task"] == "binary"
    assert guess.entry["reader"]["numeric"] == ["member"]
    assert any("differ in every row" in reason and reason.endswith(": member") for reason in guess.reasons)


def test_dates_are_left_out_unless_requested_as_numbers_of_days(tmp_path: Path, prepare: Prepare) -> None:
    days = [f"2024-{k % 12 + 1:02}-{k % 28 + 1:02}" for k in range(60)]
    path = table(tmp_path / "sales.csv", day=days, size=SIZES, label=LABELS)
    guess, _ = prepare(path)
    assert any("column day is left out: dates" in reason for reason in guess.reasons)
    guess.entry["reader"]["numeric"].append("day")
    paths.params().write_text(HEAD)
    dataset = config_inference.write(guess.entry, "own", paths.params()).datasets["own"]
    preparation.vectorize("own", dataset)
    row = encoder(dataset).check({"size": 1, "day": "1970-01-02"}, "row")
    assert row["day"] == 1.0
    with pytest.raises(InputError, match=r"row\.size: '1970-01-02' is a date, but in the training data this column"):
        encoder(dataset).check({"size": "1970-01-02", "day": "1970-01-02"}, "row")
    file = paths.vectorized("own") / "columns.json"
    stored = json.loads(file.read_bytes())
    assert stored.pop("dates") == ["day"]
    older = row_encoder.RowEncoder(from_json(json.dumps(stored).encode()))  # it is unknown which columns have dates
    assert older.check({"size": "1970-01-02", "day": 1}, "row") == {"size": 1.0, "day": 1.0}


@pytest.mark.proves("A date among numbers is never read as a number")
@pytest.mark.parametrize("target", ["label", "size"])
def test_a_date_among_numbers_counts_as_missing_or_is_refused(tmp_path: Path, prepare: Prepare, target: str) -> None:
    sizes = ["2001-03-01" if k == 7 else size for k, size in enumerate(SIZES)]  # as Excel makes of 3-1
    path = table(tmp_path / "a.csv", rooms=ROOMS, size=sizes, label=LABELS)
    guess, dataset = prepare(path, target)
    assert guess.entry["reader"]["missing"] == ["2001-03-01"]
    assert any("2001-03-01 count as missing" in column.explanation for column in guess.columns)
    row = {"rooms": 12, "size": "2001-03-01", "label": "dear"}
    assert target == "size" or math.isnan(encoder(dataset).check(row, "row")["size"])
    reader = dataset.reader.model_copy(update={"missing": ()})
    with pytest.raises(DataError, match="column 'size', line 9: a date in a column of numbers: '2001-03-01'; add the"):
        data_table.load(reader, path)
    table(path, rooms=ROOMS, size=[size if k == 5 else "2001-03-01" for k, size in enumerate(SIZES)], label=LABELS)
    with pytest.raises(DataError, match=f"column 'size', line 7: a number in a column of dates: '{SIZES[5]}'; add the"):
        data_table.load(reader, path)


def test_dates_among_many_missing_cells_are_dates_and_among_as_many_numbers_are_neither(tmp_path: Path) -> None:
    cells = {"seldom": ["2024-02-29", "-"], "mixed": ["2024-02-29", "7.5"]}
    columns = {name: [two[k % 2] for k in range(60)] for name, two in cells.items()}
    path = table(tmp_path / "a.csv", **columns, size=SIZES, label=LABELS)
    guess = config_inference.guess(path)
    assert [column.role for column in guess.columns][:2] == ["date", "category"]


def test_a_test_file_with_dates_in_a_column_of_numbers_or_vice_versa_is_refused(
    tmp_path: Path, prepare: Prepare
) -> None:
    path, dates_path, empty_path = tmp_path / "a.csv", tmp_path / "dates.csv", tmp_path / "empty.csv"
    table(path, size=SIZES, rooms=ROOMS, label=LABELS)
    table(dates_path, size=["2024-02-29"] * 60, rooms=ROOMS, label=LABELS)
    table(empty_path, size=["-"] * 60, rooms=ROOMS, label=LABELS)
    _, dataset = prepare(path)

    def read(train: Path, test: Path) -> None:
        reader = dataset.reader.model_copy(update={"file": train.name, "test_file": test.name})
        data_table.read(reader, {train.name: train, test.name: test})

    with pytest.raises(
        DataError, match=r"dates\.csv: column 'size' contains dates, but in .*a\.csv it contains numbers"
    ):
        read(path, dates_path)
    with pytest.raises(
        DataError, match=r"a\.csv: column 'size' contains numbers, but in .*dates\.csv it contains dates"
    ):
        read(dates_path, path)
    read(dates_path, empty_path)
