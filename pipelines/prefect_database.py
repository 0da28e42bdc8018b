"""Creates Prefect's database as a copy of a template, which makes the first job in a checkout nine seconds faster.

`python -m pipelines.prefect_database` creates the template for this environment ahead of time, so that no job has to.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from feedforward.core import locks, provenance, sqlite_template
from feedforward.core.errors import FeedforwardError


def create() -> None:
    """Create the database in $PREFECT_HOME unless it exists or another database is configured.

    Raises:
        FeedforwardError: it exists, but is damaged or cannot be opened.
    """
    path = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    if os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL"):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.holding(path.with_suffix(".lock"), locks.LONG):
        if not path.exists():
            copy_template(path)
    if problem := _problem(path):
        remedy = f"if it is damaged, remove {path}*, which contain no training runs, models or metrics"
        raise FeedforwardError(f"{path}: Prefect's database cannot be read ({problem}); {remedy}")


def _problem(path: Path) -> str:
    """Why the database cannot be read; empty if it can."""
    try:
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            [(answer,)] = connection.execute("PRAGMA quick_check(1)")
    except sqlite3.Error as error:
        return str(error)
    return "" if answer == "ok" else str(answer).splitlines()[-1]


def copy_template(path: Path) -> None:
    """Create the new database `path` as a copy of the template, which is created first if necessary."""
    sqlite_template.create(path, f"prefect-{provenance.installed_version('prefect')}", migrate)


def migrate(path: Path) -> None:
    """Create a new database by running all of Prefect's migrations, which takes seconds."""
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    variables = {"PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{path}", "PREFECT_HOME": str(path.parent)}
    subprocess.run(command, env=os.environ | variables, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        copy_template(Path(folder) / "prefect.db")
