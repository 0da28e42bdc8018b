"""MLflow's environment variables and the address of the store. MLflow itself is not imported here."""

import importlib.util
import os
import re
from urllib.parse import urlsplit

from feedforward.core import paths
from feedforward.core.errors import TrackingError
from feedforward.core.redaction import redact

SQLITE = "sqlite:///"
POSTGRESQL = "postgresql://"
UNUSABLE = re.compile(r"\?|%[0-9a-fA-F]{2}")  # what MLflow cannot handle in addresses of databases and artifacts
VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A request waits at most ten seconds, and MLflow does not repeat it: a repeated POST creates a second run when a
    # frozen server resumes. `Connection` repeats calls where that is safe; the spool keeps unsent records.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # MLflow also logs the errors that it raises, with tracebacks
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs would make `feedforward ui` start eight idle processes
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",  # git may be missing; this project records the commit itself
}


def apply() -> None:
    """Set the environment variables that the user has not set."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)


def tracking_uri() -> str:
    """$MLFLOW_TRACKING_URI, or the SQLite database in the store's folder.

    Raises:
        TrackingError: MLflow does not accept the address, or cannot store artifacts in a folder with this path.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        store = str(paths.store())
        if UNUSABLE.search(store):
            raise TrackingError(
                f"{store}: MLflow cannot use a folder whose path contains a question mark, or a percent sign and two"
                " hexadecimal digits; rename the folder, or set FEEDFORWARD_STORE to another one"
            )
        return f"{SQLITE}{store}/mlflow.db"
    if not _is_address(uri):
        raise TrackingError(
            "MLFLOW_TRACKING_URI: must be an address such as sqlite:///PATH, postgresql://HOST/NAME or https://HOST,"
            f" got {redact(uri)}; unset it to use mlruns/mlflow.db"
        )
    if uri.startswith(SQLITE) and UNUSABLE.search(uri):
        raise TrackingError(
            "MLFLOW_TRACKING_URI: an SQLite address must have no options (?), and no percent sign followed by two"
            f" hexadecimal digits, got {redact(uri)}; name only the file, or rename it"
        )
    # SQLAlchemy 2.1 would use psycopg 3 for this address; the locked packages contain psycopg2.
    if uri.startswith(POSTGRESQL) and not importlib.util.find_spec("psycopg"):
        return uri.replace(POSTGRESQL, "postgresql+psycopg2://", 1)
    return uri


def _is_address(uri: str) -> bool:
    """Whether the address names a database, or a server with a host."""
    try:
        parts = urlsplit(uri)
        is_server = parts.scheme in ("http", "https")
        is_complete = not is_server or (parts.hostname is not None and parts.port != 0)
    except ValueError:  # such as http://[, or a port that is not a number
        return False
    return "://" in uri and parts.scheme != "file" and is_complete
