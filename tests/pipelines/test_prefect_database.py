"""Prefect's database is created from a template and never replaces an existing one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import prefect_database


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.mark.slow
def test_a_database_is_created_in_a_new_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_DATABASE_CONNECTION_URL", raising=False)
    prefect_database.create()
    assert {"flow_run", "task_run", "alembic_version"} <= tables(tmp_path / "home" / "prefect.db")
    assert not list((tmp_path / "home").glob("*.partial"))


def test_an_existing_database_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    (tmp_path / "prefect.db").write_bytes(b"older")
    prefect_database.create()
    assert (tmp_path / "prefect.db").read_bytes() == b"older"


def test_no_database_is_created_if_another_one_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://x")
    prefect_database.create()
    assert not list(tmp_path.iterdir())
