"""Versions of a registered model, and who is champion: read without MLflow where the store is the local database.

MLflow takes two seconds to import, and a prediction or a service that looks for a new champion needs four columns of
its tables. A test holds what is read here against MLflow's own answer.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, TrackingError
from feedforward.tracking import settings
from feedforward.tracking.model_version import CHAMPION, DIGEST, SERVED, Version

SQLITE = "sqlite:///"


def find(dataset: str, which: str | int = CHAMPION) -> Version | None:
    """The version that has that alias or number; None if there is none.

    Raises:
        TrackingError: the store does not answer.
    """
    uri = settings.tracking_uri()
    if uri.startswith(SQLITE):
        database = Path(uri.removeprefix(SQLITE))
        return _read(database, dataset, which) if database.is_file() else None
    from feedforward.tracking.registry import Registry  # with a server MLflow does the talking

    return Registry(uri).find(dataset, which)


def is_registered(digest: str) -> bool | None:
    """Whether some version is registered with that manifest; None where there is no local database to ask."""
    uri = settings.tracking_uri()
    database = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or not database.is_file():
        return None
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        query = "SELECT 1 FROM model_version_tags WHERE key = ? AND value = ?"
        return connection.execute(query, (DIGEST, digest)).fetchone() is not None


def _read(database: Path, dataset: str, which: str | int) -> Version | None:
    try:
        address = f"{database.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=10, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # alias, version and tags as they stood at one moment
            number = which if isinstance(which, int) else _number(connection, dataset, which)
            query = (
                "SELECT run_id, COALESCE(NULLIF(storage_location, ''), source) FROM model_versions"
                " WHERE name = ? AND version = ? AND current_stage IS NOT 'Deleted_Internal'"
            )
            row = connection.execute(query, (dataset, number)).fetchone()
            if row is None or number is None:
                return None
            query = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"
            tags = {str(key): str(value) for key, value in connection.execute(query, (dataset, number))}
            return Version(dataset, number, str(row[0]), str(row[1]), tags)
    except sqlite3.Error as error:
        raise TrackingError(f"{database}: cannot be read ({error}); look at it with `make ui`") from None


def _number(connection: sqlite3.Connection, dataset: str, alias: str) -> int | None:
    query = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
    row = connection.execute(query, (dataset, alias)).fetchone()
    return int(row[0]) if row else None


def folder(version: Version, name: str) -> Path:
    """The folder `name` of the version's artifacts, on this machine; fetched and kept if it lies elsewhere.

    Raises:
        DataError: it is not there. TrackingError: the store does not answer.
    """
    inside = f"data/{name}" if name == SERVED else name  # where MLflow's flavour puts it
    parts = urlsplit(version.location)
    if parts.scheme in ("", "file"):
        found = _home(Path(url2pathname(parts.path))) / inside
    else:
        found = paths.store() / "served" / version.dataset / str(version.number) / name
        if not found.is_dir():
            from feedforward.tracking.registry import download

            with atomic_files.writing_folder(found, "fetch_version") as temporary:
                download(f"{version.location}/{inside}", temporary)
    if not found.is_dir():
        raise DataError(f"{version.name}: {found} is missing; promote the run again")
    return found


def _home(path: Path) -> Path:
    """The same artifact in this store, where the store was moved or copied since its address was written."""
    root = paths.store() / "artifacts"
    if path.is_relative_to(root) or "artifacts" not in path.parts:
        return path
    inside = path.parts[path.parts.index("artifacts") + 1 :]
    return root.joinpath(*inside) if root.joinpath(*inside).is_dir() else path
