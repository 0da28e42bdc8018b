"""Prefect's database is created from a template and never replaces an existing one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from feedforward.core.errors import FeedforwardError
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
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as connection:
        connection.execute("CREATE TABLE older (id)")
    prefect_database.create()
    assert tables(tmp_path / "prefect.db") == {"older"}


@pytest.mark.proves("A damaged database of Prefect is named, with a remedy that works")
@pytest.mark.parametrize("damage", ["garbage", "truncated"])
def test_a_damaged_database_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    path = tmp_path / "prefect.db"
    with closing(sqlite3.connect(path)) as connection:
        for number in range(20):
            connection.execute(f"CREATE TABLE table_{number} (id)")
    path.write_bytes(b"garbage" * 1000 if damage == "garbage" else path.read_bytes()[: 4096 * 10])
    with pytest.raises(FeedforwardError, match=rf"^{path}: Prefect's database cannot be read \(.*remove {path}\*"):
        prefect_database.create()
    for file in tmp_path.glob("prefect.db*"):
        file.unlink()
    prefect_database.create()
    assert "flow_run" in tables(path)


def test_no_database_is_created_if_another_one_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://x")
    prefect_database.create()
    assert not list(tmp_path.iterdir())
