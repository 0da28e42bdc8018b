"""Read labeled texts by way of Parquet shards in any fsspec store, so that many processes can share the work.

Results do not depend on which process works on a shard or when: counts are added up, the features of a text depend
only on that text, and results are returned in the order of the shards. So the result of `read` equals that of
`labeled_text.read`, byte for byte.
"""

import functools
import hashlib
import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

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

TEXTS_PER_SHARD = 4096  # five megabytes of reviews
INDEX = "shards.json"  # written last: a folder that has it is complete
NOT_IN_SHARDS = {"num_words", "ngrams", "shuffle_seed"}  # settings of the reader that do not affect the shards
DIGESTED_MODULES = (__name__,)  # modules whose code, including all imports, determines the bytes of the shards


class ShardMap(Protocol):
    """Calls a function for every shard, for instance on a cluster."""

    def __call__(self, function: Callable[..., Any], shards: Sequence[str], *shared: Any) -> Iterator[Any]:
        """Yield `function(shard, *shared)` for every shard, in the order of the shards.

        shared: should be small, because it is sent with each shard.
        """


def read(config: TextReader, files: Mapping[str, Path], store: str, map_shards: ShardMap, scratch: Path) -> Reading:
    """Read both splits like `labeled_text.read`, using shards in `store`.

    scratch: a folder for unnamed temporary files, so that the encoded rows are on disk and not in memory.

    Raises:
        DataError: a file is missing or damaged, or the store cannot be used.
    """
    shards = write(config, files, store)
    counts = tokenizer.total(map_shards(count, shards["train"], config.ngrams))
    vocabulary = tokenizer.rank(counts, config.num_words)
    vocabulary_reference = _publish(vocabulary, store)
    allocate = functools.partial(_on_disk, scratch)

    def part(name: Literal["train", "test"]) -> Part:
        scratch.mkdir(parents=True, exist_ok=True)
        encoded = map_shards(encode, shards[name], *vocabulary_reference)
        return labeled_text.assemble(name, encoded, config, scratch, allocate)

    def parts() -> Iterator[Part]:
        yield part("train")
        yield part("test")

    return Reading(parts(), list(vocabulary.words), tokenizer.facts(counts))


def _on_disk(folder: Path, size: int) -> npt.NDArray[np.uint16]:
    # The file lives as long as the mapping, and is gone if the process is killed
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.uint16, "w+", shape=(size,))


# --- write ---------------------------------------------------------------------------------------


def write(config: TextReader, files: Mapping[str, Path], store: str) -> dict[str, list[str]]:
    """Write the texts of both splits into a folder of `store`; return the URLs of the shards by split.

    The folder is named after a digest of the files, the settings and the code; a complete folder is reused.

    Raises:
        DataError: a file is missing or damaged, or the store cannot be used.
    """
    try:
        sources = {key: atomic_files.file_digest(path) for key, path in sorted(files.items())}
        reader = config.model_dump(mode="json", exclude=NOT_IN_SHARDS)
        digest = atomic_files.digest([reader, sources, TEXTS_PER_SHARD, code_digest(DIGESTED_MODULES)])
        folder = f"{store.rstrip('/')}/{digest[:32]}"
        system, path = fsspec.url_to_fs(folder)
        if system.exists(f"{path}/{INDEX}"):
            shard_counts = json.loads(system.cat_file(f"{path}/{INDEX}"))
        else:
            system.makedirs(path, exist_ok=True)
            shard_counts = dict.fromkeys(("train", "test"), 0)
            for split, chunks in zip(shard_counts, labeled_text.splits(config, files), strict=True):
                for shard_counts[split], table in enumerate(_tables(chunks()), start=1):
                    with system.open(f"{path}/{_name(split, shard_counts[split])}", "wb") as file:
                        pq.write_table(table, file, compression="zstd")
            system.pipe_file(f"{path}/{INDEX}", atomic_files.canonical_json(shard_counts).encode())
        return {split: [f"{folder}/{_name(split, k + 1)}" for k in range(n)] for split, n in shard_counts.items()}
    except DataError:
        raise
    except Exception as error:  # every backend of fsspec raises its own exceptions
        raise DataError(f"shards: {redact(store)} cannot be used ({_reason(error)}); check `shards`") from None


def _publish(vocabulary: tokenizer.Vocabulary, store: str) -> tuple[str, int]:
    """Store the vocabulary for all workers; return its URL, which contains its digest, and the number of columns."""
    content = "".join(f"{word}\n" for word in vocabulary.words).encode()
    url = f"{store.rstrip('/')}/vocabulary-{hashlib.sha256(content).hexdigest()[:32]}.txt"
    system, path = fsspec.url_to_fs(url)
    temporary = f"{path}.{uuid.uuid4().hex}"  # another job may be reading or writing the same vocabulary
    system.pipe_file(temporary, content)
    system.mv(temporary, path)
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
    """Yield the texts in tables of TEXTS_PER_SHARD rows; the last may be shorter."""
    leftover: list[pa.Table] = []
    for chunk in chunks:
        columns = {"name": chunk.names, "text": pa.array(chunk.texts, pa.large_binary()), "label": chunk.labels}
        table = pa.concat_tables([*leftover, pa.table(columns)])
        complete_rows = len(table) - len(table) % TEXTS_PER_SHARD
        for start in range(0, complete_rows, TEXTS_PER_SHARD):
            yield table.slice(start, TEXTS_PER_SHARD)
        leftover = [table.slice(complete_rows)]
    if leftover and len(leftover[0]):
        yield leftover[0]


# --- work on one shard ---------------------------------------------------------------------------


def count(shard: str, ngrams: int) -> pa.Table:
    """Count the occurrences of each word in a shard; see tokenizer.count."""
    return tokenizer.count(_load(shard).texts, ngrams)


def encode(shard: str, vocabulary_url: str, columns: int) -> labeled_text.EncodedChunk:
    """Encode a shard. columns: the number of columns. Both are what `_publish` returned."""
    encoded = labeled_text.encode(_load(shard), _vocabulary(vocabulary_url, columns))
    atomic_files.crash_point("shard.encoded")
    return encoded


def _load(shard: str) -> labeled_text.Chunk:
    """The texts of a shard.

    Raises:
        DataError: the shard cannot be read on this machine.
    """
    try:
        with fsspec.open(shard, "rb") as file:
            table = pq.read_table(file, use_threads=False)
        return labeled_text.Chunk(table["name"].to_pylist(), table["text"].to_pylist(), table["label"].to_numpy())
    except Exception as error:  # every backend of fsspec raises its own exceptions
        raise DataError(
            f"{redact(shard)}: cannot be read ({_reason(error)}); `shards` must name a store that all workers can reach"
        ) from None


def _reason(error: Exception) -> str:
    return redact((str(error).splitlines() or [""])[0]) or type(error).__name__
