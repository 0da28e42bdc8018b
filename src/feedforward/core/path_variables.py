"""Environment variables that contain a path: a relative path has the same meaning in all processes of a command."""

import os
from pathlib import Path

PATHS = (
    "FEEDFORWARD_ROOT",
    "FEEDFORWARD_STORE",
    "FEEDFORWARD_MIRROR",
    "FEEDFORWARD_SIGNER",
    "PREFECT_HOME",
    "DVC_SITE_CACHE_DIR",
)
DATABASES = ("MLFLOW_TRACKING_URI", "PREFECT_API_DATABASE_CONNECTION_URL")


def resolve() -> None:
    """Make relative paths absolute, against the current folder; call this when a command starts.

    DVC runs the stages in the workspace, and Prefect runs flows in folders of its own.
    """
    for name in PATHS:
        if value := os.environ.get(name):
            os.environ[name] = _absolute(value)
    for name in DATABASES:
        scheme, mark, path = os.environ.get(name, "").partition(":///")
        if scheme.startswith("sqlite") and path and not path.startswith(":"):  # not :memory:
            os.environ[name] = f"{scheme}{mark}{_absolute(path)}"


def _absolute(value: str) -> str:
    """The absolute path, with `~` expanded: in service units and containers, no shell does that. Addresses stay."""
    if "://" in value or "::" in value:
        return value
    return str(Path.cwd() / os.path.expanduser(value))  # noqa: PTH111  # unlike pathlib, never raises
