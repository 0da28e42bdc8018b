"""Damaged files and hostile archives are refused in one line, and nothing is written outside the target folder."""

import contextlib
import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path

import damaged
import networks
import numpy as np
import pytest
import workspaces
from damaged import DamagedFile, HostileArchive
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded, stroke
from raw_files import REVIEWS, idx, members_digest, npy, reviews_file
from small_data import split

from feedforward.config.schema import IdxPair, IdxReader, ImageReader, SourceFile, TableReader, TextReader
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, FeedforwardError, SourceError
from feedforward.data import collected_files
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import reading
from feedforward.data.sources import archives, download
from feedforward.data.sources.locations import RetryPolicy
from feedforward.data.splits import Split
from feedforward.data.validation import profile
from feedforward.models import keras_archive, network_files

IDX_PAIR = IdxPair(features="images", labels="labels")
IDX_READER = IdxReader(kind="idx", train=IDX_PAIR, test=IDX_PAIR)
TEXT_READER = TextReader(
    kind="labeled_text", file="set", train="set/train", test="set/test", classes=("neg", "pos"), num_words=50
)
COLUMNS_READER = TextReader(
    kind="labeled_text", file="set", text="said", label="mood", classes=("neg", "pos"), num_words=50
)
TABLE_READER = TableReader(
    kind="table", file="set", target=("mood",), classes=("neg", "pos"), numeric=("age",), categorical=("said",)
)
IMAGE_READER = ImageReader(
    kind="image_folder", file="set", train="train", test="test", classes=("a", "b"), height=6, width=5
)


def read_idx(folder: Path, content: bytes, _: str) -> None:
    (folder / "images").write_bytes(content)
    (folder / "labels").write_bytes(idx(damaged.LABELS))
    list(reading.read(IDX_READER, {name: folder / name for name in ("images", "labels")}).parts)


def read_gzip(_folder: Path, content: bytes, _: str) -> None:
    file = SourceFile(archive="gzip", max_bytes=10**6)
    try:
        archives.write_content([content], file, io.BytesIO())
    except EOFError as error:  # `fetch` treats this as a lost connection, and retries
        raise DataError(str(error)) from None


def read_parquet(folder: Path, content: bytes, _: str) -> None:
    (folder / "set.parquet").write_bytes(content)
    list(reading.read(TEXT_READER, {"set": folder / "set.parquet"}).parts)


def read_columns(folder: Path, content: bytes, _: str) -> None:
    (folder / "set").write_bytes(content)
    list(reading.read(COLUMNS_READER, {"set": folder / "set"}).parts)


def read_table(folder: Path, content: bytes, _: str) -> None:
    (folder / "set").write_bytes(content)
    list(reading.read(TABLE_READER, {"set": folder / "set"}).parts)


def read_pictures(folder: Path, content: bytes, _: str) -> None:
    """Read class folders in which one picture has this content."""
    names = [f"{part}/{label}/{n}.png" for part in ("test", "train") for label in "ab" for n in range(2)]
    packed = damaged.parquet({"path": names, "content": [content, *[VALID["picture"]] * 7]})
    (folder / "set.parquet").write_bytes(packed)
    list(reading.read(IMAGE_READER, {"set": folder / "set.parquet"}).parts)


def read_npy(folder: Path, content: bytes, name: str) -> None:
    split("tones").save(folder / "train")
    (folder / "train" / name).write_bytes(content)
    Split.load(folder / "train")


def read_manifest(folder: Path, content: bytes, _: str) -> None:
    (folder / "params.yaml").touch()
    paths.vectorized("notes").mkdir(parents=True)
    (paths.vectorized("notes") / "manifest.json").write_bytes(content)
    manifest_file.load("notes")


def read_profile(folder: Path, content: bytes, _: str) -> None:
    atomic_files.write_json(folder / "manifest.json", damaged.MANIFEST)
    (folder / "profile.parquet").write_bytes(content)
    profile.load(folder)


def read_keras(_folder: Path, content: bytes, _: str) -> None:
    keras_archive.check(content)


def read_network(_folder: Path, content: bytes, _: str) -> None:
    network_files.read({**networks.files([20, 4, 1], ["relu", "sigmoid"]), "weights.npz": content})


READERS: dict[str, Callable[[Path, bytes, str], None]] = {
    "idx": read_idx,
    "gzip": read_gzip,
    "parquet": read_parquet,
    "columns": read_columns,
    "lines": read_columns,
    "table": read_table,
    "gzipped columns": read_columns,
    "gzipped lines": read_columns,
    "gzipped table": read_table,
    "packed table": read_table,
    "picture": read_pictures,
    "npy": read_npy,
    "manifest": read_manifest,
    "profile": read_profile,
    "keras": read_keras,
    "network": read_network,
}


@pytest.mark.parametrize("case", damaged.FILES, ids=lambda case: f"{case.kind}: {case.title}")
def test_a_damaged_file_is_rejected_with_a_one_line_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: DamagedFile
) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(folder))
    monkeypatch.chdir(folder)
    with pytest.raises(FeedforwardError) as caught:
        READERS[case.kind](folder, case.make(), case.name)
    assert case.message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == [folder]


def test_valid_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
    read_idx(tmp_path, idx(damaged.IMAGES), "")
    read_gzip(tmp_path, gzip.compress(b"text"), "")
    read_parquet(tmp_path, damaged.parquet(), "")
    read_npy(tmp_path, npy(np.zeros(90, "u1")), "labels.npy")
    read_manifest(tmp_path, damaged._manifest(), "")
    for kind in ("columns", "lines", "table", "packed table", "picture"):
        READERS[kind](tmp_path, VALID[kind], "")
    read_keras(tmp_path, damaged._model(), "")


# --- archives ----------------------------------------------------------------------------------

NO_RETRIES = RetryPolicy(stall_s=1, retries=0, pause_s=0)


@pytest.mark.parametrize("case", damaged.ARCHIVES, ids=lambda case: case.title)
def test_a_hostile_archive_writes_only_reviews_or_nothing(tmp_path: Path, root: Path, case: HostileArchive) -> None:
    (root / "mirror" / "set.tar.gz").write_bytes(case.make())
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(root / "raw")}
    sources, raw = {"set.tar.gz": reviews_file()}, root / "raw"
    if case.message is None:
        download.fetch(sources, raw, ["mirror"], NO_RETRIES)
        [(names, contents)] = collected_files.read(raw / "set.tar.gz.parquet")
        assert dict(zip(names, contents, strict=True)) == REVIEWS
    else:
        with pytest.raises(SourceError) as caught:
            download.fetch(sources, raw, ["mirror"], NO_RETRIES)
        assert case.message in str(caught.value)
        assert str(caught.value).isprintable()
        assert not list(raw.iterdir())
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(root / "raw")} == before


# --- arbitrary damage ----------------------------------------------------------------------------


@st.composite
def corrupted(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a copy of valid bytes in which some are overwritten, removed or inserted, and which may be cut off."""
    rng, copy = random.Random(draw(st.integers(0, 2**32))), bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        position = rng.randrange(len(copy) + 1)
        copy[position : position + rng.choice((0, 1, 1, 4, 40))] = rng.randbytes(rng.choice((0, 1, 1, 4, 40)))
    return bytes(copy[: rng.choice((len(copy), len(copy), rng.randrange(len(copy) + 1)))])


ROWS = {"said": ["fine", "größe", "a, b", "awful"] * 5, "age": [1.5, 2.0, 40.0, 7.0] * 5, "mood": ["pos", "neg"] * 10}
VALID = {
    "columns": "".join(f'"{s}",{a},{m}\n' for s, a, m in [tuple(ROWS), *zip(*ROWS.values(), strict=True)]).encode(),
    "lines": "".join(f'{{"said": "{s}", "mood": "{m}"}}\n' for s, _, m in zip(*ROWS.values(), strict=True)).encode(),
    "table": "".join(f'"{s}",{a},{m}\n' for s, a, m in [tuple(ROWS), *zip(*ROWS.values(), strict=True)]).encode(),
    "packed table": damaged.parquet(ROWS),
    "picture": encoded(stroke(12, 9)),
    "idx": idx(damaged.IMAGES),
    "gzip": gzip.compress(b"text" * 99),
    "parquet": damaged.parquet(),
    "manifest": damaged._manifest(),
    "profile": damaged.parquet(),  # valid Parquet, but without the columns of a profile
    "keras": damaged._model(),
}
VALID |= {f"gzipped {kind}": gzip.compress(VALID[kind]) for kind in ("columns", "lines", "table")}


@examples(160)
@given(st.sampled_from(sorted(VALID)).flatmap(lambda kind: st.tuples(st.just(kind), corrupted(VALID[kind]))))
def test_a_randomly_corrupted_file_is_read_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, bytes]
) -> None:
    kind, content = case
    folder = tmp_path_factory.mktemp("fuzz")
    with workspaces.inside(folder):
        message = ""
        try:
            READERS[kind](folder, content, "")
        except FeedforwardError as error:
            message = str(error)
        assert not message or message.isprintable()


@examples(150)
@given(corrupted(gzip.decompress(damaged._reviews())))
def test_a_corrupted_tar_has_the_right_digest_only_if_its_members_are_correct(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "members.parquet"
    with contextlib.suppress(DataError, EOFError), path.open("wb") as target:
        digest = archives.write_content([gzip.compress(content, 1)], reviews_file(), target)
        assert digest != members_digest(REVIEWS) or all(text in content for text in REVIEWS.values())


def test_lists_of_cases_are_long_enough_and_damaged_files_have_unique_titles() -> None:
    assert len(damaged.FILES) >= 40
    assert len(damaged.ARCHIVES) >= 20
    assert len({(case.kind, case.title) for case in damaged.FILES}) == len(damaged.FILES)
