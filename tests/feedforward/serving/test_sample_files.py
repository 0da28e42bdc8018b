"""Samples to predict, read from files: tables, lines of text or JSON, in all encodings."""

import bz2
import csv
import gzip
import io
import json
import lzma
import sys
from pathlib import Path

import networks
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feedforward.core.errors import InputError
from feedforward.data.readers import tokenizer
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.promotion.bundle import Description, Servable
from feedforward.serving import sample_files

NETWORK = networks.network([12, 1], ["sigmoid"])
MODEL = Servable(
    Description("notes", "Notes", ("sad", "glad"), "original", 0, 2, 90, "r", "f", "d", NETWORK.weights_digest()),
    TextEncoder(tokenizer.Vocabulary(("the", "a", "good", "bad", "film"), 12)),
    NETWORK,
    "0",
    0,
)


def test_texts_are_read_from_lines_columns_and_fields(tmp_path: Path) -> None:
    expected = ["a good film", "the bad\nfilm, really", "größe"]
    (tmp_path / "a.txt").write_text("a good film\n\nthe bad film, really\r\ngröße", encoding="utf-8")
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["id", "text"], *([k, text] for k, text in enumerate(expected))])
    lines = [
        json.dumps({"text": expected[0], "id": 1}),
        json.dumps(expected[1]),
        "",
        json.dumps({"text": expected[2]}),
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert [text.strip() for _, text in sample_files.from_table(tmp_path / "a.txt")] == [
        "a good film",
        "the bad film, really",
        "größe",
    ]
    assert [text for _, text in sample_files.from_table(tmp_path / "a.csv")] == expected
    assert [text for _, text in sample_files.from_table(tmp_path / "a.jsonl")] == expected
    assert next(sample_files.from_table(tmp_path / "a.txt"))[0] == f"{tmp_path / 'a.txt'} line 1"
    (tmp_path / "A.JSONL").write_bytes((tmp_path / "a.jsonl").read_bytes())
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    (tmp_path / "B.CSV.GZ").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    for name in ("A.JSONL", "b.jsonl.gz", "B.CSV.GZ"):
        assert [text for _, text in sample_files.from_table(tmp_path / name)] == expected
    (tmp_path / "utf16.txt").write_bytes((tmp_path / "a.txt").read_text("utf-8").encode("utf-16"))
    utf8, utf16 = (
        [text.rstrip() for _, text in sample_files.from_table(tmp_path / name)] for name in ("a.txt", "utf16.txt")
    )
    assert utf8 == utf16


ROWS = [("a b", "x"), ("c\nd", "y"), ("e", "z")]


@pytest.mark.proves("Predictions and messages name the line of the file, even after skipped lines")
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('text,id\na b,x\n"c\nd",y\ne,z\n', [2, 3, 5]),
        ('text,id\n\na b,x\n,\ntext,id\n"c\nd",y\n# a comment\n\ne,z\ntotal,3\n', [3, 6, 10]),
        ('sep=;\ntext;id\na b;x\n"c\nd";y\ne;z\n', [3, 4, 6]),
        ('text,id\r\n\r\na b,x\r\n"c\nd",y\r\ne,z\r\n', [3, 4, 6]),
        ('{"text": "a b", "id": "x"}\n\n{"text": "c\\nd", "id": "y"}\n{"text": "e", "id": "z"}\n', [1, 3, 4]),
    ],
    ids=["quoted newline", "skipped lines", "separator", "CRLF", "JSON lines"],
)
def test_rows_are_named_by_the_line_of_the_file(tmp_path: Path, content: str, lines: list[int]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode())
    names = [f"{path} line {line}" for line in lines]
    assert list(sample_files.from_table(path)) == list(zip(names, [text for text, _ in ROWS], strict=True))
    expected = [{"text": text, "id": number} for text, number in ROWS]
    assert list(sample_files.from_rows(path)) == list(zip(names, expected, strict=True))
    pq.write_table(pa.Table.from_pylist(expected), path)
    assert [name for name, _ in sample_files.from_rows(path)] == [f"{path} row {k}" for k in (1, 2, 3)]


@pytest.mark.proves("The first text of a file without a header is not taken for the name of the column")
@pytest.mark.parametrize("first_text", ["great wonderful lovely", "awful bad boring", "7", "größe"])
def test_the_first_text_of_a_column_without_a_name_is_not_lost(tmp_path: Path, first_text: str) -> None:
    texts = [first_text, "awful bad boring", "superb fine great"]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(texts), encoding="utf-8")
    if first_text == "7":  # looks like data, so it is not a name
        assert [text for _, text in sample_files.from_table(path)] == texts
        return
    with pytest.raises(InputError, match=rf"a\.csv: expected a column text or sample, got {first_text}; .* write text"):
        list(sample_files.from_table(path))
    for name, column in (("text", ""), ("sample", ""), ("review", "review"), ("text", "review")):
        path.write_text("\n".join([name, *texts]), encoding="utf-8")
        assert [text for _, text in sample_files.from_table(path, column)] == texts
    pq.write_table(pa.table({"any": texts}), tmp_path / "a.parquet")
    assert [text for _, text in sample_files.from_table(tmp_path / "a.parquet")] == texts


@pytest.mark.proves("A separator in each text of a file to predict does not hide the name of the column above them")
@pytest.mark.parametrize("name", ["body", "text", "sample"])
@pytest.mark.parametrize("inside", [";", "|", "\t", ","])
def test_a_separator_in_each_text_does_not_divide_a_single_column(tmp_path: Path, name: str, inside: str) -> None:
    texts = [f"Good{inside} nice", f"Bad{inside} awful", f"Fine{inside} 10{inside}10"]
    (tmp_path / "a.csv").write_text("\n".join([name, *texts]))
    assert [text for _, text in sample_files.from_table(tmp_path / "a.csv", "body")] == texts


def test_quotes_in_the_texts_of_a_single_column_may_be_escaped_with_backslashes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text\n"He said \\"no\\""\nfine\n')
    assert [text for _, text in sample_files.from_table(tmp_path / "a.csv")] == ['He said "no"', "fine"]


def test_names_of_columns_that_are_also_categories_are_a_header_for_a_model_with_these_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("y,color,size\ny,red,m\nn,blue,l\n")
    rows = [row for _, row in sample_files.from_rows(tmp_path / "a.csv", ["color", "size"])]
    assert rows == [{"y": "y", "color": "red", "size": "m"}, {"y": "n", "color": "blue", "size": "l"}]
    (tmp_path / "a.csv").write_text("red,m\nblue,l\n")
    assert len([*sample_files.from_rows(tmp_path / "a.csv", ["column_1", "column_2"])]) == 2


@pytest.mark.proves("JSON lines give the same predictions whatever the name of the file")
@pytest.mark.parametrize("grouped", [(), ("umsatz",)])
def test_json_numbers_beside_texts_are_read_with_the_decimal_sign_of_the_model(
    tmp_path: Path, grouped: tuple[str, ...]
) -> None:
    encoder = RowEncoder(Columns((("umsatz", 0.0, 1.0),), (("kind", ("2.5",)),), ",", (), grouped))
    rows = [{"umsatz": 2.142, "kind": 2.5}, {"umsatz": "n/a", "kind": "a"}, {"umsatz": "2,5", "kind": True}]
    expected = [encoder.check(row, "") for row in rows]
    for name in ("a.jsonl", "a.json", "a.txt", "a"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
        read = sample_files.from_rows(tmp_path / name, encoder.table_columns, encoder.measured.decimal)
        np.testing.assert_equal([encoder.check(row, "") for _, row in read], expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"id,score\n1,2\n", r"a\.csv: expected a column text or sample, got id, score"),
        ("a.csv", b"", "contains no rows|is empty"),
        ("a.csv", b'text\n"never closed', "line 2: quotes are not closed"),
        ("a.jsonl", b"{\n", r"a\.jsonl line 1: is not JSON"),
        ("a.jsonl", b'{"text": "x"}\n{"other": 1}\n', "line 2: expected a column text"),
        ("a.jsonl", b'{"text": "x", "text ": "y"}\n', "line 1: column 'text' occurs twice"),
        ("a.jsonl", b"[" * 100_000, "is not JSON"),
        ("a.jsonl", b'{"text": "x", "text": "y"}\n', "line 1: key 'text' occurs twice in an object"),
        ("a.jsonl", b'{"text": NaN}', "must be text, got a number"),
        ("a.csv", b"text\n\n...\n", "line 3: must contain at least one word"),
    ],
)
def test_a_table_without_readable_texts_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        list(sample_files.in_chunks(MODEL, sample_files.from_table(tmp_path / name)))
    assert "\n" not in str(caught.value)


@pytest.mark.proves("JSON lines to predict are read in the same encodings as JSON lines to train on")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_json_lines_in_any_encoding_are_read(tmp_path: Path, encoding: str, is_packed: bool) -> None:
    content = '{"town": "Zürich"}\n{"town": "Köln"}\n'.encode(encoding)
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(content) if is_packed else content)
    assert [row for _, row in sample_files.from_rows(path)] == [{"town": "Zürich"}, {"town": "Köln"}]
    assert [text for _, text in sample_files.from_table(path, "town")] == ["Zürich", "Köln"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"town": "Zürich"}\n'.encode() * 3 + b'{"town": "K\xf6ln"}\n', "is UTF-8 except for byte 0xf6"),
        (gzip.compress(b'{"town": "Ulm"}\n' * 99)[:-9], "cannot be read"),
        (b"\x1f\x8b" + b"x" * 99, "cannot be read"),
    ],
    ids=["encoding", "truncated", "not gzip"],
)
def test_damaged_json_lines_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        list(sample_files.from_rows(path))
    assert str(caught.value).isprintable()


def test_rows_are_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO('{"town": "Zürich"}\n'.encode())))
    assert list(sample_files.from_rows(Path("-"))) == [("- line 1", {"town": "Zürich"})]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"town": "Z\xfcrich"}\n')))
    with pytest.raises(InputError, match="-: cannot be read"):
        list(sample_files.from_rows(Path("-")))


def test_a_file_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_files, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="/dev/zero: must have at most 1000 bytes"):
        list(sample_files.from_files(["/dev/zero"]))
    with pytest.raises(InputError, match="/dev/zero: is not a text file"):
        list(sample_files.from_table(Path("/dev/zero")))


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_line_that_is_too_long_is_refused(tmp_path: Path, is_packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_files, "MAX_BYTES", 1000)
    path, content = tmp_path / "a.txt", b"good\rfilm\n" + b"x" * 1001
    path.write_bytes(gzip.compress(content) if is_packed else content)
    with pytest.raises(InputError, match=r"a\.txt line 3: must have at most 1000 bytes"):
        list(sample_files.from_table(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "-"])
def test_gzipped_texts_and_all_line_ends_are_read(
    tmp_path: Path, encoding: str, end: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = end.join(["a good film", "", "größe"]).encode(encoding)
    path = tmp_path / name if name != "-" else Path("-")
    if name != "a.txt":
        content = gzip.compress(content)
    if name == "-":
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))  # type: ignore[arg-type]
    else:
        path.write_bytes(content)
    expected = [(f"{path} line 1", "a good film"), (f"{path} line 3", "größe")]
    assert [(where, text.rstrip()) for where, text in sample_files.from_table(path)] == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK\x03\x04 spreadsheet", r"a\.xlsx: is not a text file; save it as \.txt"),
        ("a.png", b"\x89PNG\r\n\x1a\n picture", r"a\.png: is not a text file"),
        ("a.txt.bz2", bz2.compress(b"a good film"), r"a\.txt\.bz2: is not a text file"),
        ("a.txt.xz", lzma.compress(b"a good film"), r"a\.txt\.xz: is not a text file"),
        ("a.txt", b"a good film\n" * 300 + b"\0", r"a\.txt: is not a text file"),
        ("a.xlsx.gz", gzip.compress(b"PK\x03\x04 spreadsheet"), r"a\.xlsx\.gz: is not a text file"),
        ("a.txt.gz", gzip.compress(b"a good film\n" * 99)[:-9], r"a\.txt\.gz: cannot be read"),
        ("a.txt.gz", b"\x1f\x8b" + b"x" * 99, r"a\.txt\.gz: cannot be read"),
        ("a.JSON", b'{"text": "a good film"}', r"a\.JSON: must be JSON lines; .* in a \.jsonl file"),
        ("a.json.gz", gzip.compress(b'["a good film"]'), r"a\.json\.gz: must be JSON lines"),
    ],
    ids=["xlsx", "png", "bz2", "xz", "nul", "xlsx.gz", "truncated", "not gzip", "json", "json.gz"],
)
def test_a_file_without_texts_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        list(sample_files.from_table(tmp_path / name))
    assert str(caught.value).isprintable()


def test_a_closed_standard_input_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match=r"-: cannot be read \(standard input is closed\)"):
        list(sample_files.from_table(Path("-")))


def test_invalid_utf8_is_replaced_and_the_line_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\nsch\xf6n\n\xff\n")
    assert [text.strip() for _, text in sample_files.from_table(tmp_path / "a.txt")] == ["good", "schön", "ÿ"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.txt'} line 2: is not UTF-8 and is read as Windows-1252"
    ]


def test_error_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(sample_files.from_table(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="cannot be read"):
        list(sample_files.from_files([str(tmp_path)]))
