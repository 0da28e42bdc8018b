"""Store archive members in a Parquet file with the columns `path` and `content`; read it a few megabytes at a time."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from feedforward.core.errors import DataError

COLUMNS = ("path", "content")
ROW_GROUP_BYTES = 4 * 2**20  # of content; a reader holds one row group in memory at a time


def write(names: Sequence[str], sizes: Sequence[int], content_of: Callable[[str], bytes], target: IO[bytes]) -> None:
    """Write the members in the given order; the same members always produce the same bytes."""
    import pyarrow as pa  # takes a third of a second to import; only needed for archives with members
    import pyarrow.parquet as pq

    schema = pa.schema([(COLUMNS[0], pa.string()), (COLUMNS[1], pa.binary())])
    with pq.ParquetWriter(target, schema, compression="zstd", use_dictionary=False, write_statistics=False) as writer:
        start = group_bytes = 0
        for stop, size in enumerate(sizes, 1):
            group_bytes += size
            if group_bytes >= ROW_GROUP_BYTES or stop == len(sizes):
                group = names[start:stop]
                writer.write_batch(
                    pa.record_batch([pa.array(group), pa.array(map(content_of, group), pa.binary())], schema=schema)
                )
                start, group_bytes = stop, 0


def read(path: Path) -> Iterator[tuple[list[str], list[bytes]]]:
    """Yield the names and contents of the members, one row group at a time.

    Raises:
        DataError: the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(COLUMNS), use_threads=False)
                if table.schema.types != [pa.string(), pa.binary()] or any(
                    column.null_count for column in table.columns
                ):
                    raise pa.ArrowInvalid(f"expected columns {' and '.join(COLUMNS)} without null values")
                yield table["path"].to_pylist(), table["content"].to_pylist()
    except (OSError, ValueError, pa.ArrowException, KeyError) as error:  # ValueError: a member name is not UTF-8
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read ({reason}); remove it and fetch again") from None
