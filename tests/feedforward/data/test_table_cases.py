"""Small tables, each with a typical problem: they are read, or refused in one line."""

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import examples
from hypothesis import example, given
from hypothesis import strategies as st
from shell import Shell

from feedforward.config.schema import Dataset, load_params
from feedforward.core import paths
from feedforward.core.errors import DataError, FeedforwardError, InputError
from feedforward.data import config_inference, preparation
from feedforward.data.config_inference import Guess
from feedforward.data.readers import encoders, reading, table_file
from feedforward.data.splits import Split

HEAD = "seeds: 2\nvariants: {original: {}, larger: {size: large}}\n"
ROOMS = [f"{11 + k * 37 % 19}.{k % 10}" for k in range(60)]
SIZES = [f"{(k * 53 % 41) / 7 - 2:.3f}" for k in range(60)]
LABELS = ["dear" if k % 3 else "cheap" for k in range(60)]

Prepare = Callable[..., tuple[Guess, Dataset]]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prepare]:
    """Run init, fetch, vectorize and validate on a file; return the guess and the dataset of params.yaml."""

    def run(path: Path, *targets: str) -> tuple[Guess, Dataset]:
        monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
        (tmp_path / "params.yaml").write_text(HEAD)
        guess = config_inference.guess(path, targets)
        config_inference.write(guess.entry, "own", tmp_path / "params.yaml")
        params = load_params(tmp_path / "params.yaml")
        preparation.fetch("own", params.datasets["own"], params)
        preparation.vectorize("own", params.datasets["own"])
        return guess, params.datasets["own"]

    return run


def table(path: Path, separator: str = ",", **columns: list[str]) -> Path:
    """Return a CSV file with these columns, without any quoting."""
    lines = [separator.join(columns), *map(separator.join, zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def encoder(dataset: Dataset) -> encoders.Encoder:
    """Return the encoder that is stored with the model."""
    return encoders.of_dataset(dataset.reader, paths.vectorized("own"), {})


def counts() -> dict[str, list[int]]:
    """Return the number of samples of each class, by split."""
    folder = paths.vectorized("own")
    return {part: np.bincount(np.asarray(Split.load(folder / part).labels)).tolist() for part in ("train", "test")}


# --- cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["", " ", "?", "-", "NA", "unbekannt", "#DIV/0!"])
def test_a_few_cells_without_a_number_are_missing(tmp_path: Path, prepare: Prepare, spelling: str) -> None:
    rooms = [spelling if k == 7 else room for k, room in enumerate(ROOMS)]
    guess, dataset = prepare(table(tmp_path / "houses.csv", rooms=rooms, size=SIZES, label=LABELS))
    assert guess.entry["reader"]["numeric"] == ["rooms", "size"]
    assert guess.entry["reader"].get("missing", []) == (["unbekannt"] if spelling == "unbekannt" else [])
    row = encoder(dataset).check({"rooms": spelling, "size": 1}, "row")
    assert encoder(dataset).encode([row])[0, 0] == 0.0


def test_columns_of_ids_are_left_out_and_reported(tmp_path: Path, prepare: Prepare) -> None:
    path = table(tmp_path / "iris.csv", Id=[str(k) for k in range(1, 61)], size=SIZES, Species=LABELS)
    guess, _ = prepare(path)
    assert guess.entry["reader"]["numeric"] == ["size"]
    assert any("column Id is left out" in reason for reason in guess.reasons)


def test_dates_are_left_out_unless_requested_as_numbers_of_days(tmp_path: Path, prepare: Prepare) -> None:
    days = [f"2024-{k % 12 + 1:02}-{k % 28 + 1:02}" for k in range(60)]
    path = table(tmp_path / "sales.csv", day=days, size=SIZES, label=LABELS)
    guess, _ = prepare(path)
    assert any("column day is left out: dates" in reason for reason in guess.reasons)
    guess.entry["reader"]["numeric"].append("day")
    (tmp_path / "params.yaml").write_text(HEAD)
    config_inference.write(guess.entry, "own", tmp_path / "params.yaml")
    dataset = load_params(tmp_path / "params.yaml").datasets["own"]
    preparation.vectorize("own", dataset)
    row = encoder(dataset).check({"size": 1, "day": "1970-01-02"}, "row")
    assert row["day"] == 1.0


def test_leading_zeros_are_kept(tmp_path: Path, prepare: Prepare) -> None:
    path = table(tmp_path / "a.csv", zip=["01067", "10115", "02708"] * 20, size=SIZES, label=LABELS)
    guess, dataset = prepare(path)
    assert guess.entry["reader"]["categorical"] == ["zip"]
    assert encoder(dataset).check({"zip": "01067", "size": 1}, "row")["zip"] == "01067"


def test_a_file_without_a_header_has_numbered_columns(tmp_path: Path, prepare: Prepare) -> None:
    lines = [",".join(row) for row in zip(ROOMS, SIZES, LABELS, strict=True)]
    (tmp_path / "iris.csv").write_text("\n".join(lines))
    guess, _ = prepare(tmp_path / "iris.csv")
    assert guess.entry["reader"]["target"] == ["column_3"]
    assert guess.reasons[0].startswith("the first line looks like data")
    assert sum(counts()["train"]) + sum(counts()["test"]) == 60


@pytest.mark.proves("Two columns whose names differ only by blanks are refused")
@pytest.mark.parametrize("other", ["size", " size", "size\u00a0", "\ufeffsize"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_two_columns_whose_names_differ_only_by_blanks_are_rejected(tmp_path: Path, suffix: str, other: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        path.write_text(f'size,"{other}",label\n' + "1,2,x\n3,4,y\n" * 10)
    elif suffix == "jsonl":
        names = ["size", "label", other if other != "size" else "size "]  # in JSON, the last of two equal names counts
        rows = [dict(zip(names[: 2 + (k == 10)], (1, "x", 2), strict=False)) for k in range(11)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        columns = [pa.array([1.0, 2.0] * 10), pa.array([1.0, 3.0] * 10), pa.array(["x", "y"] * 10)]
        pq.write_table(pa.Table.from_arrays(columns, ["size", other, "label"]), path)
    message = r"column 'size' occurs twice \(blanks around a name do not count\); rename one"
    for read in (lambda: config_inference.guess(path), lambda: table_file.read(path, ["size", "label"])):
        with pytest.raises((InputError, DataError), match=message):
            read()


def test_a_sample_with_two_columns_whose_names_differ_only_by_blanks_is_rejected(
    tmp_path: Path, prepare: Prepare
) -> None:
    lines = [json.dumps({"size": size, "label": label}) for size, label in zip(SIZES, LABELS, strict=True)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    _, dataset = prepare(tmp_path / "a.jsonl")
    assert encoder(dataset).check({" size ": 1}, "row")["size"] == 1
    with pytest.raises(InputError, match="row: column 'size' occurs twice"):
        encoder(dataset).check({"size": 1, "size ": 2}, "row")


def test_empty_columns_without_a_name_are_ignored(tmp_path: Path, prepare: Prepare) -> None:
    texts = [f"win a free prize now and call this number today {k}" for k in range(60)]
    lines = [f"{label},{text},,," for label, text in zip(LABELS, texts, strict=True)]
    (tmp_path / "spam.csv").write_text("v1,v2,,,\n" + "\n".join(lines))
    guess, dataset = prepare(tmp_path / "spam.csv")
    assert "3 empty columns without a name are ignored" in guess.reasons
    assert (guess.entry["reader"]["text"], guess.entry["reader"]["label"]) == ("v2", "v1")
    assert getattr(encoder(dataset), "column", None) == "v2"


def test_decimals_below_one_have_no_group_separators(tmp_path: Path, prepare: Prepare) -> None:
    shares = [f'"0,{125 + 7 * k:03}"' for k in range(60)]
    shares[7] = "0.5"  # a single cell with the other sign
    guess, dataset = prepare(table(tmp_path / "a.csv", rooms=["1", "2", "3"] * 20, share=shares, label=LABELS))
    assert guess.entry["reader"]["decimal"] == ","
    assert guess.entry["reader"]["missing"] == ["0.5"]
    assert encoder(dataset).check({"rooms": 1, "share": "0,125"}, "row")["share"] == 0.125


def test_numbers_that_can_be_read_in_two_ways_are_reported(tmp_path: Path) -> None:
    sizes = [f"{1 + k % 9}.{100 + k}" for k in range(60)]
    prices = [f"{'$€'[k % 2]}{k % 7}.5" for k in range(60)]
    guess = config_inference.guess(table(tmp_path / "a.csv", ";", size=sizes, price=prices, label=LABELS))
    assert "column size: 1.100 is read as 1.1; if that is wrong, change `decimal`" in guess.reasons
    assert guess.columns[1].how.endswith("$, € ignored")


def test_backslashes_escape_quotes_only_if_the_file_says_so(tmp_path: Path, prepare: Prepare) -> None:
    folders = [f'"C:\\{"abc"[k % 3]}\\"' for k in range(60)]
    _, dataset = prepare(table(tmp_path / "a.csv", size=SIZES, folder=folders, label=LABELS))
    assert encoder(dataset).check({"size": 1, "folder": "C:\\a\\"}, "row")["folder"] == "C:\\a\\"
    quotes = [f'"so \\"{"abc"[k % 3]}\\", he said"' for k in range(60)]
    guess, dataset = prepare(table(tmp_path / "b.csv", size=SIZES, said=quotes, label=LABELS))
    assert guess.entry["reader"]["categorical"] == ["said"]
    row = encoder(dataset).check({"size": 1, "said": 'so "a", he said'}, "row")
    assert encoder(dataset).unknown(row) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"a,label\n" + b"1,2,x\n" * 20, "most rows have 3 cells, but the header has 2; add the missing"),
        ("a.csv", "town,label\nKöln,x\n".encode() * 20 + b"K\xf6ln,y\n", "is UTF-8 except for byte 0xf6 near position"),
        ("a.csv", b"a b label\n" + b"1 2 x\n" * 20, r"has a single column \(a b label\)"),
        ("a.jsonl", b'[{"a": 1},\n{"a": 2}]', "is a JSON array; save one JSON object per line"),
    ],
)
def test_a_table_that_would_be_misread_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        config_inference.guess(tmp_path / name)
    assert str(caught.value).isprintable()


def test_test_categories_that_training_lacks_are_reported(
    tmp_path: Path, prepare: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path / "a.csv", size=SIZES, town=["a", "b", "c"] * 20, label=LABELS)
    _, dataset = prepare(path)
    table(tmp_path / "test.csv", size=SIZES, town=["1"] * 40 + ["a"] * 20, label=LABELS)
    reader = dataset.reader.model_copy(update={"test_file": "test.csv"})
    reading.read(reader, {"a.csv": path, "test.csv": tmp_path / "test.csv"})
    assert "column 'town': 40 of 60 test rows have a category that no training row has, such as '1'" in caplog.text


def test_error_for_a_row_longer_than_the_header_names_the_line(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", rooms=ROOMS, label=LABELS)
    content = (tmp_path / "a.csv").read_text().replace("\n", ",1,2\n", 3).replace(",1,2\n", "\n", 1)
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match="line 2 has 4 cells, but the header has 2"):
        config_inference.guess(tmp_path / "a.csv")


def test_parquet_types_are_read(tmp_path: Path, prepare: Prepare) -> None:
    columns = {
        "price": pa.array([float(size) for size in SIZES]).cast(pa.decimal128(12, 3)),
        "rooms": [float(room) for room in ROOMS],
        "delay": [datetime.timedelta(seconds=k % 5) for k in range(60)],
        "stay": [{"from": datetime.date(2024, 1, 1 + k % 3)} for k in range(60)],
        "id": [2**60 + 7 * (k * 37 % 60) for k in range(60)],
        "label": [float(label == "dear") for label in LABELS],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    guess, dataset = prepare(tmp_path / "a.parquet")
    assert guess.entry["reader"]["numeric"] == ["price", "rooms"]
    assert guess.entry["reader"]["categorical"] == ["delay", "stay"]
    assert dataset.labels == ("0", "1")
    guess, dataset = prepare(tmp_path / "a.parquet", "price")
    assert dataset.task == "regression"


# --- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yes", "no", "classes"),
    [
        (("True", "TRUE"), ("False",), ("false", "true")),
        (("1.00", "1", "1 "), ("0", "0.0"), ("0", "1")),
        (("+1", "1.0"), ("-1",), ("-1", "1")),
        (("01",), ("02",), ("01", "02")),
        (("12:30",), ("?a: b",), ("12:30", "?a: b")),
        (("no",), ("~",), ("no", "~")),
        (("C:N", "C:N "), ("married?",), ("C:N", "married?")),
        (("1e3",), ("#x",), ("#x", "1e3")),
        (("- a",), ("{b}",), ("- a", "{b}")),
    ],
)
def test_different_spellings_of_a_label_are_one_class(
    tmp_path: Path, prepare: Prepare, yes: tuple[str, ...], no: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    labels = [(yes if k % 3 else no)[k % len(yes if k % 3 else no)] for k in range(60)]
    _, dataset = prepare(table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=labels))
    assert dataset.labels == classes
    assert all(min(part) > 0 and len(part) == 2 for part in counts().values())


def test_rows_without_a_label_are_counted_and_left_out(
    tmp_path: Path, prepare: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    labels = ["" if k % 10 == 0 else label for k, label in enumerate(LABELS)]
    guess, dataset = prepare(table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=labels))
    assert "6 rows have no label and are left out" in guess.reasons
    assert "6 of 60 rows have no label and are left out" in caplog.text
    assert dataset.labels == ("cheap", "dear")
    assert sum(map(sum, counts().values())) == 54


@pytest.mark.proves("A test split contains every class, even a rare one")
def test_a_rare_class_is_in_both_splits_and_reported(tmp_path: Path, prepare: Prepare) -> None:
    labels = ["rare" if k in (3, 30) else "usual" for k in range(60)]
    guess, _ = prepare(table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=labels))
    assert any(reason.startswith("few rows: rare (2)") for reason in guess.reasons)
    assert [part[0] for part in counts().values()] == [1, 1]


def test_a_class_with_one_row_is_left_out_and_reported(tmp_path: Path, prepare: Prepare) -> None:
    labels = ["lonely" if k == 3 else label for k, label in enumerate(LABELS)]
    guess, dataset = prepare(table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=labels))
    assert dataset.labels == ("cheap", "dear")
    assert any("1 classes with a single row are left out" in reason for reason in guess.reasons)
    two = table(tmp_path / "b.csv", rooms=ROOMS, label=["lonely" if k == 3 else "usual" for k in range(60)])
    with pytest.raises(InputError, match="expected 2 to 50 classes"):
        config_inference.guess(two)


def test_test_rows_stay_in_the_test_split_when_the_table_grows(tmp_path: Path, prepare: Prepare) -> None:
    path = table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=LABELS)

    def digests(part: str) -> set[str]:
        rows = pq.read_table(paths.vectorized("own") / "profile.parquet").to_pylist()
        return {row["digest"] for row in rows if row["split"] == part}

    prepare(path)
    before = {part: digests(part) for part in ("train", "test")}
    path.write_text(path.read_text() + "".join(f"{k / 3},{k / 7},dear\n" for k in range(200)))
    for file in paths.raw("own").iterdir():
        file.unlink()
    prepare(path)
    assert all(before[part] <= digests(part) for part in before)


def test_init_asks_for_a_target_if_the_last_column_cannot_be_predicted(tmp_path: Path) -> None:
    names = [f"car {k}" for k in range(60)]
    path = table(tmp_path / "a.csv", mpg=ROOMS, origin=LABELS, name=names)
    with pytest.raises(InputError, match=r"name, cannot be predicted .*--target, for instance mpg, origin"):
        config_inference.guess(path)


# --- other files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nosuch.csv", "no such file"),
        ("https:/example.org/x.csv", "download it first"),
        ("x.zip", "unpack it"),
        ("x.xlsx", "save the sheet as CSV"),
        ("two", "contains tables"),
    ],
)
def test_init_names_files_that_it_cannot_read(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "two").mkdir()
    for file in ("x.zip", "x.xlsx", "two/train.csv", "two/test.csv"):
        (tmp_path / file).write_text("a,b\n")
    with pytest.raises(InputError, match=message) as caught:
        config_inference.guess(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["REVIEWS.JSONL", "bom.jsonl", "reviews.jsonl.gz"])
def test_json_lines_with_any_file_name_and_missing_values_are_read(tmp_path: Path, prepare: Prepare, name: str) -> None:
    import gzip

    entries: list[dict[str, Any]] = [
        {"text": f"the soup was cold and the waiter slow {k}", "label": (1, 1.0, "1")[k % 3] if k % 2 else 0}
        for k in range(60)
    ]
    entries[4]["text"] = None
    del entries[5]["label"]
    content = "\n".join(map(json.dumps, entries)).encode("utf-8-sig" if name.startswith("bom") else "utf-8")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    guess, dataset = prepare(tmp_path / name)
    assert guess.entry["reader"]["kind"] == "labeled_text"
    assert dataset.labels == ("0", "1")
    assert sum(map(sum, counts().values())) == 59
    assert "null" not in (paths.vectorized("own") / "vocabulary.txt").read_text().split()


def test_init_prints_each_column_with_its_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").write_text(HEAD)
    path = table(
        tmp_path / "a.csv", id=[str(k) for k in range(60)], size=SIZES, town=["a", "b", "c"] * 20, label=LABELS
    )
    assert shell.run("init", str(path)) == 0
    lines = [" ".join(line.split()) for line in shell.stdout.splitlines()]
    assert any(line.startswith("id id, left out whole numbers that differ in every row") for line in lines)
    assert any(line.startswith("size number numbers from -2 to") for line in lines)
    assert any(line.startswith("town category 3 categories a · b · c") for line in lines)
    assert any(line.startswith("label label 2 categories") for line in lines)


# --- any table -----------------------------------------------------------------------------------

WORDS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
CELLS = st.one_of(
    WORDS,
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.sampled_from(["", "?", "NA", "True", "no", "01", "1,234", "1.5e3", "2024-01-02", "~", "a: b"]),
)


@st.composite
def columns_of_any_kind(draw: st.DrawFn) -> dict[str, list[str]]:
    """Draw two to five columns, each with one to six distinct cells or with arbitrary cells."""
    rows = draw(st.integers(1, 40))
    names = draw(st.lists(WORDS, min_size=2, max_size=5))
    return {
        name: [cells[k] for k in draw(st.lists(st.integers(0, len(cells) - 1), min_size=rows, max_size=rows))]
        for name in names
        if (cells := draw(st.lists(CELLS, min_size=1, max_size=6 if draw(st.booleans()) else 40)))
    }


@examples(30)
@given(columns_of_any_kind(), st.sampled_from([",", ";", "\t"]))
@example({"size": [f"{k}" for k in range(12)], "price": [f"{k}.5e154" for k in range(12)]}, ",")
def test_a_table_that_init_accepts_can_be_prepared_and_predicted(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, list[str]], separator: str
) -> None:
    import csv

    folder = tmp_path_factory.mktemp("any")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEEDFORWARD_ROOT", str(folder))
        (folder / "params.yaml").write_text(HEAD)
        message = ""
        try:
            guess = config_inference.guess(folder / "a.csv")
            config_inference.write(guess.entry, "own", folder / "params.yaml")
        except FeedforwardError as error:
            message = str(error)
        if message:
            assert message.isprintable()
            return
        params = load_params(folder / "params.yaml")
        dataset = params.datasets["own"]
        preparation.fetch("own", dataset, params)
        preparation.vectorize("own", dataset)
        train = Split.load(paths.vectorized("own") / "train")
        assert np.isfinite(np.asarray(train.features if dataset.reader.kind == "table" else train.labels)).all()
        if dataset.reader.kind == "table":
            encoded_by = encoder(dataset)
            cells = table_file.read(folder / "a.csv").columns
            encoded_by.encode([encoded_by.check({name: column[0].as_py() for name, column in cells.items()}, "row")])
