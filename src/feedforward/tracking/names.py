"""Names of experiments and registered models: the dataset's name, after the project's name if there is one.

Two projects with datasets of the same name can share a tracking server without mixing their runs and versions.
"""

import functools
from pathlib import Path

from feedforward.config import yaml_reader
from feedforward.core import paths


def experiment(dataset: str) -> str:
    """The name of a dataset's experiment: `DATASET`, or `PROJECT/DATASET`."""
    return f"{_project()}/{dataset}" if _project() else dataset


def registered_model(dataset: str) -> str:
    """The name of a dataset's registered model: `DATASET`, or `PROJECT.DATASET`, as MLflow does not allow a slash."""
    return f"{_project()}.{dataset}" if _project() else dataset


def _project() -> str:
    path = paths.params()
    return _read_project(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read_project(path: Path, _changed: int) -> str:
    return str(yaml_reader.read(path).get("project") or "")
