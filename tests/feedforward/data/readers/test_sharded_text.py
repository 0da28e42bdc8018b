"""Reading texts through shards gives the same result as reading them in one process."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from feedforward.config.schema import TextReader
from feedforward.core.errors import DataError
from feedforward.data import collected_files
from feedforward.data.readers import labeled_text, sharded_text, tokenizer
from feedforward.data.readers.reading import Reading

TEXTS = {
    f"{split}/{label}/{index:02}": b" ".join([b"a good film"] * (index % 4) + [b"%d" % (index % 5)]) + suffix
    for split, count in (("train", 11), ("test", 6))
    for label, suffix in (("neg", b" BAD"), ("pos", " ÜBER, b".encode() + b"\xff"))
    for index in range(count)
}
CONFIG = TextReader(
    kind="labeled_text", file="set", train="train", test="test", classes=("neg", "pos"), num_words=9, shuffle_seed=5
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    with (tmp_path / "set.parquet").open("wb") as file:
        collected_files.write(list(TEXTS), [len(content) for content in TEXTS.values()], TEXTS.__getitem__, file)
    return {"set": tmp_path / "set.parquet"}


def in_this_process(function: Any, urls: Sequence[str], *shared: Any) -> Iterator[Any]:
    return (function(url, *shared) for url in urls)


def as_values(reading: Reading) -> list[Any]:
    """Return all values of a reading; its iterators can be consumed only once."""
    values: list[Any] = [reading.vocabulary, reading.facts, reading.files]
    for part in reading.parts:
        arrays = (part.split.labels, part.raw_lengths, part.digests)
        values += [part.name, part.split.digest(), *((array.dtype.str, array.tolist()) for array in arrays)]
    return values


@pytest.mark.parametrize(("size", "ngrams"), [(1, 1), (3, 2), (11, 1), (22, 2), (4096, 1)])
def test_shards_of_any_size_give_the_same_result_as_one_process(
    tmp_path: Path, files: dict[str, Path], size: int, ngrams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_text, "TEXTS_PER_SHARD", size)
    config = CONFIG.model_copy(update={"ngrams": ngrams})
    shards = sharded_text.read(config, files, f"{tmp_path}/store", in_this_process, tmp_path / "scratch")
    assert as_values(shards) == as_values(labeled_text.read(config, files))
    assert not list((tmp_path / "scratch").iterdir())
    assert len(list((tmp_path / "store").rglob("train-*.parquet"))) == math.ceil(22 / size)  # 11 texts in each class


def test_rows_are_buffered_on_disk(tmp_path: Path, files: dict[str, Path]) -> None:
    part = next(sharded_text.read(CONFIG, files, f"{tmp_path}/store", in_this_process, tmp_path / "scratch").parts)
    assert isinstance(part.split.features.indices, np.memmap)  # type: ignore[union-attr]


def test_shards_are_written_once_and_reused_for_other_vocabularies(tmp_path: Path, files: dict[str, Path]) -> None:
    store = tmp_path / "store"
    written = sharded_text.write(CONFIG, files, str(store))
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    other_config = CONFIG.model_copy(update={"num_words": 7, "ngrams": 2, "shuffle_seed": None})
    assert sharded_text.write(other_config, files, str(store)) == written
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == times
    fewer_classes = CONFIG.model_copy(update={"classes": ("neg",)})
    assert sharded_text.write(fewer_classes, files, str(store)) != written


def test_incomplete_shards_are_written_again(tmp_path: Path, files: dict[str, Path]) -> None:
    written = sharded_text.write(CONFIG, files, str(tmp_path / "store"))
    shard = Path(written["train"][0])
    complete = shard.read_bytes()
    shard.write_bytes(complete[:100])
    (shard.parent / sharded_text.INDEX).unlink()
    assert sharded_text.write(CONFIG, files, str(tmp_path / "store")) == written
    assert shard.read_bytes() == complete


def test_a_missing_or_damaged_shard_is_reported_in_one_line(tmp_path: Path, files: dict[str, Path]) -> None:
    shard = Path(sharded_text.write(CONFIG, files, str(tmp_path / "store"))["test"][0])
    for damage in (lambda: shard.write_bytes(b"not Parquet"), shard.unlink):
        damage()
        with pytest.raises(DataError, match=r"test-000001\.parquet: cannot be read .*all workers can reach") as caught:
            sharded_text.count(str(shard), 1)
        assert "\n" not in str(caught.value)


def test_an_unusable_store_is_reported_in_one_line_without_secrets(files: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r"shards: .* cannot be used") as caught:
        sharded_text.write(CONFIG, files, "nowhere://somebody:secret@host/folder")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.proves("Shards that other code wrote are never used")
def test_changed_code_gives_new_shards(tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    written = sharded_text.write(CONFIG, files, str(tmp_path / "store"))
    monkeypatch.setattr(sharded_text, "code_digest", lambda _: "code that reads texts differently")
    assert set(sharded_text.write(CONFIG, files, str(tmp_path / "store"))["train"]).isdisjoint(written["train"])


def test_the_temporary_name_of_a_vocabulary_is_different_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can create a link under that name in advance, and two jobs do not write to the same file."""
    temporary_paths: list[str] = []
    pipe_file = LocalFileSystem.pipe_file
    monkeypatch.setattr(
        LocalFileSystem,
        "pipe_file",
        lambda self, path, *arguments: (temporary_paths.append(path), pipe_file(self, path, *arguments)),
    )
    urls = {sharded_text._publish(tokenizer.Vocabulary(("good", "bad"), 9), str(tmp_path))[0] for _ in range(2)}
    assert len({*temporary_paths}) == 2
    assert {str(path) for path in tmp_path.iterdir()} == urls


@pytest.mark.proves("A shared vocabulary file that was changed is never used")
def test_a_changed_vocabulary_file_is_rejected(tmp_path: Path) -> None:
    url, columns = sharded_text._publish(tokenizer.Vocabulary(("good", "bad"), 9), str(tmp_path))
    assert sharded_text._vocabulary(url, columns).words == ("good", "bad")
    sharded_text._vocabulary.cache_clear()
    Path(url).write_text("bad\ngood\n")
    with pytest.raises(DataError, match="does not match the digest in its name"):
        sharded_text._vocabulary(url, columns)
