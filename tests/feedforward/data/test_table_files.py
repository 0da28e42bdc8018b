"""Files of tables: headers, quotes, separators, rows that are left out, and the lines that messages name."""

import csv
import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_tables import LABELS, ROOMS, SIZES, Prepare, class_counts, encoder, table

from feedforward.core.errors import DataError, InputError
from feedforward.data import config_inference
from feedforward.data.readers import reading, table_file


def test_a_file_without_a_header_has_numbered_columns(tmp_path: Path, prepare: Prepare) -> None:
    lines = [",".join(row) for row in zip(ROOMS, SIZES, LABELS, strict=True)]
    (tmp_path / "iris.csv").write_text("\n".join(lines))
    guess, _ = prepare(tmp_path / "iris.csv")
    assert guess.entry["reader"]["target"] == ["column_3"]
    assert guess.reasons[0].startswith("there seems to be no header")
    assert sum(class_counts()["train"]) + sum(class_counts()["test"]) == 60


@pytest.mark.proves("A first line of names above columns of numbers is not read as a row")
def test_a_column_named_like_one_of_its_values_has_a_header(tmp_path: Path, prepare: Prepare) -> None:
    path = table(tmp_path / "a.csv", a=ROOMS, b=["?", *SIZES[1:]], y=["x", "y", "z"] * 20)
    guess, dataset = prepare(path)
    assert guess.entry["reader"]["numeric"] == ["a", "b"]
    assert guess.entry["reader"]["target"] == ["y"]
    assert dataset.labels == ("x", "y", "z")
    assert sum(map(sum, class_counts().values())) == 60
    (tmp_path / "texts.csv").write_text("".join(f"a long text about {k},{'ny'[k % 2]}\n" for k in range(60)))
    assert table_file.read(tmp_path / "texts.csv").row_count == 60  # no column of numbers says that there are names


@pytest.mark.parametrize(("first", "is_header"), [("5,6,7", False), ("2021,2022,2023", True), ("0,1,2", True)])
def test_a_first_line_of_numbers_is_a_row_unless_they_are_years_or_positions(
    tmp_path: Path, first: str, is_header: bool
) -> None:
    rows = "".join(f"{k * 7 % 13 + 9},{k % 5},{k % 3}\n" for k in range(30))
    (tmp_path / "a.csv").write_text(f"{first}\n{rows}")
    read = table_file.read(tmp_path / "a.csv")
    assert read.row_count == (30 if is_header else 31)
    [note] = read.notes
    assert note.startswith("the first line has numbers" if is_header else "there seems to be no header")


@pytest.mark.proves("Years above columns of other numbers, beside a name, are the names of these columns")
@pytest.mark.parametrize(
    ("first", "is_header"),
    [
        ("country,2010,2020", True),
        ("country,2020,2010", True),
        ("country,1990,2020", True),
        ("AT,2010,2020", False),
        ("country,2010,2010", False),
        ("country,2010,20", False),
        ("1990,2010,2020", False),
    ],
)
@pytest.mark.parametrize("low", [3.5, 1980], ids=["shares", "years"])
def test_years_are_names_unless_the_cells_below_are_years_too(
    tmp_path: Path, first: str, is_header: bool, low: float
) -> None:
    rows = "".join(f"{('AT', 'DE', 'CH')[k % 3]},{low + k * 7 % 11},{low + k * 5 % 13}\n" for k in range(40))
    (tmp_path / "a.csv").write_text(f"{first}\n{rows}")
    read = table_file.read(tmp_path / "a.csv")
    is_header &= low < 1000
    assert read.row_count == (40 if is_header else 41)
    assert list(read.columns) == (first.split(",") if is_header else ["column_1", "column_2", "column_3"])
    assert read.notes[0].startswith("the first line has numbers" if is_header else "there seems to be no header")


ROWS_OF_SALES = [f"{room},{('Köln', 'Zürich')[k % 2]},{k % 7:03},{LABELS[k]}" for k, room in enumerate(ROOMS)]
TITLES = {
    "title": ["Sales 2024,,,"],
    "title and empty line": ["Sales 2024,,,", ",,,"],
    "year": ["2024,,,"],
    "title, note and date": ["Sales,,,", "Northern region,,,", ",,printed:,2024-05-01"],
    "group names": ["Measures,,Place,"],
    "title and group names": ["Sales 2024,,,", "Measures,,Place,"],
    "title without separators": ["Sales 2024", "Measures,,Place,"],
}


@pytest.mark.proves("A title that Excel pads to the width of the table is not read as the names of the columns")
@pytest.mark.parametrize("name", TITLES)
def test_titles_and_group_names_above_the_header_are_skipped(tmp_path: Path, prepare: Prepare, name: str) -> None:
    (tmp_path / "a.csv").write_text("\n".join([*TITLES[name], "size,city,code,y", *ROWS_OF_SALES]))
    guess, dataset = prepare(tmp_path / "a.csv")
    skipped_count = sum(bool(line.strip(",")) for line in TITLES[name])
    assert f"lines above the table that are skipped: {skipped_count}" in guess.reasons
    assert guess.entry["reader"]["target"] == ["y"]
    assert list(table_file.read(tmp_path / "a.csv").columns) == ["size", "city", "code", "y"]
    assert dataset.labels == ("cheap", "dear")
    assert sum(map(sum, class_counts().values())) == 60


@pytest.mark.parametrize(
    "lines",
    [
        ["size,,,", *ROWS_OF_SALES],
        ["x,,,", *(f"{'ab'[k % 2]},{'cd'[k % 3 % 2]},{'ef'[k // 5 % 2]},{LABELS[k]}" for k in range(60))],
        [",value", *(f"{'abcde'[k % 5]},{k}" for k in range(60))],
        [",value", *(f"place {k},text {k}" for k in range(60))],
        [",,value", *(f"place {k},street {k},text {k}" for k in range(60))],
        ["v1,,,,v5", *(",".join(f"{column}{k}" for column in "abcde") for k in range(60))],
        ["v1,v2,,,", *(f"{label},see you at {k},,," for k, label in enumerate(LABELS)), "a,b,c,d,e"],
        ["a,b,c,d,e,f", *(f"{k},,,,,{k % 2}" for k in range(60))],
    ],
    ids=[
        "numbers",
        "categories",
        "series",
        "series of texts",
        "two indices",
        "first and last",
        "empty columns",
        "sparse",
    ],
)
def test_a_header_with_few_names_is_not_taken_for_a_title(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "a.csv").write_text("\n".join(lines))
    read = table_file.read(tmp_path / "a.csv")
    assert read.row_count == len(lines) - 1
    first = lines[0].split(",")
    assert list(read.columns) == [name or f"column_{k}" for k, name in enumerate(first, 1)]


def test_columns_that_an_earlier_release_named_after_a_title_are_still_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["Sales 2024,,,", "size,city,code,y", *ROWS_OF_SALES]))
    assert table_file.read(tmp_path / "a.csv", ["Sales 2024", "column_4"]).row_count == 61
    assert table_file.read(tmp_path / "a.csv", ["code", "y"]).row_count == 60


def test_empty_columns_without_a_name_are_ignored(tmp_path: Path, prepare: Prepare) -> None:
    texts = [f"win a free prize now and call this number today {k}" for k in range(60)]
    lines = [f"{label},{text},,," for label, text in zip(LABELS, texts, strict=True)]
    (tmp_path / "spam.csv").write_text("v1,v2,,,\n" + "\n".join(lines))
    guess, dataset = prepare(tmp_path / "spam.csv")
    assert "empty columns without a name that are ignored: 3" in guess.reasons
    assert (guess.entry["reader"]["text"], guess.entry["reader"]["label"]) == ("v2", "v1")
    assert getattr(encoder(dataset), "column", None) == "v2"


@pytest.mark.proves("No row of a large CSV file is lost")
def test_all_rows_of_a_large_table_are_read_with_their_lines(tmp_path: Path) -> None:
    count = 2 * table_file.BATCH + 9
    path = tmp_path / "a.csv"
    path.write_text("A title\n\nsize,label\n" + "".join(f"{k},{k % 2}\n" for k in range(count)))
    read = table_file.read(path)
    assert read.columns["size"].to_pylist() == [str(k) for k in range(count)]
    assert list(read.lines) == list(range(4, count + 4))


@pytest.mark.proves("No row of a table is lost because a text begins with a quotation mark")
@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("count", [300, 20_000], ids=["in the first lines", "far below"])
@pytest.mark.parametrize(
    "opened", ['"Gimme a few minutes', '"Gimme a few minutes" was how he started'], ids=["a quote", "a phrase"]
)
def test_a_quote_at_the_beginning_of_a_text_is_part_of_it(
    tmp_path: Path, separator: str, count: int, opened: str
) -> None:
    texts = [f"text number {k} of a collection, as a matter of fact{' indeed' * 10}" for k in range(count)]
    texts = [text.replace(separator, "") for text in texts]
    texts[-250], texts[-240], texts[-230] = opened, 'he "said" so"', '"all of it"'
    path = table(tmp_path / "sms.txt", separator, kind=["ham" if k % 3 else "spam" for k in range(count)], sms=texts)
    read = table_file.read(path)
    assert read.columns["sms"].to_pylist() == texts
    assert "quotes are part of the cells" in read.notes
    guess = config_inference.guess(path, ("kind",))
    assert guess.entry["reader"]["classes"] == ["ham", "spam"]


@pytest.mark.proves("No row of a table is lost because a text contains a backslash before a quotation mark")
@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("count", [200, 30_000], ids=["in the first lines", "far below"])
def test_a_backslash_before_a_quote_does_not_make_quotes_enclose_texts(
    tmp_path: Path, separator: str, count: int
) -> None:
    texts = [f"text number {k} of a collection{' indeed' * 10}" for k in range(count)]
    texts[10], texts[-100], texts[-90], texts[-50] = 'is \\" said', '"stray quote', 'a text with \\" in it', 'says "x"'
    path = table(tmp_path / "a.csv", separator, text=texts, label=["ab"[k % 2] for k in range(count)])
    read = table_file.read(path)
    assert read.columns["text"].to_pylist() == texts
    assert "quotes are part of the cells" in read.notes


INSIDE = {  # rows that have one of the other separators in each cell of a column
    "coordinates": ("coords", lambda k: f"{50 + k / 9:.3f}{{s}}{8 + k / 7:.3f}"),
    "lists": ("colors", lambda k: f"{'rgb'[k % 3]}{{s}}x"),
    "texts": ("text", lambda k: f"a{k}{{s}} b{{s}} c{{s}} d"),
}


@pytest.mark.proves("A table is divided at the separator that also divides its header")
@pytest.mark.parametrize("kind", INSIDE)
@pytest.mark.parametrize("inside", ["|", ";", "\t"])
@pytest.mark.parametrize("above", ["", "A title\n"], ids=["", "below a title"])
def test_a_separator_within_each_cell_of_a_column_does_not_divide_the_table(
    tmp_path: Path, kind: str, inside: str, above: str
) -> None:
    name, cell = INSIDE[kind]
    expected = [cell(k).format(s=inside) for k in range(60)]
    path = table(tmp_path / "a.csv", **{"size": SIZES, name: expected, "label": LABELS})
    path.write_text(above + path.read_text())
    read = table_file.read(path)
    assert list(read.columns) == ["size", name, "label"]
    assert read.columns[name].to_pylist() == expected


@pytest.mark.parametrize("title", ["", "Sales\n", "Sales, by day\n", "Sales, by day\nSource: shops, online\n"])
def test_decimal_commas_do_not_divide_a_table_at_commas(tmp_path: Path, title: str) -> None:
    path = table(tmp_path / "a.csv", ";", size=[size.replace(".", ",") for size in SIZES], label=LABELS)
    path.write_text(title + path.read_text())
    assert list(table_file.read(path).columns) == ["size", "label"]


QUOTED = {  # the header, if any; together with its rows in ROW, nearly every line has the same number of separators
    "names": ("last{s}first", "score"), "places": None, "lists": ("tags", "a{s}b"), "colors": ("r{s}g{s}b", "label"),
    "texts": ("kind", "text"), "long texts": ("text", "kind"), "phrases": ("text", "label"),
}  # fmt: skip
ROW = {
    "names": lambda k: (f"Smith {k}{{s}}John", k % 9),
    "places": lambda k: (f"40.{k}{{s}}-74.{k}", k % 4, "ab"[k % 2]),
    "lists": lambda k: ("x{s}y" if k % 3 else "y{s}z", k % 4),
    "colors": lambda k: (f"{k}{{s}}{k + 1}{{s}}{k + 2}", "ab"[k % 2]),
    "texts": lambda k: ("ab"[k % 2], f"good film {k}" + ("\nyes{s}no more" if k % 30 == 4 else "")),
    "long texts": lambda k: (f"good film {k}" + ("{s}really\nyes" if k % 30 == 4 else ""), "ab"[k % 2]),
    "phrases": lambda k: ('"So" what' if k == 50 else f"text {k}", "ab"[k % 2]),
}


@pytest.mark.proves("A CSV file as spreadsheets and Python write it is read back cell by cell")
@pytest.mark.parametrize("kind", [*QUOTED])
@pytest.mark.parametrize(("separator", "count"), [("\t", 200), (";", 200), ("|", 200), (",", 200), (",", 60_000)])
def test_quotes_that_enclose_cells_are_never_part_of_them(
    tmp_path: Path, kind: str, separator: str, count: int
) -> None:
    expected = [tuple(str(cell).format(s=separator) for cell in ROW[kind](k)) for k in range(count)]
    names = QUOTED[kind]
    header = [tuple(name.format(s=separator) for name in names)] if names else []
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(header + expected)
    read = table_file.read(tmp_path / "a.csv")
    assert list(zip(*(column.to_pylist() for column in read.columns.values()), strict=True)) == expected
    assert not header or tuple(read.columns) == header[0]
    assert "quotes are part of the cells" not in read.notes


def test_rows_on_several_lines_are_reported(tmp_path: Path) -> None:
    sizes = ['"1\n\n"' if k == 7 else '"2\n"' if k == 20 else str(k) for k in range(60)]
    guess = config_inference.guess(table(tmp_path / "a.csv", size=sizes, label=LABELS))
    assert "rows that span several lines, in quotes: 2 (the longest: lines 9 to 11)" in guess.reasons


def test_a_single_wrong_quote_does_not_change_how_quoted_cells_are_read(tmp_path: Path) -> None:
    said = [f'"so {k}"' for k in range(60)]
    doubled = ['"so ""1"""' if k == 3 else str(k) for k in range(60)]
    for cells_said in (said, doubled):
        cells_said[40] = '"so" it is'
        path = table(tmp_path / "a.csv", size=SIZES, said=cells_said, label=LABELS)
        with pytest.raises(DataError, match="line 42: quotes are not closed or not doubled"):
            table_file.read(path)


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


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("s", "Mars/Olympus"), pa.date32()])
def test_parquet_dates_that_python_cannot_represent_are_refused_in_one_line(tmp_path: Path, kind: pa.DataType) -> None:
    value = 2**60 if kind == pa.timestamp("us") else 10**7
    pq.write_table(pa.table({"day": pa.array([value] * 60, kind), "label": LABELS}), tmp_path / "a.parquet")
    with pytest.raises(
        InputError, match=r"column 'day' has a date or time zone that cannot be read .* leave the column"
    ):
        config_inference.guess(tmp_path / "a.parquet")


def test_rows_with_only_empty_cells_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('rooms,label\n1,x\n,\n\n2,y\n"",\n')
    assert table_file.read(path).row_count == 2
    assert table_file.read(path).notes == [
        "rows with only empty cells, which are skipped and not counted: 2 (the last: line 6)"
    ]


@pytest.mark.proves("Rows that are left out or incomplete are reported by `vectorize`, not only by `init`")
def test_rows_that_are_left_out_or_incomplete_are_logged_when_the_data_are_vectorized(
    tmp_path: Path, prepare: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path / "a.csv", company=[f"c{k % 5}" for k in range(60)], rooms=ROOMS, label=LABELS)
    path.write_text(f"{path.read_text()}#1 Oil,3\n,,\nc1,2\nTotal,7,dear\n")
    prepare(path)
    notes = ("comments, totals or repeated headers that are skipped: 2 (the last: line 65)", "(the last: line 63)")
    assert all(f"{path.name}" in caplog.text and note in caplog.text for note in notes)
    assert "rows with too few cells, whose absent cells count as missing: 1 (the last: line 64)" in caplog.text


def test_error_for_a_row_longer_than_the_header_names_the_line(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", rooms=ROOMS, label=LABELS)
    header, *rows = (tmp_path / "a.csv").read_text().splitlines()
    (tmp_path / "a.csv").write_text("\n".join([header, f"{rows[0]},1,2", f"{rows[1]},1,2", *rows[2:]]))
    with pytest.raises(InputError, match="line 2 has 4 cells, but the header has 2"):
        config_inference.guess(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("targets", "column", "message"),
    [
        (("label",), "rooms", "column 'rooms', line 8: not a number: 'many'"),
        (("label",), "label", "column 'label' must contain one of cheap, dear, got 'many' in line 8"),
        (("flat", "new"), "new", "column 'new' must contain 0 and 1, or yes and no, got 'many' in line 8"),
    ],
    ids=["number", "class", "multilabel"],
)
def test_error_for_a_cell_names_the_line_of_the_file(
    tmp_path: Path, prepare: Prepare, targets: tuple[str, ...], column: str, message: str
) -> None:
    flags = {"flat": [str(k % 2) for k in range(60)], "new": [str(k // 2 % 2) for k in range(60)]}
    columns = {"rooms": ROOMS, **(flags if targets != ("label",) else {"label": LABELS})}
    _, dataset = prepare(table(tmp_path / "a.csv", **columns), *targets)
    columns[column] = ["many" if k == 4 else cell for k, cell in enumerate(columns[column])]
    path = table(tmp_path / "b.csv", **columns)
    path.write_text(path.read_text().replace("\n", "\n\n", 2))  # blank lines 2 and 4
    with pytest.raises(DataError, match=message):
        reading.read(dataset.reader, {next(iter(dataset.files)): path})


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
    _, dataset = prepare(tmp_path / "a.parquet", "price")
    assert dataset.task == "regression"
