"""Names of experiments and registered models: the dataset's name, preceded by the project's name if there is one.

Two projects with datasets of the same name can share a tracking server without mixing their runs and versions.
"""

import contextlib
from collections.abc import Iterator

from feedforward.config import file_values
from feedforward.core import paths

_fixed: str | None = None


@contextlib.contextmanager
def fixed(project: str | None = None) -> Iterator[None]:
    """During the block, use this project (default: the current one) in all threads, even if params.yaml is edited.

    For jobs and services, which keep the parameters that they have read at their start.
    """
    global _fixed
    before, _fixed = _fixed, current_project() if project is None else project
    try:
        yield
    finally:
        _fixed = before


def experiment(dataset: str) -> str:
    """The name of a dataset's experiment: `DATASET`, or `PROJECT/DATASET`."""
    return f"{current_project()}/{dataset}" if current_project() else dataset


def registered_model(dataset: str) -> str:
    """The name of a dataset's registered model: `DATASET`, or `PROJECT.DATASET`, as MLflow does not allow a slash."""
    return f"{current_project()}.{dataset}" if current_project() else dataset


def current_project() -> str:
    """The name of the project; empty if it has none."""
    return _fixed if _fixed is not None else str(file_values.read_cached(paths.params()).get("project") or "")
