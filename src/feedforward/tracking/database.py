"""Create or migrate the tracking database under a lock; rewrite artifact locations if the checkout was moved.

A database in a checkout's own folder belongs to it, and is moved or copied with it. Other databases may be shared: the
artifacts of an experiment are in the checkout that created it, and their locations are never rewritten, because a
folder that is missing here may only be unmounted, or be on another machine.

`python -m feedforward.tracking.database` creates the environment's template database, so that no job has to create it.
"""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mlflow
import sqlalchemy
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from feedforward.core import locks, paths, provenance, sqlite_template
from feedforward.core.errors import Busy, DataError, TrackingError
from feedforward.core.redaction import redact
from feedforward.tracking import database_remedies, mlflow_tables, settings

# ImportError: the database's driver is not installed; ValueError: the port is not a number
FAILURES = (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError, ImportError, ValueError)
SCHEMA_LOCK = 0x66656564  # of PostgreSQL, for the checkouts of all machines


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
        return _client(uri)
    artifact_root().mkdir(parents=True, exist_ok=True)  # so that `require_artifacts` of another checkout finds it
    # Several processes that create the same database at the same time would all fail.
    own, shared = paths.store() / ".schema.lock", Path(uri.removeprefix(settings.SQLITE)).parent / ".schema.lock"
    is_usable = uri.startswith(settings.SQLITE) and os.access(shared if shared.exists() else shared.parent, os.W_OK)
    try:
        with locks.holding(shared if is_usable else own, locks.LONG):
            return _prepare_and_open(uri)
    except Busy as error:
        raise TrackingError(str(error)) from None


def _prepare_and_open(uri: str) -> MlflowClient:
    try:
        database = Path(uri.removeprefix(settings.SQLITE))
        if uri.startswith(settings.SQLITE) and _is_own(database):
            _prepare(database)
            return _open(uri)
        with _exclusive(uri):
            _require_current_schema(uri)
            return _open(uri)
    except FAILURES as error:
        reason = next(iter(redact(str(error)).splitlines()), type(error).__name__)
        raise TrackingError(f"{redact(uri)}: cannot be opened ({reason}); {database_remedies.remedy(error)}") from None


def _is_own(database: Path) -> bool:
    """Whether the database is moved or copied together with the store's artifacts."""
    root, store = paths.root(), paths.store()
    return database.parent == store or (database.parent == root and store == root / "mlruns")


@contextlib.contextmanager
def _exclusive(uri: str) -> Iterator[None]:
    """With PostgreSQL, wait until no other checkout is opening the database."""
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"SET LOCAL lock_timeout = '{locks.LONG:.0f}s'"))
        connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
        yield


def _require_current_schema(uri: str) -> None:
    """Check that a shared database is new or has this MLflow's schema.

    MLflow would migrate it even for a lookup, and servers of an older MLflow could not use it any longer.

    Raises:
        TrackingError: its schema is older. CommandError: its schema is newer.
    """
    migrations = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        found, expected = MigrationContext.configure(connection).get_current_revision(), migrations.get_current_head()
    if found and found != expected:
        migrations.get_revision(found)
        raise TrackingError(
            f"{redact(uri)}: has the schema of an older MLflow (expected {expected}, got {found}); update every"
            " MLflow that uses it, back it up, and run `mlflow db upgrade` with this address"
        )


def require_artifacts(experiment: Experiment) -> None:
    """Check that the folder of the experiment's artifacts still exists if another checkout created the experiment.

    Without it, all runs would be trained again, and MLflow would create the folder anew for their artifacts.

    Raises:
        DataError: it does not exist.
    """
    root = str(experiment.artifact_location or "").removesuffix(f"/{experiment.name}")
    if mlflow_tables.is_root(root) and root != artifact_root().as_uri():
        folder = mlflow_tables.local_path(root)
        if not folder.is_dir():
            raise DataError(
                f"{folder}: contains the artifacts of experiment {experiment.name}, but does not exist; restore it, or,"
                " if it was moved, make a link to it at the old place; to train all runs again, set another `project`"
                " in params.yaml"
            )


def _prepare(database: Path) -> None:
    if not database.is_file():
        sqlite_template.create(database, f"mlflow-{provenance.installed_version('mlflow')}", migrate)
    mlflow_tables.relocate(database, artifact_root())


def _client(uri: str) -> MlflowClient:
    """A client whose model versions are in the same store as its runs, even if $MLFLOW_REGISTRY_URI names another.

    Otherwise, promotions would go there, while predictions and services read the champion from this store.
    """
    return MlflowClient(uri, registry_uri=uri)


def _open(uri: str) -> MlflowClient:
    try:
        return _client(uri)
    except MlflowException:  # an older MLflow's schema, or a broken database, which the migration reports
        _upgrade(uri)
    return _client(uri)


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
