"""Settings of the tools that must stand in the environment before they are imported."""

import os

from feedforward.core import paths


def apply() -> None:
    """No telemetry, quiet logs and libraries, and Prefect's state inside this checkout; what the user has set stays."""
    for name, value in {
        "ACERO_ALIGNMENT_HANDLING": "reallocate",  # Arrow's: what came over a wire lies anywhere in memory
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(paths.root() / ".prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_CLI_PROMPT": "false",
    }.items():
        os.environ.setdefault(name, value)
