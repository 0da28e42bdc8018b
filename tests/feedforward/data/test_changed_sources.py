"""Local sources: changes after the fetch are detected and can be fetched; `init` on folders of images and odd paths."""

import os
from pathlib import Path

import numpy as np
import own_tables
import pytest
import workspaces
from PIL import Image
from shell import Shell

from feedforward.config.schema import Params
from feedforward.core import paths
from feedforward.core.errors import DataError, InputError, SourceError
from feedforward.data import config_inference, preparation
from feedforward.data.readers import image_decoding
from feedforward.data.sources import download


def write_images(folder: Path, classes: tuple[str, ...] = ("bar", "beam"), count: int = 12) -> Path:
    """Write small images into one folder per class, and return `folder`."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            pixels = np.random.default_rng(100 * number + k).integers(0, 256, (8, 6), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{k}.png")
    return folder


def initialize(root: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Enter a new workspace with the source as its only dataset, `own`, as `init` adds it; return the params."""
    workspaces.create(root, monkeypatch)
    return own_tables.initialize(source)[1]


def test_a_changed_table_is_detected_and_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    source = tmp_path / "a.csv"
    source.write_text("size,label\n" + "".join(f"{k / 7},{'yn'[k % 2]}\n" for k in range(40)))
    params = initialize(tmp_path, source, monkeypatch)
    files, raw = params.datasets["own"].files, paths.raw("own")
    preparation.fetch("own", params.datasets["own"], params)
    assert download.changed_sources(files, raw) == {}
    with source.open("a") as file:
        file.write("9,y\n")
    assert download.changed_sources(files, raw) == {"a.csv": str(source)}
    assert shell.run("fetch", "own") == 0
    assert download.changed_sources(files, raw) == {}
    assert (raw / "a.csv").read_bytes() == source.read_bytes()
    source.unlink()  # the fetched copy is still there
    assert download.changed_sources(files, raw) == {}


def test_a_failed_fetch_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    params = initialize(
        tmp_path, own_tables.table(tmp_path / "a.csv", size=own_tables.SIZES, label=own_tables.LABELS), monkeypatch
    )
    dataset, raw = params.datasets["own"], paths.raw("own")
    second = dataset.files["a.csv"].model_copy(update={"urls": (str(tmp_path / "b.csv"),)})
    dataset = dataset.model_copy(update={"files": {**dataset.files, "b.csv": second}})
    (tmp_path / "b.csv").write_text("second")
    preparation.fetch("own", dataset, params)
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    (tmp_path / "a.csv").write_text("changed")
    (tmp_path / "b.csv").unlink()
    with pytest.raises(SourceError, match=r"b\.csv: no such file"):
        preparation.fetch_again("own", dataset, params)
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before
    preparation.fetch("own", dataset, params)  # what was fetched before is still accepted
    (tmp_path / "a.csv").unlink()
    assert shell.run("fetch", "own") == 1
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before


def test_remedy_for_a_damaged_image_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    source = write_images(tmp_path / "shapes")
    params = initialize(tmp_path, source, monkeypatch)
    damaged = source / "beam" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    preparation.fetch("own", params.datasets["own"], params)
    with pytest.raises(DataError, match=r"beam/3\.png: .*run `feedforward fetch own`"):
        preparation.vectorize("own", params.datasets["own"])
    damaged.unlink()
    assert list(download.changed_sources(params.datasets["own"].files, paths.raw("own"))) == ["shapes"]
    assert shell.run("fetch", "own") == 0
    preparation.vectorize("own", params.datasets["own"])


@pytest.mark.proves("`init` names a file that is empty or not an image")
@pytest.mark.parametrize(("content", "message"), [(b"", r"0 bytes"), (b"<html>Not found</html>", "a web page")])
def test_init_names_a_file_that_is_not_an_image(tmp_path: Path, content: bytes, message: str) -> None:
    source = write_images(tmp_path / "shapes")
    (source / "bar" / "x.png").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        config_inference.guess(source)
    assert "x.png" in str(caught.value)
    assert "disk" not in str(caught.value)  # an error without a reason is otherwise taken for a full disk


def test_init_and_fetch_agree_on_hidden_files_links_and_nested_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, source = write_images(tmp_path / "real"), tmp_path / "shapes"
    for name in ("bar", "beam"):
        (source / name / "session").mkdir(parents=True)
        for k in range(12):
            (source / name / ("session" if k % 2 else "") / f"{k}.png").symlink_to(real / name / f"{k}.png")
        (source / name / "._0.png").write_bytes(b"AppleDouble")
    (source / "__MACOSX").mkdir()
    params = initialize(tmp_path, source, monkeypatch)
    preparation.fetch("own", params.datasets["own"], params)
    preparation.vectorize("own", params.datasets["own"])
    rows = [len(np.load(paths.vectorized("own") / part / "labels.npy")) for part in ("train", "test")]
    assert sum(rows) == 24
    assert params.datasets["own"].labels == ("bar", "beam")


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb.png"])
def test_an_added_file_with_a_name_that_cannot_be_stored_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell, name: bytes
) -> None:
    source = write_images(tmp_path / "shapes")
    params = initialize(tmp_path, source, monkeypatch)
    preparation.fetch("own", params.datasets["own"], params)
    added = source / "bar" / os.fsdecode(name)
    added.write_bytes((source / "bar" / "0.png").read_bytes())
    assert list(download.changed_sources(params.datasets["own"].files, paths.raw("own"))) == ["shapes"]
    assert shell.run("fetch", "own") == 1
    assert "rename it in the source, then fetch again" in shell.stderr
    added.rename(source / "bar" / "renamed.png")
    assert shell.run("fetch", "own") == 0


@pytest.mark.parametrize("is_folder", [True, False], ids=["folder", "table"])
def test_a_local_path_with_double_colons_is_not_taken_for_a_chain_of_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool
) -> None:
    folder = tmp_path / "a::b"
    folder.mkdir()
    if is_folder:
        source = write_images(folder / "c::d")
    else:
        source = own_tables.table(folder / "c::d.csv", size=own_tables.SIZES, label=own_tables.LABELS)
    params = initialize(tmp_path, source, monkeypatch)
    preparation.fetch("own", params.datasets["own"], params)
    assert download.changed_sources(params.datasets["own"].files, paths.raw("own")) == {}


@pytest.mark.parametrize(
    ("layout", "test_folder", "message"),
    [
        (
            {"train": ("bar", "beam"), "validation": ("bar", "beam")},
            "validation",
            "the folder validation is the test split",
        ),
        ({"Train": ("bar", "beam"), "Test": ("bar", "beam")}, "Test", "the folder Test is the test split"),
        ({"train": ("bar", "beam"), "test": ("bar",)}, None, "the folder test is left out: it has no samples of beam"),
        ({"train": ("bar", "beam"), "test": ()}, None, "the folder test is left out: it has no samples of bar, beam"),
        (
            {"train": ("bar", "beam"), "test": ("bar",), "val": ("bar", "beam")},
            "val",
            "the folder test is left out: it has no samples of beam",
        ),
    ],
)
def test_common_folder_layouts_are_recognized(
    tmp_path: Path, layout: dict[str, tuple[str, ...]], test_folder: str | None, message: str
) -> None:
    for part, classes in layout.items():
        (tmp_path / "set" / part).mkdir(parents=True)
        write_images(tmp_path / "set" / part, classes)
    guess = config_inference.guess(tmp_path / "set")
    assert guess.entry["reader"].get("test") == test_folder
    assert message in guess.reasons
    assert not any(reason.startswith(f"{test_folder} is left out") for reason in guess.reasons)


def test_16_bit_images_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 20_000, np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(np.full((8, 8), 60_000, np.uint16)).save(tmp_path / "bright.png")
    dark, bright = (image_decoding.read((tmp_path / f"{n}.png").read_bytes()) for n in ("dark", "bright"))
    assert dark.mean() == pytest.approx(20_000 / 257, abs=1)
    assert bright.mean() == pytest.approx(60_000 / 257, abs=1)


def test_inferred_size_respects_exif_orientation(tmp_path: Path) -> None:
    source = tmp_path / "shapes"
    for name in ("bar", "beam"):
        (source / name).mkdir(parents=True)
        for k in range(12):
            exif = Image.Exif()
            exif[0x0112] = 6  # orientation: height and width are exchanged
            Image.new("L", (20, 10), 20 * k).save(source / name / f"{k}.jpg", exif=exif)
    reader = config_inference.guess(source).entry["reader"]
    assert (reader["height"], reader["width"]) == (20, 10)
