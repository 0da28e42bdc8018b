"""Environment variables for child processes: those of this process, but none that would connect them to its work."""

import os

SETTINGS = ("DVC", "FAULT", "FEEDFORWARD", "MLFLOW", "PREFECT")  # how the names of such variables begin


def environment(**more: str) -> dict[str, str]:
    """Return these variables, with `more` added."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)} | more
