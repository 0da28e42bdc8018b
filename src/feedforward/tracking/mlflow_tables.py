"""SQL on MLflow's tables: the only module that knows their names and columns (docs/design.md, "Couplings").

MLflow has no public interface for moving a store's artifacts, and importing MLflow takes two seconds, which would delay
a prediction, and a `feedforward run` with nothing to do. Tests compare the values read here with MLflow's own answers,
and check that every column with an artifact location is listed.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from feedforward.tracking.model_version import Version

ARTIFACT_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
LOCK_TIMEOUT = 120.0  # s to wait for another writer; MLflow's migrations and large transactions take seconds


def relocate(database: Path, artifacts: Path) -> None:
    """Rewrite the locations of the store's own artifacts to the folder `artifacts` after the store was moved or copied.

    Otherwise, a copy of a store would write its artifacts into the original. The root of the store's own artifacts is
    recorded in an additional table, which MLflow ignores. All other locations are kept: they are on a server, or in the
    store of another checkout that logs to this database.

    Waits for other processes that write to the database; raises sqlite3.OperationalError after LOCK_TIMEOUT.
    """
    with closing(sqlite3.connect(database, timeout=LOCK_TIMEOUT)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" not in tables:
            return
        if "feedforward_own_artifacts" in tables:
            old_roots = {root for (root,) in connection.execute("SELECT root FROM feedforward_own_artifacts")}
        else:
            old_roots = _guess_own_roots(connection, artifacts)
            connection.execute("CREATE TABLE feedforward_own_artifacts (root TEXT PRIMARY KEY)")
        for old_root in old_roots - {artifacts.as_uri()}:
            for table, column in ARTIFACT_LOCATIONS:
                if table in tables:
                    connection.execute(  # names are constants of this module
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                        (artifacts.as_uri(), len(old_root) + 1, len(old_root) + 1, f"{old_root}/"),
                    )
            connection.execute("DELETE FROM feedforward_own_artifacts WHERE root = ?", (old_root,))
        connection.execute("INSERT OR IGNORE INTO feedforward_own_artifacts VALUES (?)", (artifacts.as_uri(),))


def _guess_own_roots(connection: sqlite3.Connection, artifacts: Path) -> set[str]:
    """The roots of a store's own artifacts, for a database that does not record them.

    An earlier release, or another checkout, created it. If no location is in `artifacts`, the store was moved or
    copied, and its own roots are those with a run whose folder is here.
    """
    roots = _roots(connection.execute("SELECT name, artifact_location FROM experiments"))
    if artifacts.as_uri() in roots:
        return set()
    uris = [str(uri) for (uri,) in connection.execute("SELECT artifact_uri FROM runs")]
    return {root for root in roots if any(_is_here(uri, root, artifacts) for uri in uris)}


def _is_here(uri: str, root: str, artifacts: Path) -> bool:
    """Whether a run's folder below `root` is also below `artifacts`."""
    return uri.startswith(f"{root}/") and (artifacts / local_path(uri).relative_to(local_path(root))).is_dir()


def _roots(experiments: Iterable[Any]) -> set[str]:
    """The artifact roots in stores of this kind, from the name and the artifact location of each experiment."""
    return {root for name, uri in experiments if is_root(root := (uri or "").removesuffix(f"/{name}"))}


def is_root(uri: str) -> bool:
    """Whether this can be the artifact root of a store of this kind."""
    return uri.startswith("file:") and uri.endswith("/artifacts")


def local_path(uri: str) -> Path:
    """The path of a `file:` URI."""
    return Path(url2pathname(urlsplit(uri).path))


def find_version(database: Path, dataset: str, name: str, alias_or_number: str | int) -> Version | None:
    """Find the version of the dataset's registered model `name` with this alias or number, if there is one.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    with _reading(database) as connection:
        number = alias_or_number
        if isinstance(number, str):
            query = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
            row = connection.execute(query, (name, number)).fetchone()
            if row is None:
                return None
            number = int(row[0])
        query = (
            "SELECT run_id, COALESCE(NULLIF(storage_location, ''), source) FROM model_versions"
            " WHERE name = ? AND version = ? AND current_stage IS NOT 'Deleted_Internal'"
        )
        row = connection.execute(query, (name, number)).fetchone()
        if row is None:
            return None
        query = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"
        tags = {str(key): str(value) for key, value in connection.execute(query, (name, number))}
        return Version(dataset, number, str(row[0]), str(row[1]), tags)


def has_version_tag(database: Path, key: str, value: str) -> bool:
    """Whether any version has this tag with this value.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    with _reading(database) as connection:
        query = "SELECT 1 FROM model_version_tags WHERE key = ? AND value = ?"
        return connection.execute(query, (key, value)).fetchone() is not None


def find_tag(database: Path, record_id: str, key: str) -> list[str]:
    """The values of this tag of the finished runs with the tag `record_id`, at most one per run.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    with _reading(database) as connection:
        query = (
            "SELECT found.value FROM tags AS id JOIN tags AS found USING (run_uuid) JOIN runs USING (run_uuid)"
            " WHERE id.key = 'record_id' AND id.value = ? AND found.key = ?"
            " AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'"
        )
        return [str(value) for (value,) in connection.execute(query, (record_id, key))]


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection within one transaction, so that all results describe the same point in time."""
    address = f"{database.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=LOCK_TIMEOUT, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        yield connection
