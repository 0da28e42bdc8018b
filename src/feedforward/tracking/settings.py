"""MLflow's switches and the address of the store; MLflow itself is not imported here."""

import os

from feedforward.core import paths
from feedforward.core.errors import TrackingError
from feedforward.core.redaction import redact

SQLITE = "sqlite:///"
SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # One request waits at most ten seconds and is not repeated blindly (a repeated POST makes a second run when a
    # frozen server thaws): `Store` asks again where that is safe, and the spool keeps what was not sent.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # MLflow also logs, with a traceback, the errors that it raises
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # of `feedforward ui`: eight processes that wait for no work of ours
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",  # MLflow looks for git; we record the commit ourselves
}


def apply() -> None:
    """Set the switches that the user has not set."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)


def tracking_uri() -> str:
    """$MLFLOW_TRACKING_URI, or the sqlite database in the store's folder.

    Raises:
        TrackingError: the address is a folder, which MLflow no longer takes.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if not named:
        return f"sqlite:///{paths.store() / 'mlflow.db'}"
    if "://" not in named or named.startswith("file:"):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI: must start with sqlite:///, postgresql:// or http(s)://, got {redact(named)};"
            " unset it to use mlruns/mlflow.db"
        )
    return named
