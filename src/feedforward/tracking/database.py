"""The database behind the store: made or upgraded by one process at a time, and at home where it lies.

A new one is made from its schema in mlflow.sql. After an upgrade of MLflow: `python -m feedforward.tracking.database`
writes mlflow.sql anew.
"""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from feedforward.core import atomic_files, paths, sqlite_template
from feedforward.core.errors import TrackingError
from feedforward.core.redaction import redact

SQLITE = "sqlite:///"
SCHEMA = Path(__file__).with_name("mlflow.sql")
# Columns that hold absolute addresses of artifacts, as MLflow writes them for a local store.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def is_server(uri: str) -> bool:
    """Whether the address is that of a tracking server rather than of a database."""
    return uri.startswith(("http://", "https://"))


def artifact_root() -> Path:
    """Folder of the artifacts when no server keeps them."""
    return paths.store() / "artifacts"


def connect(uri: str) -> MlflowClient:
    """A client of the store; makes or upgrades the schema of a database, one process at a time.

    Raises:
        TrackingError: the database cannot be opened.
    """
    if is_server(uri):
        return MlflowClient(uri)
    paths.store().mkdir(parents=True, exist_ok=True)
    # Several writers on a database that does not exist yet all fail.
    with FileLock(paths.store() / ".schema.lock"):
        try:
            own = paths.store() / "mlflow.db"
            if uri == f"{SQLITE}{own}":
                _bring_home(own) if own.is_file() else sqlite_template.make(own, SCHEMA, "schema")
            return _open(uri)
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            what = redact(str(error)).splitlines()[0]
            raise TrackingError(
                f"{redact(uri)}: cannot be opened ({what}); check the address or move it away"
            ) from None


def _open(uri: str) -> MlflowClient:
    try:
        return MlflowClient(uri)
    except MlflowException as error:
        if "out-of-date" not in str(error):
            raise
    # What `mlflow db upgrade` calls; it has no public name.
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    _upgrade_db(create_sqlalchemy_engine(uri))
    return MlflowClient(uri)


def _bring_home(database: Path) -> None:
    """Point absolute artifact addresses at this folder, after the checkout was moved or copied.

    Otherwise a copy would write its artifacts into the original.
    """
    home = artifact_root().as_uri()
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" not in tables:
            return
        rows = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
        roots = {where.removesuffix(f"/{name}") for name, where in rows if (where or "").endswith(f"/artifacts/{name}")}
        for old in roots - {home}:
            for table, column in _ADDRESSES:
                if table in tables:
                    connection.execute(  # the names are constants of this module
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                        (home, len(old) + 1, len(old) + 1, f"{old}/"),
                    )


def schema() -> str:
    """What MLflow's migrations make, as SQL, but for the experiment `Default`, whose folder is each store's own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        MlflowClient(f"{SQLITE}{path}")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM experiments")
        return sqlite_template.dump(path)


if __name__ == "__main__":
    atomic_files.write_text(SCHEMA, schema())
