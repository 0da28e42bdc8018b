"""Prefect's database, made at once from its schema in prefect.sql.

Prefect makes a new database by replaying every migration of its history: 9 s of the first job of a checkout, against
0.02 s. The schema carries the number of its last migration, so that a newer Prefect goes on from there.
After an upgrade of Prefect: `python -m pipelines.database` writes prefect.sql anew.
"""

import asyncio
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from feedforward import storage

SCHEMA = Path(__file__).with_name("prefect.sql")


def create() -> None:
    """Make the database in $PREFECT_HOME unless there is one, or another place is named."""
    path = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    if os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL") or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            temporary = path.with_name(path.name + storage.TEMPORARY)
            temporary.unlink(missing_ok=True)
            with closing(sqlite3.connect(temporary)) as connection:
                connection.executescript(SCHEMA.read_text(encoding="utf-8"))
            temporary.replace(path)


def schema() -> str:
    """What Prefect's migrations make, as SQL."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREFECT_HOME"] = folder  # read when Prefect is imported
        from prefect.server.database import provide_database_interface

        asyncio.run(provide_database_interface().create_db())
        with closing(sqlite3.connect(Path(folder) / "prefect.db")) as connection:
            lines = "\n".join(connection.iterdump()).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    storage.write_text(SCHEMA, schema())
