"""Create or migrate the tracking database under a lock; rewrite artifact locations if the checkout was moved.

`python -m feedforward.tracking.database` creates the environment's template database, so that no job has to create it.
"""

import sqlite3
import tempfile
from pathlib import Path

from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from feedforward.core import locks, paths, provenance, sqlite_template
from feedforward.core.errors import Busy, TrackingError
from feedforward.core.redaction import redact
from feedforward.tracking import mlflow_tables, settings

# ImportError: the database's driver is not installed; ValueError: the port is not a number
FAILURES = (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError, ImportError, ValueError)


def is_server(uri: str) -> bool:
    """Whether the address is that of a tracking server rather than a database."""
    return uri.startswith(("http://", "https://"))


def artifact_root() -> Path:
    """The artifact folder of a store without a server."""
    return paths.store() / "artifacts"


def connect(uri: str) -> MlflowClient:
    """Return a client for the store. If it is a database, first create or migrate it, one process at a time.

    Raises:
        TrackingError: the database cannot be opened, or another process keeps its lock.
    """
    if is_server(uri):
        return MlflowClient(uri)
    paths.store().mkdir(parents=True, exist_ok=True)
    # Several processes that create the same database at the same time would all fail.
    try:
        with locks.holding(paths.store() / ".schema.lock", locks.LONG):
            return _prepare_and_open(uri)
    except Busy as error:
        raise TrackingError(str(error)) from None


def _prepare_and_open(uri: str) -> MlflowClient:
    try:
        database = paths.store() / "mlflow.db"
        if uri == f"{settings.SQLITE}{database}":
            _prepare(database)
        return _open(uri)
    except FAILURES as error:
        reason = next(iter(redact(str(error)).splitlines()), type(error).__name__)
        raise TrackingError(
            f"{redact(uri)}: cannot be opened ({reason}); check the address, or move the database away"
        ) from None


def _prepare(database: Path) -> None:
    if not database.is_file():
        sqlite_template.create(database, f"mlflow-{provenance.installed_version('mlflow')}", migrate)
    mlflow_tables.relocate(database, artifact_root())


def _open(uri: str) -> MlflowClient:
    try:
        return MlflowClient(uri)
    except MlflowException:  # an older MLflow's schema, or a broken database, which the migration reports
        _upgrade(uri)
    return MlflowClient(uri)


def _upgrade(uri: str) -> None:
    """Run `mlflow db upgrade URI` within this process, so that a password in the address is not in the process list."""
    from mlflow.db import commands

    commands.main(["upgrade", uri], standalone_mode=False)


def migrate(database: Path) -> None:
    """Create a new database by running all of MLflow's migrations, which takes seconds."""
    _upgrade(f"{settings.SQLITE}{database}")


if __name__ == "__main__":
    settings.apply()
    with tempfile.TemporaryDirectory() as folder:
        sqlite_template.create(Path(folder) / "mlflow.db", f"mlflow-{provenance.installed_version('mlflow')}", migrate)
