"""Class folders: `init` finds their suffixes, files that a dataset's settings leave out are named, photos are read."""

import json
from pathlib import Path

import own_tables
import pytest
import workspaces
import yaml
from PIL import Image
from shell import Shell

from feedforward.config.schema import Params, load_params
from feedforward.core import paths
from feedforward.data import class_folders, collected_files, config_inference, preparation
from feedforward.data.readers import image_decoding


def write(folder: Path, suffix: str, count: int, prefix: str = "") -> None:
    """Write `count` small pictures or texts into `folder`, with names such as `prefix0.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{prefix}{number}{suffix}"
        if suffix.lower() == ".txt":
            path.write_text(f"{path} is number {number}")
        else:
            Image.new("L", (6, 8), 20 * number).save(path)


def initialize(source: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Create and enter a workspace with the source as its only dataset `own`, as `init` adds it; return the params."""
    workspaces.create(source.parent, monkeypatch)
    return own_tables.initialize(source)[1]


def stored(key: str) -> list[str]:
    """The names of the files that were fetched from the source `key`."""
    return [name for names, _ in collected_files.read(paths.raw("own") / f"{key}.parquet") for name in names]


@pytest.mark.parametrize(("suffix", "other"), [(".png", ".JPG"), (".txt", ".TXT")])
def test_fetch_and_run_name_new_files_that_are_left_out_and_the_keys_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell, suffix: str, other: str
) -> None:
    source = tmp_path / "sh[a]pes"
    for name in ("dark", "light"):
        write(source / name, suffix, 12)
    params = initialize(source, monkeypatch)
    assert shell.run("fetch", "own") == 0
    assert "not read" not in shell.stderr
    [key] = params.datasets["own"].files

    write(source / "dark" / "new", suffix, 1)
    write(source / "light", other, 1, prefix="n")
    write(source / "dark" / ".hidden", suffix, 1)
    (source / "dark" / "Thumbs.db").touch()
    write(source / "unused", suffix, 2)  # was not a class when `init` ran, so it is one only if the labels name it
    entry = f"datasets.own.files.{key}"
    message = (
        f"{source}: its class folders contain files that are not read (2): dark/new/0{suffix}, light/n0{other}; to read"
        f" them, add dark/new to `{entry}.folders` and {other} to `{entry}.suffix`, then run `feedforward fetch own`\n"
    )
    assert shell.run("run") != 0  # the workspace has no stages, but the sources are checked first
    assert shell.stderr.startswith(message)
    assert shell.run("fetch", "own") == 0
    assert message in shell.stderr
    assert len(stored(key)) == 24

    settings = yaml.safe_load(paths.params().read_text())
    settings["datasets"]["own"]["files"][key]["folders"].append("dark/new")
    settings["datasets"]["own"]["files"][key]["suffix"].append(other)
    paths.params().write_text(yaml.safe_dump(settings))
    assert shell.run("fetch", "own") == 0
    assert "not read" not in shell.stderr
    assert {f"dark/new/0{suffix}", f"light/n0{other}"} < {*stored(key)}


def test_a_suffix_chosen_on_purpose_or_a_digest_leaves_files_out_without_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dark", "light"):
        write(tmp_path / "shapes" / name, ".txt", 3)
        write(tmp_path / "shapes" / name, ".txt", 3, prefix="review_")
    dataset = initialize(tmp_path / "shapes", monkeypatch).datasets["own"]
    assert class_folders.left_out("own", dataset) == []

    def with_settings(**settings: object) -> list[str]:
        file = dataset.files["shapes"].model_copy(update=settings)
        return class_folders.left_out("own", dataset.model_copy(update={"files": {"shapes": file}}))

    assert with_settings(suffix="w_1.txt") == []  # of only some file names, so it was chosen on purpose
    assert "add light to `datasets.own.files.shapes.folders`, then" in with_settings(folders=("dark",))[0]
    assert with_settings(folders=("dark",), sha256="0" * 64) == []  # with a digest, a source cannot change
    assert with_settings(folders=("dark",), urls=(str(tmp_path / "moved"),)) == []  # no source that could be listed


def test_a_message_lists_only_the_first_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dark", "light"):
        write(tmp_path / "shapes" / name, ".png", 3)
    dataset = initialize(tmp_path / "shapes", monkeypatch).datasets["own"]
    for number in range(9):
        write(tmp_path / "shapes" / "dark" / f"new{number}", ".png", 2)
    [message] = class_folders.left_out("own", dataset)
    assert (
        "not read (18): dark/new0/0.png, dark/new0/1.png, dark/new1/0.png, dark/new1/1.png, dark/new2/0.png, …;"
        in message
    )
    assert "add dark/new0, dark/new1, dark/new2, dark/new3, dark/new4, … to `" in message


@pytest.mark.slow
def test_photos_that_are_too_large_for_a_request_are_vectorized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dark", "light"):
        write(tmp_path / "photos" / name, ".png", 12)
    Image.effect_noise((6000, 4000), 50).save(tmp_path / "photos" / "dark" / "camera.jpg")
    params = initialize(tmp_path / "photos", monkeypatch)
    preparation.fetch("own", params.datasets["own"], params)
    preparation.vectorize("own", params.datasets["own"])
    samples = json.loads((paths.vectorized("own") / "manifest.json").read_text())["samples"]
    assert sum(samples.values()) == 25
    with pytest.raises(ValueError, match="must have at most 16777216 pixels and 65536 on a side, got 6000 × 4000"):
        image_decoding.read((tmp_path / "photos" / "dark" / "camera.jpg").read_bytes())


def test_init_reads_suffixes_that_only_the_test_split_has(tmp_path: Path) -> None:
    source = tmp_path / "shapes"
    for name in ("dark", "light"):
        write(source / "train" / name, ".png", 5)
        write(source / "test" / name, ".png", 1)
        write(source / "test" / name, ".PNG", 5, prefix="n")
    guess = config_inference.guess(source)
    assert guess.entry["files"]["shapes"]["suffix"] == [".PNG", ".png"]
    assert "2 class folders contain 22 images (.PNG, .png): `kind: image_folder`" in guess.reasons


def test_init_accepts_a_test_split_with_another_suffix_than_train(tmp_path: Path) -> None:
    source = tmp_path / "shapes"
    for name in ("dark", "light"):
        write(source / "train" / name, ".png", 5)
        write(source / "validation" / name, ".jpg", 2)
    guess = config_inference.guess(source)
    assert guess.entry["reader"]["test"] == "validation"
    assert guess.entry["files"]["shapes"]["suffix"] == [".jpg", ".png"]


def test_init_reports_files_of_other_types(tmp_path: Path) -> None:
    for name in ("dark", "light"):
        write(tmp_path / "shapes" / name, ".png", 5)
        write(tmp_path / "shapes" / name, ".tiff", 2)
    (tmp_path / "shapes" / "dark" / "notes").touch()
    guess = config_inference.guess(tmp_path / "shapes")
    assert "files of other types are left out: no suffix (1), .tiff (4)" in guess.reasons
    (tmp_path / "params.yaml").write_text(own_tables.HEAD)
    config_inference.write(guess.entry, "own", tmp_path / "params.yaml")
    assert load_params(tmp_path / "params.yaml").datasets["own"].labels == ("dark", "light")
