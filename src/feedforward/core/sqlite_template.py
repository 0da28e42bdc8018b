"""SQLite databases made at once from SQL that lies in the repository.

MLflow and Prefect make a new database by replaying every migration of their history, 3.5 and 9 s of CPU; from the
schema that these leave it takes 0.02 s. The schema carries the number of its last migration, so that newer versions go
on from there.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from feedforward.core import atomic_files


def make(database: Path, schema: Path, point: str = "write") -> None:
    """Make the new `database` with what the SQL file `schema` says, whole or not at all."""
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.executescript(schema.read_text(encoding="utf-8"))
        content = memory.serialize()
    with atomic_files.writing(database, point) as file:
        file.write(content)


def dump(database: Path) -> str:
    """The SQL that makes tables and rows of a database again."""
    with closing(sqlite3.connect(database)) as connection:
        lines = "\n".join(connection.iterdump()).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def alike(one: str, other: str) -> bool:
    """Whether two dumps make the same; migrations make constraints and indices in no fixed order."""
    first, second = (sorted(line.rstrip(" ,") for line in each.splitlines()) for each in (one, other))
    return first == second
