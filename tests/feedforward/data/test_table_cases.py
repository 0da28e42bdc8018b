"""Tables with unusual labels, files that are not tables, and generated tables: read, or refused in one line."""

import csv
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import workspaces
from fuzzing import examples
from hypothesis import example, given
from hypothesis import strategies as st
from own_tables import HEAD, LABELS, ROOMS, SIZES, Prepare, class_counts, encoder, initialize, table
from shell import Shell

from feedforward.core import paths
from feedforward.core.errors import DataError, FeedforwardError, InputError
from feedforward.data import config_inference, preparation
from feedforward.data.readers import reading, table_file
from feedforward.data.splits import Split

# --- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "classes"),
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
def test_unusual_labels_are_kept_and_different_spellings_of_one_are_one_class(
    tmp_path: Path, prepare: Prepare, first: tuple[str, ...], second: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    labels = [(first if k % 3 else second)[k % len(first if k % 3 else second)] for k in range(60)]
    _, dataset = prepare(table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=labels))
    assert dataset.labels == classes
    assert all(min(part) > 0 and len(part) == 2 for part in class_counts().values())


def test_rows_without_a_label_are_counted_and_left_out(
    tmp_path: Path, prepare: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    labels = ["" if k % 10 == 0 else label for k, label in enumerate(LABELS)]
    guess, dataset = prepare(table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=labels))
    assert "6 rows have no label and are left out" in guess.reasons
    assert "6 of 60 rows lack a label and are left out" in caplog.text
    assert dataset.labels == ("cheap", "dear")
    assert sum(map(sum, class_counts().values())) == 54


@pytest.mark.proves("A test split drawn at random has a sample of each class that has at least two")
def test_a_rare_class_is_in_both_splits_and_reported(tmp_path: Path, prepare: Prepare) -> None:
    labels = ["rare" if k in (3, 30) else "usual" for k in range(60)]
    guess, _ = prepare(table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=labels))
    assert any(reason.startswith("few rows: rare (2)") for reason in guess.reasons)
    assert [part[0] for part in class_counts().values()] == [1, 1]  # of `rare`, the first label


def test_a_class_with_one_row_is_left_out_and_reported(tmp_path: Path, prepare: Prepare) -> None:
    labels = ["lonely" if k == 3 else label for k, label in enumerate(LABELS)]
    guess, dataset = prepare(table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=labels))
    assert dataset.labels == ("cheap", "dear")
    assert sum(map(sum, class_counts().values())) == 59
    assert any(
        "left out (`excluded_classes`), because only one row has the class: lonely" in reason
        for reason in guess.reasons
    )
    one_class_left = table(tmp_path / "b.csv", rooms=ROOMS, label=["lonely" if k == 3 else "usual" for k in range(60)])
    with pytest.raises(InputError, match="expected 2 to 50 classes"):
        config_inference.guess(one_class_left)


def test_classes_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    labels = [f"c{k:02}" if k < 30 else label for k, label in enumerate(LABELS)]
    guess = config_inference.guess(table(tmp_path / "a.csv", rooms=ROOMS, label=labels))
    [reason] = [reason for reason in guess.reasons if "only one row has the class" in reason]
    assert reason.endswith("c17, c18, c19 and 10 more")


@pytest.mark.proves("`init` never makes cells of a feature missing in order to leave out a class")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["stars", "town"])
def test_a_class_with_one_row_is_left_out_but_stays_a_value_of_features(
    tmp_path: Path, prepare: Prepare, suffix: str, name: str
) -> None:
    rare, others = ("10", ["8", "10", "9", "7"]) if name == "stars" else ("Ulm", ["Bonn", "Ulm", "Köln", "Kiel"])
    columns = {
        "size": SIZES,
        name: [others[k * 7 % 4] for k in range(60)],
        "grade": [rare if k == 3 else (others[0], others[2])[k % 2] for k in range(60)],
    }
    path = table(tmp_path / "a.csv", **columns)
    if suffix == "parquet":
        path = tmp_path / "a.parquet"
        number_columns = {key: [int(cell) for cell in cells] for key, cells in columns.items() if cells[0].isdecimal()}
        pq.write_table(pa.table(columns | number_columns), path)
    guess, dataset = prepare(path)
    assert guess.entry["reader"]["excluded_classes"] == [rare]
    assert sum(map(sum, class_counts().values())) == 59
    row = {"size": 1, name: rare}
    assert encoder(dataset).check(row, "row")[name] == (10.0 if name == "stars" else rare)
    assert encoder(dataset).check({"size": 10, name: others[0]}, "row")["size"] == 10.0  # also a value that no row has


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_class_with_one_text_is_left_out(tmp_path: Path, prepare: Prepare, suffix: str) -> None:
    texts = [f"text {k} is about {['rivers', 'hills'][k % 2]} and, of course, the weather there" for k in range(60)]
    labels = ["lonely" if k == 3 else label for k, label in enumerate(LABELS)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        path = table(path, text=[f'"{text}"' for text in texts], label=labels)
    else:
        rows = ({"text": text, "label": label} for text, label in zip(texts, labels, strict=True))
        path.write_text("\n".join(map(json.dumps, rows)))
    guess, dataset = prepare(path)
    assert (guess.entry["reader"]["kind"], dataset.labels) == ("labeled_text", ("cheap", "dear"))
    assert sum(map(sum, class_counts().values())) == 59


@pytest.mark.proves("Classes that are the same value, or that no row can have, are refused")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("0", "1", "1.0")}, "reader.classes: '1' and '1.0' are the same value; remove one of them and"),
        ({"classes": ("0", "true", "True")}, "reader.classes: 'true' and 'True' are the same value; remove one"),
        ({"classes": ("0", "1", "n/a")}, "reader.classes: 'n/a' counts as a missing value, so no row has this class;"),
        ({"missing": ("1.0",)}, "reader.missing: '1.0' is the class '1'; remove it from `missing` or from `classes`"),
        ({"excluded_classes": ("9", "+1")}, "reader.excluded_classes: '+1' is the class '1'; remove it from"),
    ],
)
@pytest.mark.parametrize("kind", ["table", "labeled_text"])
def test_classes_must_differ_by_value(
    tmp_path: Path, prepare: Prepare, kind: str, changes: dict[str, tuple[str, ...]], message: str
) -> None:
    texts = [f"text {k} is about {['rivers', 'hills'][k % 2]} and the weather there" for k in range(60)]
    columns = {"text": texts} if kind == "labeled_text" else {"rooms": ROOMS}
    path = table(tmp_path / "a.csv", **columns, label=[str(k % 2) for k in range(60)])
    _, dataset = prepare(path)
    assert dataset.reader.kind == kind
    with pytest.raises(DataError, match=re.escape(message)):
        list(reading.read(dataset.reader.model_copy(update=changes), {"a.csv": path}).parts)


def test_a_cell_that_is_missing_in_one_column_and_a_value_in_another_is_reported(tmp_path: Path) -> None:
    rooms = ["other" if k == 7 else room for k, room in enumerate(ROOMS)]
    kinds = [["flat", "other", "villa"][k % 3] for k in range(60)]
    guess = config_inference.guess(table(tmp_path / "a.csv", rooms=rooms, kind=kinds, label=LABELS))
    assert "other counts as missing not only in column rooms, but also in column kind" in guess.reasons
    with pytest.raises(InputError, match=r"column rooms contains other among numbers, .* also a class of label"):
        config_inference.guess(table(tmp_path / "b.csv", rooms=rooms, size=SIZES, label=kinds))


@pytest.mark.parametrize("targets", [(), ("label_a", "label_b")])
def test_a_column_of_m_and_f_is_not_one_of_several_labels(tmp_path: Path, targets: tuple[str, ...]) -> None:
    sex = ["mf"[k % 2] for k in range(60)]
    path = table(tmp_path / "a.csv", size=SIZES, label_a=sex, label_b=["yes" if k % 3 else "no" for k in range(60)])
    if targets:
        with pytest.raises(
            InputError, match="each of several columns must contain 0 and 1, or yes and no, got 'm' in label_a"
        ):
            config_inference.guess(path, targets)
    else:
        assert config_inference.guess(path).entry["reader"]["target"] == ["label_b"]


def test_rows_stay_in_their_split_when_the_table_grows(tmp_path: Path, prepare: Prepare) -> None:
    path = table(tmp_path / "a.csv", rooms=ROOMS, size=SIZES, label=LABELS)

    def digests(split: str) -> set[str]:
        rows = pq.read_table(paths.vectorized("own") / "profile.parquet").to_pylist()
        return {row["digest"] for row in rows if row["split"] == split}

    prepare(path)
    before = {split: digests(split) for split in ("train", "test")}
    path.write_text(path.read_text() + "".join(f"{k / 3},{k / 7},dear\n" for k in range(200)))
    for file in paths.raw("own").iterdir():
        file.unlink()
    prepare(path)
    assert all(before[split] <= digests(split) for split in before)


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
        ("s3:/bucket/x.csv", "download it first"),
        ("C:/data/x.csv", "no such file"),
        ("two/b:/x.csv", "no such file"),
        ("two/https:/x.csv", "no such file"),
        ("x.zip", "unpack it"),
        ("x.xlsx", "save the sheet as CSV"),
        ("two", "contains tables"),
        ("hub", r"contains tables \(data/test-0.parquet, data/train-0.parquet\): run init on the training table"),
        ("old", r"contains tables \(train.csv, older/train.csv\): run init on the training table"),
        ("pictures", "a folder for each of at least two classes"),
    ],
)
def test_init_names_files_that_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    (tmp_path / "hub/.cache/huggingface").mkdir(parents=True)
    tables = ["two/train.csv", "two/test.csv", "hub/data/train-0.parquet", "hub/data/test-0.parquet"]
    tables += ["old/train.csv", "old/older/train.csv", "pictures/labels.csv"]
    others = ["x.zip", "x.xlsx", "hub/README.md", "hub/data/README.md", "old/docs/a.txt", "pictures/all/1.png"]
    for file in (*others, *tables):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("a,b\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        config_inference.guess(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.proves("`init` does not mistake the pictures in a Parquet file for texts")
def test_columns_of_bytes_are_left_out_unless_the_bytes_are_texts(tmp_path: Path, prepare: Prepare) -> None:
    pictures = [b"\x89PNG\r\n" + bytes([k]) for k in range(60)]
    records = [{"bytes": picture, "path": f"{k}.png"} for k, picture in enumerate(pictures)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": records, "label": LABELS}), path)
    with pytest.raises(
        InputError, match=r"a single column \(label\).* column image contains bytes, .*folder per class"
    ):
        config_inference.guess(path)
    columns = {"raw": pictures, "image": records, "town": [b"a", "ä".encode()] * 30, "size": list(map(float, SIZES))}
    columns |= {"album": [[record] for record in records], "flags": [{"is_binary": k % 2 == 0} for k in range(60)]}
    pq.write_table(pa.table(columns | {"label": LABELS}), path)
    guess, dataset = prepare(path)
    reader = guess.entry["reader"]
    assert (reader["numeric"], reader["categorical"]) == (["size"], ["town", "flags"])
    assert dataset.labels == ("cheap", "dear")
    assert [reason.split()[1] for reason in guess.reasons if "is left out" in reason] == ["raw", "image", "album"]
    with pytest.raises(DataError, match=r"a\.parquet: column image contains bytes, .* name another column in `reader`"):
        table_file.read(path, ["size", "image"])


@pytest.mark.proves("`init` writes classes as the reader of the dataset spells them")
@pytest.mark.parametrize("price", ["", "3,5;"], ids=["text and label", "a column of numbers"])
def test_labels_of_texts_may_have_a_decimal_comma(tmp_path: Path, prepare: Prepare, price: str) -> None:
    rows = [f"the soup was cold and the waiter slow {k};{price}{k % 3 + 1},0" for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join([f"text;{'price;' if price else ''}note", *rows]))
    guess, dataset = prepare(tmp_path / "a.csv")
    assert guess.entry["reader"]["kind"] == "labeled_text"
    assert "decimal" not in " ".join(guess.reasons)
    assert dataset.labels == ("1,0", "2,0", "3,0")
    assert sum(map(sum, class_counts().values())) == 60


@pytest.mark.parametrize("name", ["REVIEWS.JSONL", "bom.jsonl", "reviews.jsonl.gz"])
def test_json_lines_with_any_file_name_and_missing_values_are_read(tmp_path: Path, prepare: Prepare, name: str) -> None:

    entries: list[dict[str, Any]] = [
        {"text": f"the soup was cold and the waiter slow {k}", "label": (1, 1.0, "1")[k % 3] if k % 2 else 0}
        for k in range(60)
    ]
    entries[4]["text"] = None  # read as an empty text
    del entries[5]["label"]  # left out
    content = "\n".join(map(json.dumps, entries)).encode("utf-8-sig" if name.startswith("bom") else "utf-8")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    guess, dataset = prepare(tmp_path / name)
    assert guess.entry["reader"]["kind"] == "labeled_text"
    assert dataset.labels == ("0", "1")
    assert sum(map(sum, class_counts().values())) == 59
    # a missing text is not the text "null"
    assert "null" not in (paths.vectorized("own") / "vocabulary.txt").read_text().split()


def test_init_prints_each_column_with_its_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    workspaces.create(tmp_path, monkeypatch, HEAD)
    path = table(
        tmp_path / "a.csv", id=[str(k) for k in range(60)], size=SIZES, town=["a", "b", "c"] * 20, label=LABELS
    )
    assert shell.run("init", str(path)) == 0
    lines = [" ".join(line.split()) for line in shell.stdout.splitlines()]
    assert any(line.startswith("id id, left out whole numbers that differ in every row") for line in lines)
    assert any(line.startswith("size number numbers from -2 to") for line in lines)
    assert any(line.startswith("town category 3 categories a · b · c") for line in lines)
    assert any(line.startswith("label label 2 categories") for line in lines)


# --- arbitrary tables ----------------------------------------------------------------------------

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
    row_count = draw(st.integers(1, 40))
    names = draw(st.lists(WORDS, min_size=2, max_size=5))
    return {
        name: [cells[k] for k in draw(st.lists(st.integers(0, len(cells) - 1), min_size=row_count, max_size=row_count))]
        for name in names
        if (cells := draw(st.lists(CELLS, min_size=1, max_size=6 if draw(st.booleans()) else 40)))
    }


@examples(30)
@given(columns_of_any_kind(), st.sampled_from([",", ";", "\t"]))
@example({"size": [f"{k}" for k in range(12)], "price": [f"{k}.5e154" for k in range(12)]}, ",")
def test_a_table_that_init_accepts_can_be_prepared_and_its_rows_encoded(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, list[str]], separator: str
) -> None:

    folder = tmp_path_factory.mktemp("any")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
    with workspaces.inside(folder):
        message = ""
        try:
            params = initialize(folder / "a.csv")[1]
        except FeedforwardError as error:
            message = str(error)
        if message:
            assert message.isprintable()
            return
        dataset = params.datasets["own"]
        preparation.fetch("own", dataset, params)
        preparation.vectorize("own", dataset)
        train = Split.load(paths.vectorized("own") / "train")
        assert np.isfinite(np.asarray(train.features if dataset.reader.kind == "table" else train.labels)).all()
        if dataset.reader.kind == "table":
            row_encoder = encoder(dataset)
            cells = table_file.read(folder / "a.csv").columns
            row_encoder.encode([row_encoder.check({name: column[0].as_py() for name, column in cells.items()}, "row")])
