"""One table in forty CSV formats (separators, encodings, number formats …) gives the same bytes in each output."""

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
from feedforward.data.readers import row_encoder
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
    """Run init, fetch and vectorize on a file in a separate workspace; return the params and the name."""
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


def spelled(
    separator: str = ",",
    decimal: str = ".",
    encoding: str = "utf-8",
    missing: str = "",
    truth: tuple[str, str] = ("True", "False"),
    quoting: int = csv.QUOTE_MINIMAL,
    header: Callable[[str], str] = str,
    group: str = "",
    end: str = "\n",
    pad: str = "",
    before: str = "",
    after: str = "",
    income: Callable[[str], str] = str,
) -> bytes:
    """Return the table as a CSV file in this format."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerow([header(name) for name in NAMES])
    for size, number, town, garden, mood in rows():
        grouped = f"{number:,}".replace(",", group) if group else str(number)
        first = missing if size is None else f"{size:.2f}".replace(".", decimal)
        writer.writerow([f"{pad}{first}", income(grouped), f"{town}{pad}", truth[not garden], f"{pad}{mood}"])
    return f"{before}{text.getvalue()}{after}".encode(encoding)


QUOTED = csv.QUOTE_ALL
SPELLINGS: dict[str, bytes] = {
    "plain": spelled(),
    **{f"separator {s!r}": spelled(separator=s) for s in (";", "\t", "|")},
    **{f"decimal comma, {s!r}": spelled(separator=s, decimal=",") for s in (";", "\t", "|", ",")},
    **{
        f"encoding {e}": spelled(encoding=e)
        for e in ("utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
    },
    **{
        f"missing {m}": spelled(missing=m)
        for m in ("?", "NA", "n/a", "NaN", "nan", "null", "-", "None", ".", "#N/A", " ")
    },
    **{f"truth {t}": spelled(truth=t) for t in (("true", "false"), ("TRUE", "FALSE"))},
    "all quoted": spelled(quoting=QUOTED),
    "all quoted, semicolon": spelled(quoting=QUOTED, separator=";"),
    "Windows line ends": spelled(end="\r\n"),
    "old Mac line ends": spelled(end="\r"),
    "blanks around cells": spelled(pad=" "),
    "non-breaking blanks": spelled(pad="\u00a0"),
    "blanks in the header": spelled(header=lambda name: f" {name} "),
    "groups with commas": spelled(group=","),
    "groups with points": spelled(group=".", decimal=",", separator=";"),
    "groups with blanks": spelled(group=" "),
    "groups with apostrophes": spelled(group="'"),
    "groups with narrow blanks": spelled(group="\u202f"),
    "dollars": spelled(income=lambda cell: f"${cell}"),
    "euros": spelled(income=lambda cell: f"{cell} €", encoding="cp1252"),
    "with decimals": spelled(income=lambda cell: f"{cell}.00"),
    "with a plus": spelled(income=lambda cell: f"+{cell}"),
    "exponents": spelled(income=lambda cell: f"{float(cell):.4e}"),
    "a comment above": spelled(before="# exported yesterday\n"),
    "a title above": spelled(before="Houses\n\n"),
    "blank lines": spelled(before="\n\n", after="\n\n"),
    "trailing separators": b"\n".join(line + b"," for line in spelled().splitlines()),
    "Excel's line with the separator": spelled(separator=";", before="sep=;\n"),
    "a repeated header": b"".join((lines := spelled().splitlines(keepends=True))[:30] + lines[:1] + lines[30:]),
    "a total below": spelled(after="Total,999,,,\n"),
    "gzip": gzip.compress(spelled()),
}


def test_there_are_at_least_forty_csv_formats() -> None:
    assert len(SPELLINGS) >= 40


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_csv_format_gives_the_same_features_labels_split_and_encoder(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]], spelling: str
) -> None:
    plain = tmp_path / "plain.csv"
    plain.write_bytes(SPELLINGS["plain"])
    prepare(plain)
    expected = contents()
    other = tmp_path / ("other.csv.gz" if spelling == "gzip" else "other.csv")
    other.write_bytes(SPELLINGS[spelling])
    prepare(other)
    assert contents() == expected


def test_parquet_and_json_lines_give_the_same_result(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]]
) -> None:
    plain = tmp_path / "plain.csv"
    plain.write_bytes(SPELLINGS["plain"])
    prepare(plain)
    expected = contents()
    columns = dict(zip(NAMES, map(list, zip(*rows(), strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "typed.parquet")
    prepare(tmp_path / "typed.parquet")
    assert contents() == expected
    (tmp_path / "lines.jsonl").write_text("\n".join(json.dumps(dict(zip(NAMES, row, strict=True))) for row in rows()))
    prepare(tmp_path / "lines.jsonl")
    assert contents() == expected


def test_prediction_and_training_parse_cells_the_same(
    tmp_path: Path, prepare: Callable[[Path], tuple[Params, str]]
) -> None:
    path = tmp_path / "houses.csv"
    path.write_bytes(spelled(separator=";", decimal=",", group="."))
    prepare(path)
    encoder = row_encoder.RowEncoder(from_json((paths.vectorized("own") / "columns.json").read_bytes()))
    first = encoder.check({"size": 1234.5, "income": 10421, "town": "north", "garden": True}, "row")
    for cells in (
        {"size": "1.234,5", "income": "10.421", "town": " north ", "garden": "TRUE"},
        {" size": "1234,50", "income ": "10421 €", "town": "north\u00a0", "garden": "True"},
    ):
        assert encoder.check(cells, "row") == first
    assert encoder.unknown(first) == []
    assert encoder.unknown(encoder.check(cells | {"town": "nowhere"}, "row")) == ["town=nowhere"]
    long = encoder.check(cells | {"town": "x" * 5000}, "row")
    assert encoder.unknown(long) == [f"town={'x' * 40}…"]
