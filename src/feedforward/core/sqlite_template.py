"""Create the SQLite databases of MLflow and Prefect by copying templates.

To create a database, each library replays all migrations in its history, which takes 3.5 s (MLflow) or 9 s (Prefect) of
CPU time; copying the result takes a few milliseconds. So each environment keeps, below `sys.prefix`, one template per
library, created by the library's own migrations. Its name contains the library's version, so that an upgrade creates a
new template.
"""

import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from feedforward.core import atomic_files, locks

Migrate = Callable[[Path], None]


def create(database: Path, name: str, migrate: Migrate) -> None:
    """Create the new `database`, atomically, as a copy of the template `name`.

    name: name and version of the library, such as `mlflow-3.17.2`.
    migrate: creates a database at the given path; called only if the environment has no such template yet.
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
    """Create a database and store it as `template` if the environment is writable; return its bytes."""
    try:
        template.parent.mkdir(parents=True, exist_ok=True)
        lock = locks.private(template.with_suffix(".lock"), timeout=locks.LONG)
        lock.acquire()
    except OSError:  # locked for a long time, or not writable, for instance in an image that runs as another user
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
