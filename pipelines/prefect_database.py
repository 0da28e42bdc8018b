"""Prefect's database, made at once from its schema in prefect.sql: 9 s of the first job of a checkout less.

After an upgrade of Prefect: `python -m pipelines.prefect_database` writes prefect.sql anew.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from filelock import FileLock

from feedforward.core import atomic_files, sqlite_template

SCHEMA = Path(__file__).with_name("prefect.sql")


def create() -> None:
    """Make the database in $PREFECT_HOME unless there is one, or another place is named."""
    path = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    if os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL") or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            sqlite_template.make(path, SCHEMA)


def schema() -> str:
    """What Prefect's migrations make, as SQL."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREFECT_HOME"] = folder  # read when Prefect is imported
        from prefect.server.database import provide_database_interface

        asyncio.run(provide_database_interface().create_db())
        return sqlite_template.dump(Path(folder) / "prefect.db")


if __name__ == "__main__":
    atomic_files.write_text(SCHEMA, schema())
