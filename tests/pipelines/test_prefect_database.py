"""Prefect's database made from its schema: the same as its migrations make, made once, and never over another."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from feedforward.core import sqlite_template
from pipelines import prefect_database


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.mark.slow
def test_the_schema_is_what_the_installed_prefects_migrations_make() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "from pipelines import prefect_database as database; print(database.schema())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sqlite_template.alike(made.strip(), prefect_database.SCHEMA.read_text().strip()), (
        "run `python -m pipelines.prefect_database`"
    )


def test_a_new_home_gets_the_database_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_DATABASE_CONNECTION_URL", raising=False)
    prefect_database.create()
    assert {"flow_run", "task_run", "alembic_version"} <= tables(tmp_path / "home" / "prefect.db")
    assert not list((tmp_path / "home").glob("*.partial"))


def test_a_database_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    (tmp_path / "prefect.db").write_bytes(b"older")
    prefect_database.create()
    assert (tmp_path / "prefect.db").read_bytes() == b"older"


def test_where_another_database_is_named_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://x")
    prefect_database.create()
    assert not list(tmp_path.iterdir())
