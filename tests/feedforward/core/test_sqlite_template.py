"""A template is migrated once per environment and copied atomically; a read-only environment works without one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from threads import at_once

from feedforward.core import sqlite_template


class Migration:
    """A migration that counts how many times it runs."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> None:
        self.calls += 1
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE runs (id INTEGER)")
            connection.execute("INSERT INTO runs VALUES (7)")


@pytest.fixture
def migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migration:
    monkeypatch.setattr("sys.prefix", str(tmp_path / "environment"))
    return Migration()


def ids(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM runs")]


def test_one_migration_is_enough_for_all_databases_of_an_environment(migration: Migration, tmp_path: Path) -> None:
    for name in ("a", "b"):
        sqlite_template.create(tmp_path / name / "runs.db", "library-1", migration)
        assert ids(tmp_path / name / "runs.db") == [7]
    assert migration.calls == 1
    sqlite_template.create(tmp_path / "c.db", "library-2", migration)
    assert migration.calls == 2


def test_concurrent_threads_migrate_once(migration: Migration, tmp_path: Path) -> None:
    def create(index: int) -> None:
        sqlite_template.create(tmp_path / f"{index}.db", "library-1", migration)

    at_once(create, range(6))
    assert migration.calls == 1
    assert [ids(tmp_path / f"{index}.db") for index in range(6)] == [[7]] * 6


def test_a_failed_migration_creates_nothing(migration: Migration, tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        migration(path)
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        sqlite_template.create(tmp_path / "a.db", "library-1", fail)
    assert not (tmp_path / "a.db").exists()
    sqlite_template.create(tmp_path / "a.db", "library-1", migration)
    assert ids(tmp_path / "a.db") == [7]


def test_an_environment_that_cannot_be_written_works_without_a_template(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "share").write_text("a file where the folder belongs")
    sqlite_template.create(tmp_path / "a.db", "library-1", migration)
    assert ids(tmp_path / "a.db") == [7]
    assert [path.name for path in (tmp_path / "environment").iterdir()] == ["share"]
