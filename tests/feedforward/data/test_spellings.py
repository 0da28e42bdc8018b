"""One table in over forty CSV formats (separators, encodings …), in Parquet and in JSON gives equal output."""

import csv
import gzip
import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import own_tables
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import workspaces

from feedforward.config.schema import Params, load_params
from feedforward.core import paths
from feedforward.core.errors import InputError
from feedforward.data.readers import row_encoder, table
from feedforward.data.readers.columns import from_json
from feedforward.data.splits import Split

NAMES = ("size", "income", "town", "garden", "mood")


def rows() -> list[tuple[float | None, int, str, bool, str]]:
    """Return rows of a number that may be missing, a large number, a non-ASCII category, a boolean and a label."""
    towns = ("Köln", "Münster", "north")
    return [
        (
            None if k % 11 == 0 else round(k * 1.37 - 9.5, 2),
            10_000 + 97 * k * k % 7919,
            towns[k % 3],
            k % 4 < 2,
            "yn"[k % 2],
        )
        for k in range(60)
    ]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], tuple[Params, str]]]:
    """A function that runs init, fetch and vectorize on a file in a new workspace; returns params and dataset name."""
    counter = itertools.count()

    def run(path: Path, *targets: str) -> tuple[Params, str]:
        workspaces.create(tmp_path / f"workspace{next(counter)}", monkeypatch)
        own_tables.prepare(path, *targets)
        return load_params(), "own"

    return run


def contents() -> dict[str, Any]:
    """Return the features and labels of both splits as bytes, and the settings of the encoder."""
    folder = paths.vectorized("own")
    arrays = {
        f"{part}/{name}": np.asarray(array).tobytes()
        for part in ("train", "test")
        for name, array in Split.load(folder / part).arrays()
    }
    columns = json.loads((folder / "columns.json").read_bytes())
    return arrays | {"columns": {key: columns[key] for key in ("numeric", "categorical")}}


def csv_table(
    separator: str = ",",
    decimal: str = ".",
    encoding: str = "utf-8",
    missing: str = "",
    booleans: tuple[str, str] = ("True", "False"),
    quoting: int = csv.QUOTE_MINIMAL,
    header: Callable[[str], str] = str,
    group: str = "",
    line_end: str = "\n",
    padding: str = "",
    above: str = "",
    below: str = "",
    income: Callable[[str], str] = str,
) -> bytes:
    """Return the table as a CSV file in this format."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=line_end)
    writer.writerow([header(name) for name in NAMES])
    for size, amount, town, garden, mood in rows():
        digits = f"{amount:,}".replace(",", group) if group else str(amount)
        size_cell = missing if size is None else f"{size:.2f}".replace(".", decimal)
        writer.writerow(
            [f"{padding}{size_cell}", income(digits), f"{town}{padding}", booleans[not garden], f"{padding}{mood}"]
        )
    return f"{above}{text.getvalue()}{below}".encode(encoding)


QUOTED = csv.QUOTE_ALL
CSV_FORMATS: dict[str, bytes] = {
    "plain": csv_table(),
    **{f"separator {s!r}": csv_table(separator=s) for s in (";", "\t", "|")},
    **{f"decimal comma, {s!r}": csv_table(separator=s, decimal=",") for s in (";", "\t", "|", ",")},
    **{
        f"encoding {e}": csv_table(encoding=e)
        for e in ("utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
    },
    **{
        f"missing {m}": csv_table(missing=m)
        for m in ("?", "NA", "n/a", "NaN", "nan", "null", "-", "None", ".", "#N/A", " ")
    },
    **{f"booleans {t}": csv_table(booleans=t) for t in (("true", "false"), ("TRUE", "FALSE"))},
    "all quoted": csv_table(quoting=QUOTED),
    "all quoted, semicolon": csv_table(quoting=QUOTED, separator=";"),
    "Windows line endings": csv_table(line_end="\r\n"),
    "classic Mac line endings": csv_table(line_end="\r"),
    "spaces around cells": csv_table(padding=" "),
    "non-breaking spaces": csv_table(padding="\u00a0"),
    "spaces in the header": csv_table(header=lambda name: f" {name} "),
    "groups with commas": csv_table(group=","),
    "groups with points": csv_table(group=".", decimal=",", separator=";"),
    "groups with spaces": csv_table(group=" "),
    "groups with apostrophes": csv_table(group="'"),
    "groups with narrow spaces": csv_table(group="\u202f"),
    "dollars": csv_table(income=lambda cell: f"${cell}"),
    "euros": csv_table(income=lambda cell: f"{cell} €", encoding="cp1252"),
    "with decimals": csv_table(income=lambda cell: f"{cell}.00"),
    "with a plus": csv_table(income=lambda cell: f"+{cell}"),
    "exponents": csv_table(income=lambda cell: f"{float(cell):.4e}"),
    "a comment above": csv_table(above="# exported yesterday\n"),
    "a title above": csv_table(above="Houses\n\n"),
    "blank lines": csv_table(above="\n\n", below="\n\n"),
    "trailing separators": b"\n".join(line + b"," for line in csv_table().splitlines()),
    "Excel's line with the separator": csv_table(separator=";", above="sep=;\n"),
    "a repeated header": b"".join((lines := csv_table().splitlines(keepends=True))[:30] + lines[:1] + lines[30:]),
    "a total below": csv_table(below="Total,999,,,\n"),
    "gzip": gzip.compress(csv_table()),
}


def test_there_are_at_least_forty_csv_formats() -> None:
    assert len(CSV_FORMATS) >= 40


@pytest.mark.parametrize("csv_format", CSV_FORMATS)
def test_every_csv_format_gives_the_same_features_labels_split_and_encoder(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]], csv_format: str
) -> None:
    plain = tmp_path / "plain.csv"
    plain.write_bytes(CSV_FORMATS["plain"])
    prepare(plain)
    expected = contents()
    other = tmp_path / ("other.csv.gz" if csv_format == "gzip" else "other.csv")
    other.write_bytes(CSV_FORMATS[csv_format])
    prepare(other)
    assert contents() == expected


def test_parquet_and_json_lines_give_the_same_result(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]]
) -> None:
    plain = tmp_path / "plain.csv"
    plain.write_bytes(CSV_FORMATS["plain"])
    prepare(plain)
    expected = contents()
    columns = dict(zip(NAMES, map(list, zip(*rows(), strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "typed.parquet")
    prepare(tmp_path / "typed.parquet")
    assert contents() == expected
    (tmp_path / "lines.jsonl").write_text("\n".join(json.dumps(dict(zip(NAMES, row, strict=True))) for row in rows()))
    prepare(tmp_path / "lines.jsonl")
    assert contents() == expected


def test_cells_of_a_sample_may_have_the_format_of_the_training_file_and_unknown_categories_are_named(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]]
) -> None:
    path = tmp_path / "houses.csv"
    path.write_bytes(csv_table(separator=";", decimal=",", group="."))
    prepare(path)
    encoder = row_encoder.RowEncoder(from_json((paths.vectorized("own") / "columns.json").read_bytes()))
    sample = encoder.check({"size": 1234.5, "income": 10421, "town": "north", "garden": True}, "row")
    for cells in (
        {"size": "1.234,5", "income": "10.421", "town": " north ", "garden": "TRUE"},
        {" size": "1234,50", "income ": "10421 €", "town": "north\u00a0", "garden": "True"},
    ):
        assert encoder.check(cells, "row") == sample
    assert encoder.unknown(sample) == []
    assert encoder.unknown(encoder.check(cells | {"town": "nowhere"}, "row")) == ["town=nowhere"]
    exact = {"size": 30.125, "income": 30.5, "town": None, "garden": False}  # 30.125 is exact as float32
    sample = encoder.check(exact, "row")
    arrays = {
        name: np.array(value, np.float32 if name in ("size", "income") else None) for name, value in exact.items()
    }
    assert encoder.check(arrays, "row") == sample  # as from `mlflow models serve`
    assert encoder.check({name: array[()] for name, array in arrays.items()}, "row") == sample
    with pytest.raises(InputError, match="income: expected a number or text, got a list"):
        encoder.check(exact | {"income": np.arange(3)}, "row")
    with_long_town = encoder.check(cells | {"town": "x" * 5000}, "row")
    assert encoder.unknown(with_long_town) == [f"town={'x' * 40}…"]


@pytest.mark.proves(
    "A number to predict that can mean 1234 or 1.234 is refused, unless the training data separate thousands"
)
@pytest.mark.parametrize(
    ("decimal", "group", "meanings"), [(".", ",", "30512 or 30.512"), (",", ".", "30512 or 30,512")]
)
def test_a_cell_that_can_mean_two_numbers_is_refused_unless_the_training_column_separates_thousands(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]], decimal: str, group: str, meanings: str
) -> None:
    path, sample = tmp_path / "houses.csv", {"size": "1", "town": "north", "garden": "True"}
    encoders = {}
    for separated in ("", group):
        path.write_bytes(csv_table(separator=";", decimal=decimal, group=separated))
        prepare(path)
        encoders[separated] = row_encoder.RowEncoder(from_json((paths.vectorized("own") / "columns.json").read_bytes()))
    cell = f"30{group}512"
    negative = "-" + meanings.replace("or ", "or -")
    for wrong, expected in ((cell, meanings), (f"-{cell} €", negative), (f"({cell})", negative)):
        with pytest.raises(InputError, match=f"income: .* is ambiguous, .*; write {expected}$"):
            encoders[""].check({**sample, "income": wrong}, "row")
    for spelling, number in ((cell, 30512), (f"30{group}512{decimal}0", 30512), (f"1{group}030{group}512", 1030512)):
        assert encoders[group].check({**sample, "income": spelling}, "row")["income"] == number
        if spelling != cell:
            assert encoders[""].check({**sample, "income": spelling}, "row")["income"] == number
    for meaning in meanings.split(" or "):
        assert encoders[""].check({**sample, "income": meaning}, "row")
    with pytest.raises(InputError, match=r"size: .* is ambiguous"):  # another column of the same table
        encoders[group].check({**sample, "size": cell, "income": "1"}, "row")


@pytest.mark.proves(
    "Models of release 0.2, which do not record whether numbers separate thousands, read them as before"
)
def test_a_cell_that_can_mean_two_numbers_is_read_if_it_is_unknown_whether_the_training_column_separates_thousands(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]]
) -> None:
    path, sample = tmp_path / "houses.csv", {"size": "1", "income": "30,512", "town": "north", "garden": "True"}
    path.write_bytes(csv_table())
    prepare(path)
    file = paths.vectorized("own") / "columns.json"
    stored = json.loads(file.read_bytes())
    assert stored.pop("grouped") == []
    file.write_text(json.dumps(stored))
    older = row_encoder.RowEncoder(from_json(file.read_bytes()))
    assert older.check(sample, "row")["income"] == 30512
    assert json.loads(older.files()["columns.json"]) == stored


@pytest.mark.proves("A test file whose numbers have another decimal sign than the training file is reported")
def test_a_test_file_that_separates_thousands_unlike_the_training_file_is_reported(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]], caplog: pytest.LogCaptureFixture
) -> None:
    path, test_path = tmp_path / "houses.csv", tmp_path / "test.csv"
    path.write_text("size,mood\n" + "".join(f"{k}.{k % 8}1,{'yn'[k % 2]}\n" for k in range(40)))
    test_path.write_text("size,mood\n" + "".join(f'"{k},125",{"yn"[k % 2]}\n' for k in range(1, 9)))
    params, name = prepare(path)
    reader = params.datasets[name].reader.model_copy(update={"test_file": "test.csv"})
    table.read(reader, {"houses.csv": path, "test.csv": test_path})
    assert "column 'size': thousands are separated, unlike in the training rows; check `decimal`" in caplog.text
