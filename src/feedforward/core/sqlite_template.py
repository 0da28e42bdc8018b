"""Create SQLite databases of MLflow and Prefect by copying templates that their own migrations create.

MLflow and Prefect create a database by replaying all migrations in their history, which takes 3.5 s and 9 s of CPU.
Copying the result takes a few milliseconds. A template is created once per environment, is stored in
`sys.prefix`, and is named after library and version, so upgrading a library creates a new one.
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
        content = _create_template(template, migrate)
    with atomic_files.writing(database, "schema") as file:
        file.write(content)


def folder() -> Path:
    """Folder with this environment's templates."""
    return Path(sys.prefix) / "share" / "feedforward" / "templates"


def _create_template(template: Path, migrate: Migrate) -> bytes:
    """Return the bytes of a migrated database, after storing it as `template` if the environment is writable."""
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
