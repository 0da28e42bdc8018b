"""`feedforward init` on unusual tables and folders: a valid entry in params.yaml, or a message that says why not."""

import csv
import gzip
import os
from pathlib import Path

import own_data
import pytest
import small_data
import workspaces
from own_tables import HEAD, Prepare
from shell import Shell
from threads import at_once

from feedforward.config import yaml_reader
from feedforward.config.schema import load_params
from feedforward.core import paths
from feedforward.core.errors import DataError, InputError
from feedforward.data import config_inference, manifest, preparation, validation_split
from feedforward.data.config_inference import folders

NAMES = ("first\nname", "\x1b[31mred | <b>", "tar\r\nget")


def test_column_names_with_line_breaks_are_printed_on_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    workspaces.create(tmp_path, monkeypatch, HEAD)
    source = tmp_path / "odd.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        rows = [(k / 7, "x\ny" if k % 3 else "[/b]", "yes\nindeed" if k % 2 else "[no]") for k in range(40)]
        csv.writer(file).writerows([NAMES, *rows])
    assert shell.run("init", str(source)) == 0
    assert "\n  - the last column, tar get, is the target; choose another with --target\n" in shell.stdout
    assert shell.stdout.replace("\n", "").isprintable()
    lines = shell.stdout.splitlines()
    table_start = next(k for k, line in enumerate(lines) if line.startswith("column "))
    assert all(line.startswith(("datasets.odd", "  - ", "next: ")) for line in [*lines[:table_start], lines[-1]])
    assert len(lines[table_start:-1]) == 1 + len(NAMES)
    params = load_params()
    dataset = params.dataset("odd")
    assert dataset.labels == ("[no]", "yes indeed")
    assert dataset.reader.model_dump()["classes"] == ("[no]", "yes\nindeed")

    preparation.fetch("odd", dataset, params)
    preparation.vectorize("odd", dataset)
    assert shell.run("describe", "odd") == 0
    assert shell.stdout.replace("\n", "").isprintable()
    line = next(line for line in shell.stdout.splitlines() if line.startswith("yes indeed: "))
    assert r"\x1b[31mred | <b> " in line

    for arguments, message in (
        (("--name", "other", "--target", "a\nb"), r"--target: must be among first name, \x1b[31mred"),
        (("--name", "a\nb"), r"params.yaml: datasets.'a\nb'"),
    ):
        assert shell.run("init", str(source), *arguments) == 2
        assert message in shell.stderr
        assert len(shell.stderr.splitlines()) == 1
    (paths.raw("odd") / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="cannot be read as a table") as caught:
        preparation.vectorize("odd", dataset)
    assert str(caught.value).isprintable()


def test_concurrent_writes_to_params_keep_all_entries(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(HEAD)
    (tmp_path / "odd.csv").write_text("size,mood\n" + "".join(f"{k / 7},{'yn'[k % 2]}\n" for k in range(40)))
    entry = config_inference.guess(tmp_path / "odd.csv", ()).entry
    names = [f"odd{number}" for number in range(8)]
    at_once(lambda name: config_inference.write(entry, name, tmp_path / "params.yaml"), names)
    assert sorted(load_params(tmp_path / "params.yaml").datasets) == names


@pytest.mark.proves("`init` never writes a params.yaml that another command could not read")
@pytest.mark.parametrize(
    ("columns", "letters"),
    [(3, 2001), (501, 1), (6, 50_000)],
    ids=["names too long", "too many names", "names too long together"],
)
def test_a_table_with_too_many_or_too_long_names_does_not_change_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, letters: int
) -> None:
    monkeypatch.setattr(yaml_reader, "MAX_VALUES", 500)
    (tmp_path / "params.yaml").write_text(HEAD)
    names = [f"{'x' * letters}{k}" for k in range(columns)] + ["mood"]
    rows = [[*(str((k * 37 + j) % 19 / 7) for j in range(columns)), "yn"[k % 2]] for k in range(12)]
    (tmp_path / "wide.csv").write_text("\n".join(map(",".join, [names, *rows])))
    entry = config_inference.guess(tmp_path / "wide.csv", ()).entry
    with pytest.raises(InputError, match=r"the entry would be too large .*; in the data, shorten long names or leave"):
        config_inference.write(entry, "wide", tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == HEAD


def test_numbers_with_decimal_points_and_commas_in_one_column_are_reported(tmp_path: Path) -> None:
    rows = [f"{k % 11 / 4};{f'{k / 7:.2f}'.replace('.', '.,'[k % 2])};{'yn'[k % 2]}" for k in range(40)]
    (tmp_path / "mixed.csv").write_text("\n".join(["number;size;mood", *rows]))
    reasons = config_inference.guess(tmp_path / "mixed.csv", ("mood",)).reasons
    assert "column size is left out: some numbers have a decimal point, others a decimal comma; use " in str(reasons)


@pytest.mark.parametrize("datasets", ["", "datasets:\n  # first\n", "datasets: {}\n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_added_to_params_yaml_end_like_the_others(tmp_path: Path, newline: str, datasets: str) -> None:
    (tmp_path / "own.csv").write_text("size,label\n" + "1,a\n2,b\n" * 30)
    file, text = tmp_path / "params.yaml", f"# top\n{HEAD}{datasets}# end"
    file.write_bytes(text.replace("\n", newline).encode())
    config_inference.write(config_inference.guess(tmp_path / "own.csv").entry, "own", file)
    written = file.read_bytes().decode()
    assert written.count("\n") == written.count(newline)
    assert set(text.replace("datasets: {}\n", "").split("\n")) <= set(written.split(newline))
    assert load_params(file).datasets["own"].reader.kind == "table"


@pytest.mark.parametrize("name", ["x" * 200, "ä" * 110, "x" + "-" * 150])
def test_a_table_with_a_long_name_gets_a_valid_key(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.csv").write_text("size,label\n" + "1,a\n2,b\n" * 30)
    (tmp_path / "params.yaml").write_text(HEAD)
    guess = config_inference.guess(tmp_path / f"{name}.csv")
    params = config_inference.write(guess.entry, "own", tmp_path / "params.yaml")
    [key] = params.datasets["own"].files
    assert key.endswith(".csv")


def test_a_new_dataset_has_every_size_that_variants_name(tmp_path: Path) -> None:
    values = small_data.values()
    values["variants"]["deep"] = {"size": "deep"}
    for dataset, units in zip(values["datasets"].values(), ([8, 4, 2], [9, 9]), strict=False):
        dataset["network"]["sizes"]["deep"] = units
    file = small_data.write_params(tmp_path / "params.yaml", values)
    (tmp_path / "own.csv").write_text("size,label\n" + "1,a\n2,b\n" * 30)
    params = config_inference.write(config_inference.guess(tmp_path / "own.csv").entry, "own", file)
    sizes = params.datasets["own"].network.sizes
    assert sizes["deep"] == (8, 4, 2)  # that of the first dataset
    assert sizes.keys() >= {"base", "small", "large"}


def test_params_yaml_remains_a_symbolic_link_to_a_file_with_the_same_permissions(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(HEAD)
    (tmp_path / "real.yaml").chmod(0o640)
    (tmp_path / "params.yaml").symlink_to("real.yaml")
    (tmp_path / "odd.csv").write_text("size,mood\n" + "".join(f"{k / 7},{'yn'[k % 2]}\n" for k in range(40)))
    config_inference.write(config_inference.guess(tmp_path / "odd.csv").entry, "odd", tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").is_symlink()
    assert (tmp_path / "real.yaml").stat().st_mode & 0o777 == 0o640
    assert list(load_params(tmp_path / "real.yaml").datasets) == ["odd"]


def test_class_folders_that_cannot_be_used_are_left_out_and_reported(tmp_path: Path) -> None:
    def write(folder: str, count: int) -> None:
        (tmp_path / folder).mkdir(parents=True)
        for number in range(count):
            (tmp_path / folder / f"{number}.txt").write_text(f"{folder} number {number}")

    for folder, count in {"unsplit/a": 5, "unsplit/b": 5, "unsplit/c": 1, "unsplit/d": 0}.items():
        write(folder, count)
    guess = config_inference.guess(tmp_path / "unsplit")
    assert guess.entry["labels"] == ["a", "b"]
    assert "classes with a single file are left out: c" in guess.reasons
    assert "classes without texts are left out: d" in guess.reasons

    for folder in ("train/a", "train/b", "test/a", "test/b", "test/e"):
        write(f"split/{folder}", 1)
    guess = config_inference.guess(tmp_path / "split")
    assert guess.entry["labels"] == ["a", "b"]
    assert "classes of test without training samples are left out: e" in guess.reasons

    for folder in ("a", "b"):
        write(f"few/{folder}", 1)
    with pytest.raises(InputError, match="few: must contain at least two classes with at least two files each"):
        config_inference.guess(tmp_path / "few")


def write_texts(folder: Path, count: int = 5) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"{folder.name} number {number}".encode("ascii", "replace").decode())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (b"pos/caf\xe9.txt", "its name is not valid UTF-8"),
        (b"pos/deep\xe9/0.txt", "its name is not valid UTF-8"),
        (b"caf\xe9/0.txt", "its name is not valid UTF-8"),
        (b"pos/a\nb.txt", "its name contains a line break or NUL"),
        (b"a\nb/0.txt", "its name contains a line break or NUL"),
        (b"train-images-idx3-ubyte", None),  # init reads texts, so it ignores this file
        (b"pos/Icon\n", None),  # macOS's icon of a folder, and not a text
    ],
)
def test_names_that_cannot_be_stored_are_refused_unless_init_ignores_the_file(
    tmp_path: Path, name: bytes, problem: str | None
) -> None:
    for folder in ("neg", "pos"):
        write_texts(tmp_path / "set" / folder)
    file = tmp_path / "set" / os.fsdecode(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("one")
    (file.parent / "1.txt").write_text("two")
    if problem is None:
        assert config_inference.guess(tmp_path / "set").entry["labels"] == ["neg", "pos"]
        return
    with pytest.raises(InputError, match=f"{problem}; rename it, then run init again") as caught:
        config_inference.guess(tmp_path / "set")
    str(caught.value).encode()  # fails if the message contains bytes of the name that cannot be printed


def test_the_name_of_a_table_or_folder_must_be_valid_utf8(tmp_path: Path) -> None:
    table = tmp_path / os.fsdecode(b"caf\xe9.csv")
    table.write_text("a,label\n" + "1,x\n2,y\n" * 20)
    write_texts(tmp_path / os.fsdecode(b"s\xe9t") / "neg")
    write_texts(tmp_path / os.fsdecode(b"s\xe9t") / "pos")
    for path in (table, tmp_path / os.fsdecode(b"s\xe9t")):
        with pytest.raises(InputError, match="its name is not valid UTF-8; rename it, then run init again"):
            config_inference.guess(path)


def test_a_left_out_class_with_an_undecodable_name_is_reported_readably(tmp_path: Path) -> None:
    for folder in ("neg", "pos"):
        write_texts(tmp_path / "set" / folder)
    write_texts(tmp_path / "set" / os.fsdecode(b"caf\xe9"), count=1)
    [reason] = [line for line in config_inference.guess(tmp_path / "set").reasons if "single file" in line]
    assert b"caf" in reason.encode()  # fails if the reason contains a byte that cannot be printed


def test_idx_files_that_are_sorted_by_class_are_shuffled(tmp_path: Path, prepare: Prepare) -> None:
    _, dataset = prepare(own_data.idx_folder(tmp_path / "clothes", by_class=True))
    _, held_out = validation_split.hold_out(manifest.load_split("own", "train"), dataset)
    assert set(held_out.labels.tolist()) == {0, 1, 2}


@pytest.mark.proves("`init` refuses a file that is too large when unpacked")
def test_a_gzip_bomb_in_place_of_idx_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_BYTES", 1000)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").write_bytes(gzip.compress(bytes(1001)))
    with pytest.raises(InputError, match=r"ubyte\.gz: has more than 1000 bytes when unpacked"):
        config_inference.guess(tmp_path)
