"""Labelled texts as Parquet shards on any store of fsspec, so that many processes read them; see `text`.

What a shard gives does not depend on who works on it or when: counts add up, a text's row is its own, and the rows come
back in the order of the shards. So the reading is that of `text.read`, byte for byte.
"""

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from feedforward.config.schema import TextReader
from feedforward.core import atomic_files
from feedforward.core.code_digest import code_digest
from feedforward.core.errors import DataError
from feedforward.core.redaction import redact
from feedforward.data.readers import labeled_text, tokenizer
from feedforward.data.readers.reading import Part, Reading
from feedforward.data.splits import MultiHot

TEXTS = 4096  # of a shard: five megabytes of reviews
INDEX = "shards.json"  # written last
UNSHARDED = {"num_words", "shuffle_seed"}  # settings of the reader that change no shard
DECIDING = (__name__,)  # the code that decides bytes begins here


class Each(Protocol):
    """Who does the work."""

    def __call__(self, function: Callable[..., Any], shards: Sequence[str], *shared: Any) -> Iterator[Any]:
        """Call `function(shard, *shared)` for every shard, wherever; the results come in the order of the shards.

        shared: few bytes, for they go along with each shard.
        """


def read(config: TextReader, files: Mapping[str, Path], store: str, each: Each, scratch: Path) -> Reading:
    """Read both splits as `text.read` does, by way of shards in `store`.

    scratch: a folder for the rows, which wait there in files without a name rather than in memory.

    Raises:
        DataError: a file is missing or damaged, or the store cannot be used.
    """
    shards = write(config, files, store)
    counts = functools.reduce(_sum, each(count, shards["train"]), tokenizer.count([]))
    vocabulary = tokenizer.rank(counts, config.num_words)
    known = _publish(vocabulary, store)
    room = functools.partial(_on_disk, scratch)

    def parts() -> Iterator[Part]:
        yield labeled_text.assemble("train", _put_aside(each(encode, shards["train"], *known), room), config, room)
        yield labeled_text.assemble("test", _put_aside(each(encode, shards["test"], *known), room), config, room)

    return Reading(parts(), list(vocabulary.words), {"distinct_words": len(counts)})


def _sum(one: pa.Table, other: pa.Table) -> pa.Table:
    return tokenizer.add_counts([one, other])


def _put_aside(encoded: Iterable[labeled_text.Encoded], room: labeled_text.Room) -> Iterator[labeled_text.Encoded]:
    for each in encoded:
        indices = room(len(each.features.indices))
        indices[:] = each.features.indices
        yield replace(each, features=MultiHot(each.features.indptr, indices, each.features.columns))


def _on_disk(folder: Path, indices: int) -> npt.NDArray[np.uint16]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:  # the mapping keeps it, and nothing is left of a killed process
        return np.memmap(file, np.uint16, "w+", shape=(indices,))


# --- write ---------------------------------------------------------------------------------------


def write(config: TextReader, files: Mapping[str, Path], store: str) -> dict[str, list[str]]:
    """Write the texts of both splits into a folder of `store`; URLs of the shards.

    The folder is named by the files, the settings and the code that makes it; a complete folder is used as it is.

    Raises:
        DataError: a file is missing or damaged, or the store cannot be used.
    """
    try:
        made_of = {key: atomic_files.file_digest(path) for key, path in sorted(files.items())}
        reader = config.model_dump(mode="json", exclude=UNSHARDED)
        content = atomic_files.digest([reader, made_of, TEXTS, code_digest(DECIDING)])
        folder = f"{store.rstrip('/')}/{content[:32]}"
        system, path = fsspec.url_to_fs(folder)
        if system.exists(f"{path}/{INDEX}"):
            found = json.loads(system.cat_file(f"{path}/{INDEX}"))
        else:
            system.makedirs(path, exist_ok=True)
            found = dict.fromkeys(("train", "test"), 0)
            for split, chunks in zip(found, labeled_text.splits(config, files), strict=True):
                for found[split], table in enumerate(_tables(chunks()), start=1):
                    with system.open(f"{path}/{_name(split, found[split])}", "wb") as file:
                        pq.write_table(table, file, compression="zstd")
            system.pipe_file(f"{path}/{INDEX}", atomic_files.canonical_json(found).encode())
        return {split: [f"{folder}/{_name(split, k + 1)}" for k in range(found[split])] for split in found}
    except DataError:
        raise
    except Exception as error:  # each back end of fsspec has exceptions of its own
        raise DataError(f"shards: {redact(store)} cannot be used ({_reason(error)}); check `shards`") from None


def _publish(vocabulary: tokenizer.Vocabulary, store: str) -> tuple[str, int]:
    """Put the vocabulary where all workers find it; its URL, which names its digest, and the number of columns."""
    content = "".join(f"{word}\n" for word in vocabulary.words).encode()
    url = f"{store.rstrip('/')}/vocabulary-{hashlib.sha256(content).hexdigest()[:32]}.txt"
    system, path = fsspec.url_to_fs(url)
    system.pipe_file(f"{path}.new", content)
    system.mv(f"{path}.new", path)  # another job may be reading the same vocabulary
    return url, vocabulary.columns


@functools.lru_cache(maxsize=1)
def _vocabulary(url: str, columns: int) -> tokenizer.Vocabulary:
    with fsspec.open(url, "rb") as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest()[:32] not in url:
        raise DataError(f"{redact(url)}: its content does not match the digest in its name; remove it and run again")
    return tokenizer.Vocabulary(tuple(content.decode().split("\n")[:-1]), columns)


def _name(split: str, number: int) -> str:
    return f"{split}-{number:06}.parquet"


def _tables(chunks: Iterator[labeled_text.Chunk]) -> Iterator[pa.Table]:
    """The texts, TEXTS at a time."""
    rest: list[pa.Table] = []
    for chunk in chunks:
        columns = {"name": chunk.names, "text": pa.array(chunk.texts, pa.large_binary()), "label": chunk.labels}
        whole = pa.concat_tables([*rest, pa.table(columns)])
        full = len(whole) - len(whole) % TEXTS
        for start in range(0, full, TEXTS):
            yield whole.slice(start, TEXTS)
        rest = [whole.slice(full)]
    if rest and len(rest[0]):
        yield rest[0]


# --- of one shard --------------------------------------------------------------------------------


def count(shard: str) -> pa.Table:
    """How often each word occurs in a shard."""
    return tokenizer.count(_load(shard).texts)


def encode(shard: str, vocabulary: str, columns: int) -> labeled_text.Encoded:
    """The rows of a shard; the vocabulary is where `_publish` left it."""
    encoded = labeled_text.encode(_load(shard), _vocabulary(vocabulary, columns))
    atomic_files.crash_point("shard.encoded")
    return encoded


def _load(shard: str) -> labeled_text.Chunk:
    """The texts of a shard.

    Raises:
        DataError: it cannot be read here.
    """
    try:
        with fsspec.open(shard, "rb") as file:
            table = pq.read_table(file, use_threads=False)
        return labeled_text.Chunk(table["name"].to_pylist(), table["text"].to_pylist(), table["label"].to_numpy())
    except Exception as error:  # each back end of fsspec has exceptions of its own
        what = f"{redact(shard)}: cannot be read ({_reason(error)})"
        raise DataError(f"{what}; `shards` must name a store that all workers reach") from None


def _reason(error: Exception) -> str:
    return redact((str(error).splitlines() or [""])[0]) or type(error).__name__
