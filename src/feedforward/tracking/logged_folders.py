"""Whether the current contents of a folder are in the store.

If the store is the local database, MLflow is not imported.
"""

import sqlite3
from pathlib import Path

from feedforward.core import atomic_files
from feedforward.core.errors import TrackingError
from feedforward.tracking import mlflow_tables, records, settings
from feedforward.tracking.records import RunTags

DIGEST = "content_digest"  # tag of a run that logged a folder


def files(folder: Path) -> dict[str, Path]:
    """The files that are logged, by their path below the folder. Hidden ones, such as DVC's `.gitignore`, are not."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    hidden = {name for name in paths if any(part.startswith(".") for part in name.parts)}
    return {name.as_posix(): path for name, path in paths.items() if name not in hidden}


def content_digest(folder: Path) -> str:
    """SHA-256 (hex) of the names and contents of the files that are logged."""
    return atomic_files.digest({name: atomic_files.file_digest(path) for name, path in files(folder).items()})


def is_logged(tags: RunTags, folder: Path) -> bool:
    """Whether a finished run with these tags has the folder's current files; False if the store does not answer.

    Raises:
        TrackingError: the address of the store is invalid.
    """
    uri, record_id = settings.tracking_uri(), records.lasting_id(tags)
    digest = content_digest(folder)
    if uri.startswith(settings.SQLITE):
        try:
            return digest in mlflow_tables.find_tag(Path(uri.removeprefix(settings.SQLITE)), record_id, DIGEST)
        except sqlite3.Error:  # no database yet, or not one of MLflow's
            return False
    settings.apply()  # sets the time-outs of MLflow's client
    from feedforward.tracking.registry import Registry

    try:
        runs = Registry(uri).find_runs(tags.dataset, record_id=record_id)
    except TrackingError:
        return False
    return digest in {run.tags.get(DIGEST) for run in runs}
