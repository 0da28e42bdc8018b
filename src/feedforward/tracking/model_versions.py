"""Find model versions and their files, without importing MLflow if the store is the local database.

Importing MLflow takes two seconds. Therefore, predictions, and services that look for a new champion, read the database
directly (mlflow_tables). If a version is stored on a server, its files are downloaded once and kept, in a folder that
belongs to the server's address and the name of the registered model. A copy that was damaged is downloaded again.
"""

import contextlib
import dataclasses
import hashlib
import logging
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from feedforward.core import atomic_files, locks, paths
from feedforward.core.errors import DataError, TrackingError
from feedforward.core.redaction import redact
from feedforward.tracking import database_remedies, mlflow_tables, names, settings
from feedforward.tracking.model_version import CHAMPION, DIGEST, SERVED, Version

log = logging.getLogger(__name__)


def find(dataset: str, alias_or_number: str | int = CHAMPION, is_known: bool = False) -> Version | None:
    """Return the version with the given alias or number, or None if there is none.

    is_known: the caller has found a version before, so there is a database.

    Raises:
        TrackingError: the store does not answer, or there is no database although the version is known.
    """
    uri = settings.tracking_uri()
    if uri.startswith(settings.SQLITE):
        database = Path(uri.removeprefix(settings.SQLITE))
        if not database.is_file() and not is_known:
            return None
        with _reporting_errors(database):
            return mlflow_tables.find_version(database, dataset, names.registered_model(dataset), alias_or_number)
    settings.apply()  # sets the time-outs of MLflow's client
    from feedforward.tracking.registry import Registry

    version = Registry(uri).find(dataset, alias_or_number)
    if alias_or_number == CHAMPION:
        remember_champion(dataset, version)
    return version


def last_known_champion(dataset: str) -> Version | None:
    """The champion that this checkout last found or chose; its local copy can be used while the server is down.

    None if the checkout has used only other servers, or has looked up only another project's champion.

    Raises:
        TrackingError: the address of the store is invalid.
    """
    try:
        return Version(**atomic_files.read_json(_champion_file(dataset)))
    except (OSError, ValueError, TypeError):
        return None


def remember_champion(dataset: str, champion: Version | None) -> None:
    """Keep the champion for `last_known_champion`, unless the store is a local database, which is never unreachable.

    Raises:
        TrackingError: the address of the store is invalid.
    """
    if settings.tracking_uri().startswith(settings.SQLITE):
        return
    if champion is None:
        _champion_file(dataset).unlink(missing_ok=True)
    elif champion != last_known_champion(dataset):
        atomic_files.write_json(_champion_file(dataset), dataclasses.asdict(champion), "champion")


def _champion_file(dataset: str) -> Path:
    return _copies(dataset) / "champion.json"


def _copies(dataset: str) -> Path:
    """The folder of downloaded versions: on other servers and in other projects, a number means another version."""
    return paths.store() / "served" / f"{names.registered_model(dataset)}-{_short_digest(settings.tracking_uri())}"


def _short_digest(address: str) -> str:
    return hashlib.sha256(redact(address).encode()).hexdigest()[:12]


def is_registered(digest: str) -> bool | None:
    """Whether any version has a manifest with that SHA-256; None without a local database.

    Raises:
        TrackingError: the database cannot be read.
    """
    uri = settings.tracking_uri()
    database = Path(uri.removeprefix(settings.SQLITE))
    if not uri.startswith(settings.SQLITE) or not database.is_file():
        return None
    with _reporting_errors(database):
        return mlflow_tables.has_version_tag(database, DIGEST, digest)


@contextlib.contextmanager
def _reporting_errors(database: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.InterfaceError, sqlite3.ProgrammingError):  # a mistake of the caller, not of the database
        raise
    except sqlite3.Error as error:
        raise TrackingError(f"{database}: cannot be read ({error}); {database_remedies.remedy(error)}") from None


def folder(version: Version, name: str) -> Path:
    """The local folder `name` of the version's artifacts; it is downloaded and kept if the version is stored elsewhere.

    Raises:
        DataError: there is no such folder. TrackingError: the store does not answer, or the folder cannot be read.
    """
    path, uri = _path_and_uri(version, name)
    if uri and not path.is_dir():
        _download(uri, path, Path.is_dir)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:  # it may be intact
        raise TrackingError(f"{path}: cannot be read ({error.strerror}); fix it, then run again") from None
    if not is_folder:
        raise DataError(f"{version.name}: {path} is missing; promote the run again")
    return path


def repair_copy(version: Version, name: str, is_intact: Callable[[Path], bool]) -> bool:
    """If the version's folder `name` is a downloaded copy, download it again; return whether it is a copy.

    is_intact: checks a folder; if another process has repaired the copy in the meantime, nothing is downloaded.

    Raises:
        TrackingError: the store does not answer; the damaged copy is kept.
    """
    path, uri = _path_and_uri(version, name)
    if not uri:
        return False
    log.warning("%s: the copy is damaged; downloading it again", path)
    _download(uri, path, is_intact)
    return True


def _path_and_uri(version: Version, name: str) -> tuple[Path, str]:
    """The path of the version's folder `name`, and the URI to download it from; empty if it is in this store."""
    subfolder = f"data/{name}" if name == SERVED else name
    parts = urlsplit(version.location)
    if parts.scheme in ("", "file"):
        return _path_in_this_store(Path(url2pathname(parts.path))) / subfolder, ""
    # numbers start again if the registered model is deleted, so the location is part of the name
    path = _copies(version.dataset) / f"{version.number}-{_short_digest(version.location)}" / name
    return path, f"{version.location}/{subfolder}"


def _download(uri: str, target: Path, is_complete: Callable[[Path], bool]) -> None:
    """Download a folder of artifacts to `target`, one process at a time."""
    from feedforward.tracking.registry import download

    target.parent.mkdir(parents=True, exist_ok=True)
    with locks.holding(target.with_name(f".{target.name}.lock"), locks.LONG):
        if is_complete(target):  # another process was faster
            return
        with tempfile.TemporaryDirectory() as temporary:
            downloaded = download(uri, Path(temporary))
            with atomic_files.writing_folder(target, "fetch_version") as partial:
                shutil.copytree(downloaded, partial, dirs_exist_ok=True)


def _path_in_this_store(path: Path) -> Path:
    """The path of an artifact folder in this store, even if the store was moved or copied after `path` was recorded."""
    root = paths.store() / "artifacts"
    if path.is_relative_to(root):
        return path
    positions = [position for position, part in enumerate(path.parts) if part == "artifacts"]
    candidates = [root.joinpath(*path.parts[position + 1 :]) for position in reversed(positions)]
    return next((candidate for candidate in candidates if candidate != root and candidate.is_dir()), path)
