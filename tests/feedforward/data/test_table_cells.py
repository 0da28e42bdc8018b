"""Small tables, each with cells or columns that are hard to read: they are read, or refused in one line."""

import json
import math
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_tables import HEAD, LABELS, ROOMS, SIZES, Prepare, encoder, table
from shell import Shell

from feedforward.core import paths
from feedforward.core.errors import DataError, InputError
from feedforward.data import config_inference, drawn_again
from feedforward.data.readers import reading, row_encoder, table_file
from feedforward.data.readers import table as data_table
from feedforward.data.readers.columns import from_json


@pytest.mark.parametrize("spelling", ["", " ", "?", "-", "NA", "unbekannt", "#DIV/0!"])
def test_a_few_cells_without_a_number_are_missing(tmp_path: Path, prepare: Prepare, spelling: str) -> None:
    rooms = [spelling if k == 7 else room for k, room in enumerate(ROOMS)]
    guess, dataset = prepare(table(tmp_path / "houses.csv", rooms=rooms, size=SIZES, label=LABELS))
    assert guess.entry["reader"]["numeric"] == ["rooms", "size"]
    assert guess.entry["reader"].get("missing", []) == (["unbekannt"] if spelling == "unbekannt" else [])
    for cell in (spelling, None, math.nan, math.inf, -math.inf):
        row = encoder(dataset).check({"rooms": cell, "size": 1}, "row")
        assert encoder(dataset).encode([row])[0, 0] == 0.0  # the mean, after standardization


@pytest.mark.proves("A missing value has one meaning in CSV, Parquet and JSON, whether its cell is text or a number")
@pytest.mark.parametrize("spelling", ["-999", "-999.0"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_additional_spellings_of_missing_values_apply_to_cells_that_are_numbers(
    tmp_path: Path, prepare: Prepare, suffix: str, spelling: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    rooms = [-999.0 if k % 10 == 7 else float(room) for k, room in enumerate(ROOMS)]
    if suffix == "csv":
        table(path, rooms=[spelling if room == -999 else str(room) for room in rooms], size=SIZES, label=LABELS)
    elif suffix == "jsonl":
        rows = zip(rooms, SIZES, LABELS, strict=True)
        path.write_text("".join(json.dumps({"rooms": a, "size": b, "label": c}) + "\n" for a, b, c in rows))
    else:
        pq.write_table(pa.table({"rooms": rooms, "size": SIZES, "label": LABELS}), path)
    _, dataset = prepare(path)
    reader = dataset.reader.model_copy(update={"missing": (spelling, "00")})
    [columns_json] = reading.read(reader, {next(iter(dataset.files)): path}).files.values()
    means = dict(json.loads(columns_json)["numeric"][k][:2] for k in range(2))
    assert 11 < means["rooms"] < 30  # in the range of ROOMS, so no -999 was counted
    restored = row_encoder.RowEncoder(from_json(columns_json))
    for value in (-999, -999.0, spelling):
        assert restored.encode([restored.check({"rooms": value, "size": 1}, "row")])[0, 0] == 0.0
    assert restored.encode([restored.check({"rooms": 999, "size": 1}, "row")])[0, 0] > 0.0
    # the spelling "00" does not match 0
    assert restored.encode([restored.check({"rooms": 0, "size": 1}, "row")])[0, 0] < 0.0


@pytest.mark.proves("A JSON number is the same number in `init`, training and prediction, even with a decimal comma")
@pytest.mark.parametrize("digits", [1, 2, 3])
def test_json_numbers_do_not_depend_on_the_decimal_sign(tmp_path: Path, prepare: Prepare, digits: int) -> None:
    plain = [round(1 + k * 37 % 60 / 60, digits) for k in range(60)]
    mixed = [f"{k % 7},25" if k % 3 else value for k, value in enumerate(plain)]  # strings and numbers
    rows = [
        {
            "a": f"{k % 9},31",
            "b": f"{k % 5},8",
            "plain": plain[k],
            "mixed": mixed[k],
            "grade": k % 3 + 0.125,
            "label": label,
        }
        for k, label in enumerate(LABELS)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    guess, dataset = prepare(path)
    assert guess.entry["reader"]["decimal"] == ","
    assert guess.entry["reader"]["numeric"] == ["a", "b", "plain", "mixed", "grade"]
    loaded = data_table.load(dataset.reader, path)
    checked = [encoder(dataset).check(row, "row") for row in rows]
    for name, values in loaded.numbers.items():
        assert values.tolist() == [row[name] for row in checked]
    assert loaded.numbers["plain"].tolist() == plain


def test_json_numbers_are_categories_in_one_spelling(tmp_path: Path, prepare: Prepare) -> None:
    rows = [{"a": f"{k},5", "town": [2.125, "2,125", "x"][k % 3], "label": LABELS[k]} for k in range(60)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    guess, dataset = prepare(path)
    assert guess.entry["reader"]["categorical"] == ["town"]
    assert {encoder(dataset).check(row, "row")["town"] for row in rows} == {"2.125", "x"}
    assert encoder(dataset).unknown(encoder(dataset).check(rows[0], "row")) == []
    assert encoder(dataset).feature_count == 3


def test_leading_zeros_are_kept(tmp_path: Path, prepare: Prepare) -> None:
    path = table(tmp_path / "a.csv", zip=["01067", "10115", "02708"] * 20, size=SIZES, label=LABELS)
    guess, dataset = prepare(path)
    assert guess.entry["reader"]["categorical"] == ["zip"]
    assert encoder(dataset).check({"zip": "01067", "size": 1}, "row")["zip"] == "01067"


@pytest.mark.proves("Two columns whose names differ only by surrounding whitespace are refused")
@pytest.mark.parametrize("second_name", ["size", " size", "size\u00a0", "\ufeffsize"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_two_columns_whose_names_differ_only_by_whitespace_are_rejected(
    tmp_path: Path, suffix: str, second_name: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        path.write_text(f'size,"{second_name}",label\n' + "1,2,x\n3,4,y\n" * 10)
    elif suffix == "jsonl":
        # in JSON, only the last of two equal names counts; one row has the third column
        names = ["size", "label", second_name if second_name != "size" else "size "]
        rows = [dict(zip(names[: 2 + (k == 10)], (1, "x", 2), strict=False)) for k in range(11)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        columns = [pa.array([1.0, 2.0] * 10), pa.array([1.0, 3.0] * 10), pa.array(["x", "y"] * 10)]
        pq.write_table(pa.Table.from_arrays(columns, ["size", second_name, "label"]), path)
    message = r"column 'size' occurs twice \(whitespace around a name does not count\); rename one"
    for read in (lambda: config_inference.guess(path), lambda: table_file.read(path, ["size", "label"])):
        with pytest.raises((InputError, DataError), match=message):
            read()


def test_a_sample_with_two_columns_whose_names_differ_only_by_whitespace_is_rejected(
    tmp_path: Path, prepare: Prepare
) -> None:
    lines = [json.dumps({"size": size, "label": label}) for size, label in zip(SIZES, LABELS, strict=True)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    _, dataset = prepare(tmp_path / "a.jsonl")
    assert encoder(dataset).check({" size ": 1}, "row")["size"] == 1
    with pytest.raises(InputError, match="row: column 'size' occurs twice"):
        encoder(dataset).check({"size": 1, "size ": 2}, "row")
    with pytest.raises(InputError, match=f"row: column '{'A' * 60}' occurs twice"):  # long names are shortened
        encoder(dataset).check({"A" * 10**6: 1, "A" * 10**6 + " ": 2}, "row")


def test_a_row_as_json_text_has_a_maximum_length(tmp_path: Path, prepare: Prepare) -> None:
    lines = [json.dumps({"size": size, "label": label}) for size, label in zip(SIZES, LABELS, strict=True)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    _, dataset = prepare(tmp_path / "a.jsonl")
    longest = '{"size": 1}'.ljust(row_encoder.MAX_JSON_LENGTH)
    assert encoder(dataset).check(longest, "row")["size"] == 1
    with pytest.raises(InputError, match="row: must have at most 262144 characters, got 262145"):
        encoder(dataset).check(longest + " ", "row")


def test_decimals_below_one_have_no_group_separators(tmp_path: Path, prepare: Prepare) -> None:
    shares = [f'"0,{125 + 7 * k:03}"' for k in range(60)]
    shares[7] = "0.5"  # a single cell with the other decimal separator
    guess, dataset = prepare(table(tmp_path / "a.csv", rooms=["1", "2", "3"] * 20, share=shares, label=LABELS))
    assert guess.entry["reader"]["decimal"] == ","
    assert guess.entry["reader"]["missing"] == ["0.5"]
    assert encoder(dataset).check({"rooms": 1, "share": "0,125"}, "row")["share"] == 0.125


def test_numbers_are_described_with_the_decimal_sign_with_which_they_are_predicted(
    tmp_path: Path, prepare: Prepare, shell: Shell
) -> None:
    sizes = [f"{k},25" for k in range(60)]
    _, dataset = prepare(table(tmp_path / "a.csv", ";", rooms=["1", "2", "3"] * 20, size=sizes, label=LABELS))
    assert shell.run("describe", "own") == 0
    cells = re.findall(r"size (\S+)", shell.stdout)
    assert cells
    assert all(encoder(dataset).check({"rooms": 1, "size": cell}, "row")["size"] % 1 == 0.25 for cell in cells)


@pytest.mark.proves("`describe` counts the missing cells of each column of a table")
def test_missing_cells_are_counted_by_column_and_split(tmp_path: Path, shell: Shell, prepare: Prepare) -> None:
    towns = ["north", "south", "east"] * 20
    rooms = ["?" if k % 6 == 0 else cell for k, cell in enumerate(ROOMS)]
    empty = ["" if k % 4 == 0 else town for k, town in enumerate(towns)]
    prepare(table(tmp_path / "a.csv", rooms=rooms, town=empty, size=SIZES, label=LABELS))
    assert shell.run("describe", "own", "--json") == 0
    counts = json.loads(shell.stdout)["missing_cells"]
    assert {name: sum(split_counts) for name, split_counts in counts.items()} == {"rooms": 10, "town": 15}
    assert all(min(split_counts) > 0 for split_counts in counts.values())
    assert shell.run("describe", "own") == 0
    assert re.search(r"missing cells +train +test *\n", shell.stdout)
    assert re.search(rf"rooms +{counts['rooms'][0]} +{counts['rooms'][1]} *\n", shell.stdout)
    prepare(table(tmp_path / "complete.csv", rooms=ROOMS, town=towns, size=SIZES, label=LABELS))
    assert shell.run("describe", "own") == 0
    assert "no missing cells" in shell.stdout


@pytest.mark.proves("Before other columns draw the test split of a table again, `feedforward run` says so")
def test_other_columns_draw_the_test_split_again_which_run_says(tmp_path: Path, shell: Shell, prepare: Prepare) -> None:
    keys, towns = [f"{k}.5" for k in range(60)], ["north", "south", "east"] * 20
    path = table(tmp_path / "a.csv", key=keys, size=SIZES, rooms=ROOMS, town=towns, label=LABELS)
    guess, dataset = prepare(path)
    message = "own: `reader` lists or reads other columns than before, so the test split is drawn again"
    changes: list[tuple[dict[str, object], bool]] = [
        ({}, False),
        ({"numeric": ["rooms", "size", "key"]}, False),
        ({"shuffle_seed": 9, "missing": ["no such cell"]}, False),
        ({"numeric": ["key", "size"]}, True),
        ({"numeric": ["key", "size"], "categorical": ["town", "rooms"]}, True),
    ]
    for change, is_drawn_again in changes:
        paths.params().write_text(HEAD)
        entry = {**guess.entry, "reader": {**guess.entry["reader"], **change}}
        changed = config_inference.write(entry, "own", paths.params()).datasets["own"]
        assert shell.run("run") != 0  # the workspace has no stages, but the datasets are checked first
        assert (message in shell.stderr) == is_drawn_again
        test_keys = [{*reading.samples(each.reader, {"a.csv": path}, range(5))} for each in (dataset, changed)]
        key_sets = [{re.search(r"key (\S+?),", line)[1] for line in lines} for lines in test_keys]
        assert (key_sets[0] != key_sets[1]) == is_drawn_again
    with_test_file = changed.reader.model_copy(update={"test_file": "b.csv"})
    assert not drawn_again.is_drawn_again("own", changed.model_copy(update={"reader": with_test_file}))
    assert not drawn_again.is_drawn_again("never vectorized", changed)


def test_numbers_that_can_be_read_in_two_ways_and_ignored_symbols_are_reported(tmp_path: Path) -> None:
    sizes = [f"{1 + k % 9}.{100 + k}" for k in range(60)]
    prices = [f"{'$€'[k % 2]}{k % 7}.5" for k in range(60)]
    guess = config_inference.guess(table(tmp_path / "a.csv", ";", size=sizes, price=prices, label=LABELS))
    assert "column size: 1.100 is read as 1.1; if that is wrong, change `decimal`" in guess.reasons
    assert guess.columns[1].explanation.endswith("$, € ignored")


def test_categories_that_only_test_rows_have_are_reported(
    tmp_path: Path, prepare: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path / "a.csv", size=SIZES, town=["a", "b", "c"] * 20, label=LABELS)
    _, dataset = prepare(path)
    table(tmp_path / "test.csv", size=SIZES, town=["1"] * 40 + ["a"] * 20, label=LABELS)
    reader = dataset.reader.model_copy(update={"test_file": "test.csv"})
    reading.read(reader, {"a.csv": path, "test.csv": tmp_path / "test.csv"})
    assert "column 'town': 40 of 60 test rows have a category that no training row has, such as '1'" in caplog.text


@pytest.mark.proves("The remedy for numbers with another decimal sign than `decimal` keeps them as numbers")
@pytest.mark.parametrize("sign", [".", ","])
def test_error_for_another_decimal_sign_names_the_remedy(tmp_path: Path, prepare: Prepare, sign: str) -> None:
    other = {".": ",", ",": "."}[sign]
    columns = {"size": SIZES, "rooms": ROOMS, "label": LABELS}
    written = {name: [cell.replace(".", other) for cell in listed] for name, listed in columns.items()}
    _, dataset = prepare(table(tmp_path / "a.csv", ";", **written))
    reader = dataset.reader.model_copy(update={"decimal": sign})
    path = tmp_path / "a.csv"
    with pytest.raises(DataError, match=rf"""column 'size', line 3: .*; set `decimal: "{other}"` under `reader`"""):
        data_table.load(reader, path)
    expected = data_table.load(dataset.reader, path)
    assert expected.numbers["size"].tolist() == [float(cell) for cell in SIZES]
    table(path, ";", **{**written, "rooms": [f"1{sign}5" for _ in ROOMS]})
    for decimal in (sign, other):
        with pytest.raises(DataError, match="some numbers have a decimal point, others a decimal comma; use one"):
            data_table.load(dataset.reader.model_copy(update={"decimal": decimal}), path)


@pytest.mark.parametrize("word", ["unknown size", "n. d. "], ids=["not listed", "listed"])
def test_a_cell_that_is_a_word_does_not_change_the_remedy_for_another_decimal_sign(
    tmp_path: Path, prepare: Prepare, word: str
) -> None:
    sizes = [word if k == 50 else cell.replace(".", ",") for k, cell in enumerate(SIZES)]
    _, dataset = prepare(table(tmp_path / "a.csv", ";", size=SIZES, label=LABELS))
    reader = dataset.reader.model_copy(update={"missing": ("n. d.",)})
    whole = ["1,5", *(cell.partition(",")[0] for cell in sizes[1:])]
    for written in (sizes, whole):
        path = table(tmp_path / "b.csv", ";", size=written, label=LABELS)
        with pytest.raises(DataError, match='; set `decimal: ","` under `reader`'):
            data_table.load(reader, path)
        corrected = reader.model_copy(update={"decimal": ","})
        if word == "n. d. ":
            assert math.isnan(data_table.load(corrected, path).numbers["size"][50])
        else:
            with pytest.raises(DataError, match="line 52: not a number: 'unknown size'; add the spelling"):
                data_table.load(corrected, path)


def test_a_missing_value_that_is_listed_with_a_space_is_reported_with_a_remedy_that_works(
    tmp_path: Path, prepare: Prepare
) -> None:
    _, dataset = prepare(table(tmp_path / "a.csv", size=SIZES, label=LABELS))
    path = table(tmp_path / "b.csv", size=[*SIZES[:-1], "absent "], label=LABELS)
    listed = dataset.reader.model_copy(update={"missing": ("absent ",)})
    with pytest.raises(DataError, match="not a number: 'absent'; add the spelling"):
        data_table.load(listed, path)
    listed = dataset.reader.model_copy(update={"missing": ("absent",)})
    assert math.isnan(data_table.load(listed, path).numbers["size"][-1])


@pytest.mark.proves("`init` says how to use the other columns of a table with a column of texts")
def test_the_other_columns_of_a_table_with_texts_can_be_used_as_init_says(tmp_path: Path, prepare: Prepare) -> None:
    texts = [f"a long comment on the flat with the number {k}" for k in range(60)]
    columns = {"size": [cell.replace(".", ",") for cell in SIZES], "comment": texts, "label": LABELS}
    guess, _ = prepare(table(tmp_path / "a.csv", ";", **columns))
    assert guess.entry["reader"]["kind"] == "labeled_text"
    assert [column.role for column in guess.columns] == ["number", "text", "category"]
    advice = "left out: size. To use these columns instead, run init again on a copy of the file without column"
    assert f"the words of comment are the only features; {advice} comment" in guess.reasons
    del columns["comment"]
    guess, _ = prepare(table(tmp_path / "b.csv", ";", **columns))
    reader = guess.entry["reader"]
    assert (reader["kind"], reader["numeric"], reader["decimal"]) == ("table", ["size"], ",")
