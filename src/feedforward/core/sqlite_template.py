"""Create SQLite databases by copying a template, which the library's own migrations create once per environment.

MLflow and Prefect create a database by replaying all migrations in their history, which takes 3.5 s and 9 s of CPU.
Copying the result takes a few milliseconds. Templates are stored inside the environment (`sys.prefix`) and named after
library and version, so upgrading a library creates a new template.
"""

import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from feedforward.core import atomic_files

Migrate = Callable[[Path], None]


def create(database: Path, name: str, migrate: Migrate) -> None:
    """Create the new `database`, atomically, as a copy of the template `name`.

    name: library and version, such as `mlflow-3.17.2`.
    migrate: writes a new database at the given path; called only if the environment has no such template yet.
    """
    template = folder() / f"{name}.db"
    try:
        content = template.read_bytes()
    except OSError:  # not created yet or not readable
        content = _migrated(template, migrate)
    with atomic_files.writing(database, "schema") as file:
        file.write(content)


def folder() -> Path:
    """Folder with this environment's templates."""
    return Path(sys.prefix) / "share" / "feedforward" / "templates"


def _migrated(template: Path, migrate: Migrate) -> bytes:
    """The bytes of a migrated database, which is also stored as `template` if the environment is writable."""
    try:
        template.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(template.with_suffix(".lock"))
        lock.acquire()
    except OSError:  # not writable, for instance in an image that runs as another user
        return _run(migrate)
    with lock:
        if not template.exists():
            with atomic_files.writing(template, "template") as file:
                file.write(_run(migrate))
        return template.read_bytes()


def _run(migrate: Migrate) -> bytes:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "new.db"
        migrate(path)
        with closing(sqlite3.connect(path)) as connection:
            return connection.serialize()  # includes the content of a write-ahead log
