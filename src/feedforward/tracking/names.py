"""Names of experiments and registered models: the dataset's name, preceded by the project's name if there is one.

Two projects with datasets of the same name can share a tracking server without mixing their runs and versions.
"""

from feedforward.config import file_values
from feedforward.core import paths


def experiment(dataset: str) -> str:
    """The name of a dataset's experiment: `DATASET`, or `PROJECT/DATASET`."""
    return f"{_project()}/{dataset}" if _project() else dataset


def registered_model(dataset: str) -> str:
    """The name of a dataset's registered model: `DATASET`, or `PROJECT.DATASET`, as MLflow does not allow a slash."""
    return f"{_project()}.{dataset}" if _project() else dataset


def _project() -> str:
    return str(file_values.read_cached(paths.params()).get("project") or "")
