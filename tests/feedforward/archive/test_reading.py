"""Untrusted archives: files that are changed, too large or outside the folder are refused before they are used."""

import hashlib
import json
import math
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shell import Shell

from feedforward.archive import reading, writing
from feedforward.archive.layout import DIGESTS
from feedforward.config.schema import load_params
from feedforward.core import paths
from feedforward.core.errors import DataError
from feedforward.experiments import baselines


def test_import_shows_the_comparison_without_training(archive: Path, small_shell: Shell) -> None:
    assert small_shell.run("import", str(archive)) == 0
    assert "Small texts" in small_shell.stdout
    assert "dropout" in small_shell.stdout
    assert f"report: {archive.with_suffix('')}/reports/comparison/index.html" in small_shell.stderr
    assert small_shell.run("import", str(archive), "--json") == 0  # importing it again
    imported = json.loads(small_shell.stdout)
    assert imported["means"]["fair"]["notes"]["original"]["best_epoch"]
    assert small_shell.run("import", str(archive.with_suffix("")), "--json") == 0  # importing the folder
    assert json.loads(small_shell.stdout)["digest"] == imported["digest"]


@pytest.mark.proves("A terminal never obeys escape sequences in the names that an archive contains")
def test_import_shows_the_baselines_of_the_archive(workspace: Path, small_shell: Shell) -> None:
    baselines.stage(load_params(), "notes")
    archive = workspace / "result.zip"
    writing.write(writing.collect(load_params()), archive)
    assert small_shell.run("import", str(archive), "--to", str(workspace / "new")) == 0
    assert "majority class: " in small_shell.stdout
    escapes = r"\u001b[2J\u001b]0;title\u0007\u009b[é]"  # clears the screen, sets the title
    stored = paths.baselines("notes").read_text().replace("majority class", escapes)
    paths.baselines("notes").write_text(stored)
    writing.write(writing.collect(load_params()), workspace / "hostile.zip")
    assert small_shell.run("import", str(workspace / "hostile.zip")) == 0
    assert re.search(r" \?\[2J\?\]0;title\??\?\[é\]: ", small_shell.stdout)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", small_shell.stdout)
    paths.baselines("notes").write_text("[]")
    writing.write(writing.collect(load_params()), workspace / "damaged.zip")
    assert small_shell.run("import", str(workspace / "damaged.zip")) == 1
    assert "damaged.zip: data/baselines/notes.json: cannot be read" in small_shell.stderr
    assert "dvc repro" not in small_shell.stderr


def test_a_changed_file_is_rejected(unpacked: Path) -> None:
    reading.read_verified(unpacked)
    (unpacked / "params.yaml").write_bytes((unpacked / "params.yaml").read_bytes() + b"#")
    with pytest.raises(DataError, match=r"params\.yaml has changed since the export"):
        reading.read_verified(unpacked)
    (unpacked / "params.yaml").unlink()
    with pytest.raises(DataError, match=r"params\.yaml is missing"):
        reading.read_verified(unpacked)


def test_an_added_file_or_link_is_rejected(unpacked: Path) -> None:
    added = unpacked / "reports" / "more.html"
    added.write_text("x")
    with pytest.raises(DataError, match=r"more\.html is not listed"):
        reading.read_verified(unpacked)
    added.unlink()
    added.symlink_to(unpacked / "params.yaml")
    with pytest.raises(DataError, match="not a regular file"):
        reading.read_verified(unpacked)


def zipped(folder: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], **options: int) -> Path:
    target = folder / "hostile.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w", **options) as file:
        warnings.simplefilter("ignore")  # two entries with the same name
        for name, content in entries:
            file.writestr(name, content)
    return target


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("params.yaml")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    return entry


UNSAFE = {
    "outside": [
        *("../x.md", "/etc/x.md", "reports/../../x.md", "reports//x.md", "C:/x.md", "reports\\x.md", "./reports/x.md"),
        *("reports/..", "reports/x\n.md", "reports/x\x00.md", f"reports/{'a' * 300}.md", "reports/x /x.md", "reports/"),
        *("reports/con:.md", f"reports/{'a/' * 1500}a.md"),
    ],
    "pipeline": ["dvc.yaml", "reports/dvc.yaml", "data/trained/x.dvc", "requirements/dvc.yaml"],
    "settings": [".git/config", ".dvc/config", ".envrc", ".dvcignore", "data/.x.json", "reports/.git/x.json"],
    "code": ["numpy.py", "reports/conftest.py", "models/notes/1/x.so", "Makefile", "requirements/dev.txt"],
}


@pytest.mark.proves("`import` unpacks only names on which no other program acts: no dvc.yaml, no hidden file, no code")
@pytest.mark.parametrize("name", [name for names in UNSAFE.values() for name in names], ids=lambda name: name[:20])
def test_an_unsafe_name_is_rejected(archive: Path, small_shell: Shell, name: str) -> None:
    with zipfile.ZipFile(archive) as file:
        files = {entry: file.read(entry) for entry in file.namelist()}
    digests = json.loads(files[DIGESTS])
    digests["files"][name] = {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    files[DIGESTS] = json.dumps(digests).encode()
    source, placeholder = zipped(archive.parent, *files.items(), ("?" * len(name), b"x")), b"?" * len(name)
    # zipfile would sanitize the name, so a placeholder of the same length is written first
    source.write_bytes(source.read_bytes().replace(placeholder, name.encode()))
    assert small_shell.run("import", str(source)) == 1
    assert re.search("must not contain the name|is missing", small_shell.stderr)
    assert not source.with_suffix("").exists()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("data/a.md", b"1"), ("data/A.md", b"2")], "two files with the same name"),
        ([("data/a.md", b"1"), ("data/A.md/b.md", b"2")], "a file and a folder with the same name"),
        ([(link(), b"/etc/passwd")], "not a regular file"),
        ([("data/a.md", b"1")], "is not an archive written by `feedforward export FILE.zip`"),
        ([(DIGESTS, b"[" * 100_000)], "is not an archive written by `feedforward export FILE.zip`"),
        ([(DIGESTS, b'{"format": 99, "files": {}}')], "another release wrote it"),
        ([(f"{k}", b"") for k in range(5001)], "at most 5000 files"),
    ],
    ids=["case", "folder", "link", "no digests", "deep", "format", "many"],
)
def test_a_hostile_zip_file_is_rejected(
    tmp_path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        reading.read_verified(zipped(tmp_path, *entries))


@pytest.mark.slow
def test_a_zip_bomb_is_rejected_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = zipped(tmp_path, *((f"{k}", bytes(2**26)) for k in range(9)), compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**20
    with pytest.raises(DataError, match="at most 5000 files and 536870912 bytes"):
        reading.read_verified(bomb)


def test_only_supported_compression_methods_are_unpacked(tmp_path: Path) -> None:
    packed = zipped(tmp_path, ("a", bytes(1000)), (DIGESTS, b"{}"), compression=zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match="a must be stored or deflated"):
        reading.read_verified(packed)


def test_damaged_compressed_data_is_rejected(tmp_path: Path) -> None:
    source = zipped(tmp_path, ("a", bytes(1000)), (DIGESTS, b"{}"), compression=zipfile.ZIP_DEFLATED)
    content = bytearray(source.read_bytes())
    content[31] = 0xFF  # the first byte after the header of "a"
    source.write_bytes(content)
    with pytest.raises(DataError, match="is not a readable ZIP file"):
        reading.read_verified(source)


def understate_size(content: bytes) -> bytes:
    """Make both headers of the file say that it is one byte long."""
    return content.replace(struct.pack("<I", 1000), struct.pack("<I", 1))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[:-30],
    "comment": lambda content: content[:-2] + b"\x03\x00abc",
    "zip64": lambda content: content[:-22] + b"PK\6\7" + bytes(16) + content[-22:],
    "directory": lambda content: content[:-10] + struct.pack("<I", 2**30) + content[-6:],
    "understated size": understate_size,
    "text": lambda _: b"<html>" * 20,
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_zip_file_is_rejected(tmp_path: Path, damage: str) -> None:
    source = zipped(tmp_path, ("a", bytes(1000)), (DIGESTS, b"{}"))
    source.write_bytes(DAMAGE[damage](source.read_bytes()))
    with pytest.raises(DataError, match=r"hostile\.zip"):
        reading.read_verified(source)


def forge(folder: Path, **changes: bytes | None) -> Path:
    """Replace files of the unpacked archive (None: remove), update their digests, and return the folder."""
    names = {"params": "params.yaml", "fair": "data/trained/fair.json"}
    digests = json.loads((folder / DIGESTS).read_bytes())
    for key, content in changes.items():
        if content is None:
            (folder / names[key]).unlink()
            del digests["files"][names[key]]
        else:
            (folder / names[key]).write_bytes(content)
            digests["files"][names[key]] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / DIGESTS).write_text(json.dumps(digests))
    return folder


def changed_runs(folder: Path, **fields: Any) -> bytes:
    """The content of the archive's fair.json, with these fields of its first run replaced."""
    stored = json.loads((folder / "data" / "trained" / "fair.json").read_bytes())
    stored["runs"][0] |= fields
    return json.dumps(stored).encode()


UNUSABLE: dict[str, tuple[str, Callable[[Path], dict[str, bytes | None]]]] = {
    "no params": ("contains no params.yaml", lambda _: {"params": None}),
    "other params": ("params.yaml: surprise: unknown key", lambda _: {"params": b"surprise: 1"}),
    "many mistakes": (
        "params.yaml: there are more than 20 mistakes",
        lambda _: {"params": b"".join(b"surprise%d: 1\n" % i for i in range(5000))},
    ),
    "no results": ("contains no results", lambda _: {"fair": None}),
    "no JSON": ("fair.json: its runs cannot be compared (Expecting value", lambda _: {"fair": b"?"}),
    "nested too deeply": (
        "fair.json: its runs cannot be compared (nested too deeply)",
        lambda _: {"fair": b"[" * 100_000},
    ),
    "NaN": (
        "fair.json: its runs cannot be compared (Out of range float values",
        lambda folder: {"fair": changed_runs(folder, metrics={"best_val_cross_entropy": math.nan})},
    ),
    "infinity": (
        "fair.json: its runs cannot be compared (Out of range float values",
        lambda folder: {"fair": changed_runs(folder).replace(b'"metrics": {', b'"metrics": {"x": 1e999, ')},
    ),
    "too large": (
        "fair.json: its runs cannot be compared (overflow",
        lambda folder: {"fair": changed_runs(folder).replace(b'_entropy": 0.', b'_entropy": 1.7e308, "x": 0.')},
    ),
    "variant": ("or variant wide;", lambda folder: {"fair": changed_runs(folder, variant="wide")}),
    "twice": ("is listed twice;", lambda folder: {"fair": changed_runs(folder, seed=1)}),
    "wrong type": ("its runs cannot be compared", lambda folder: {"fair": changed_runs(folder, metrics=[1])}),
}


@pytest.mark.proves("`import` unpacks nothing if the results in the archive cannot be compared")
@pytest.mark.parametrize("case", UNUSABLE)
def test_results_that_cannot_be_compared_are_rejected_before_unpacking(
    unpacked: Path, small_shell: Shell, case: str
) -> None:
    message, change = UNUSABLE[case]
    source = forge(unpacked, **change(unpacked))
    for options in ((), ("--json",)):
        assert small_shell.run("import", str(source), "--to", str(source.with_name("new")), *options) in (1, 2)
        assert message in small_shell.stderr
        assert f"{source}: " in small_shell.stderr
        assert "dvc repro" not in small_shell.stderr
        assert small_shell.stdout == ""
    assert not source.with_name("new").exists()


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result.zip")
    with pytest.raises(DataError, match=r"result\.zip: is not a regular file"):
        reading.read_verified(tmp_path / "result.zip")


def test_error_names_the_missing_file(small_shell: Shell) -> None:
    assert small_shell.run("import", "absent.zip") == 1
    assert "absent.zip: cannot be read" in small_shell.stderr
