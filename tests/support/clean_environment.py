"""Environment variables for child processes, without any that would connect them to the workspace of this process."""

import os

PREFIXES = ("DVC", "FAULT", "FEEDFORWARD", "MLFLOW", "PREFECT")  # of the variables that are left out


def environment(**variables: str) -> dict[str, str]:
    """Return the environment variables of this process without those with PREFIXES, but with `variables` added.

    DVC's analytics stay off, because each DVC command would start another process of DVC that sends them.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    return kept | {"DVC_NO_ANALYTICS": "1"} | variables
