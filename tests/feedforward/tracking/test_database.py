"""The tracking database is created, migrated and moved; addresses that cannot work are reported in one line."""

import contextlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import workspaces
from clean_environment import environment
from threads import at_once
from tracked_runs import (
    all_runs,
    client,
    history,
    log,
    run_python,
    spooled_ids,
)

from feedforward import tracking
from feedforward.core.errors import TrackingError
from feedforward.tracking import database, mlflow_tables, model_versions
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

# columns of MLflow that look like artifact locations, but belong to features that are not used here
UNUSED_LOCATIONS = {("evaluation_dataset_records", "source"), ("mcp_server_versions", "source")}

UNSHARE = ("unshare", "--map-root-user", "--mount")  # a private mount namespace
CAN_MOUNT = shutil.which("unshare") and subprocess.run([*UNSHARE, "true"], capture_output=True).returncode == 0


@pytest.mark.slow
def test_all_artifact_locations_in_mlflows_tables_are_known(tmp_path: Path) -> None:
    """A new database also has no experiment yet, so no location of another folder."""
    database.migrate(tmp_path / "mlflow.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {(name, row[1]) for name in names for row in connection.execute(f"PRAGMA table_info({name})")}
        assert connection.execute("SELECT * FROM experiments").fetchall() == []
    pattern = r"artifact_(uri|location)|storage_location|^source$"
    locations = {(table, name) for table, name in columns if re.search(pattern, name)}
    assert locations - UNUSED_LOCATIONS == set(mlflow_tables.ARTIFACT_LOCATIONS)


@pytest.mark.slow
def test_a_database_whose_creation_was_interrupted_is_created_again(workspace: Path) -> None:
    path = workspace / "mlruns" / "mlflow.db"
    path.unlink()
    assert run_python(workspace, "tracking.open_store()", FAULT="schema.before_rename").returncode == -signal.SIGKILL
    assert not path.exists()
    log(tracking.open_store())
    assert [file.name for file in path.parent.glob("mlflow.db*")] == ["mlflow.db"]


@pytest.mark.slow
def test_four_processes_create_and_use_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspaces.create(tmp_path, monkeypatch, "seeds: 1\n")
    code = "s = tracking.open_store(); [log(s, 10 * int(os.environ['PART']) + k) for k in range(5)]"
    done = at_once(lambda part: run_python(tmp_path, code, PART=str(part)), range(4))
    assert [(process.returncode, process.stderr) for process in done] == [(0, "")] * 4  # and no warning
    runs = all_runs()
    assert len(runs) == 20
    assert sum(len(history(run.info.run_id, "loss")) for run in runs) == 20 * 20
    assert spooled_ids() == []


@pytest.mark.slow
@pytest.mark.proves("A shared database with an older MLflow's schema is left as it is, and the message has the remedy")
@pytest.mark.parametrize("is_own", [True, False], ids=["own", "shared"])
def test_an_older_schema_is_migrated_unless_the_database_is_shared(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from sqlalchemy import create_engine, text

    uri = f"sqlite:///{workspace}/mlruns/mlflow.db"
    if not is_own:
        uri = f"sqlite:///{shutil.move(workspace / 'mlruns' / 'mlflow.db', tmp_path)}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    config = _get_alembic_config(uri)
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    assert head is not None
    with contextlib.suppress(NotImplementedError):
        command.downgrade(config, "-1")

    def schema() -> str:
        with create_engine(uri).connect() as connection:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())

    older = schema()
    if older == head:
        pytest.skip("MLflow's last migration cannot be undone")
    if is_own:
        log(tracking.open_store())
        assert schema() == head
    else:
        with pytest.raises(TrackingError, match=rf"got {older}\).* run `mlflow db upgrade` with this address$"):
            tracking.open_store()
        assert schema() == older


@pytest.mark.parametrize("address", ["./mlruns", "http://[", "http://", "http://host:abc", "file:///tmp", "sqlite:"])
def test_an_invalid_tracking_address_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, workspace: Path, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    message = "MLFLOW_TRACKING_URI: must be an address such as sqlite:///PATH, postgresql://HOST/NAME or https://HOST,"
    with pytest.raises(TrackingError, match=re.escape(f"{message} got {address};")) as caught:
        tracking.open_store()
    assert "\n" not in str(caught.value)


@pytest.mark.proves("The commands never disagree about which SQLite file an address names")
@pytest.mark.parametrize("file", ["mlflow.db?timeout=60", "ml%66low.db"])
def test_an_sqlite_address_with_options_or_escapes_is_refused_everywhere(
    store: "Store", monkeypatch: pytest.MonkeyPatch, workspace: Path, file: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace}/mlruns/{file}")
    for use in (tracking.open_store, lambda: model_versions.find("words")):
        with pytest.raises(TrackingError, match=r"^MLFLOW_TRACKING_URI: an SQLite address must have no options"):
            use()


def test_a_database_address_with_an_invalid_port_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, workspace: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://user:password1@127.0.0.1:abc/db")
    with pytest.raises(
        TrackingError, match=r"^postgresql\+psycopg2://\*\*\*@127.0.0.1:abc/db: cannot be opened \(.*abc"
    ) as caught:
        tracking.open_store()
    assert "\n" not in str(caught.value)


def test_a_database_without_an_installed_driver_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, workspace: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql://127.0.0.1/x")
    with pytest.raises(TrackingError, match=r"cannot be opened \(No module named 'MySQLdb'\)") as caught:
        tracking.open_store()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("use", [tracking.open_store, lambda: model_versions.find("words")], ids=["open", "read"])
def test_a_damaged_database_is_reported_in_one_line(workspace: Path, use: Callable[[], object]) -> None:
    (workspace / "mlruns" / "mlflow.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    message = r"mlflow.db: cannot be (opened|read) \(.*not a database.*\); restore a backup, or move it away and run"
    with pytest.raises(TrackingError, match=message) as caught:
        use()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("use", [tracking.open_store, lambda: model_versions.find("words")], ids=["open", "read"])
def test_a_database_that_stays_locked_is_not_reported_as_damaged(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[], object]
) -> None:
    monkeypatch.setattr(mlflow_tables, "LOCK_TIMEOUT", 0.1)
    with contextlib.closing(sqlite3.connect(workspace / "mlruns" / "mlflow.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            TrackingError, match=r"\(database is locked\); wait until the process .* has ended"
        ) as caught:
            use()
    assert "away" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MOUNT, reason="this user cannot mount a file system")
@pytest.mark.proves("If the disk is full, no message advises to replace the tracking database")
def test_a_full_disk_is_reported_with_the_advice_to_free_space(empty_database: Path, tmp_path: Path) -> None:
    store = tmp_path / "mlruns"
    store.mkdir()
    (tmp_path / "params.yaml").touch()
    script = (
        f"mount -t tmpfs -o size=4m none {store} && mkdir {store}/artifacts && touch {store}/.schema.lock"
        f" && cp {empty_database} {store} && dd if=/dev/zero of={store}/filler 2> /dev/null"
        f"; exec {sys.executable} -m feedforward.cli sync"
    )
    variables = environment(FEEDFORWARD_ROOT=str(tmp_path))
    done = subprocess.run([*UNSHARE, "sh", "-c", script], env=variables, capture_output=True, text=True)
    reason = "cannot be opened (database or disk is full)"
    assert (done.returncode, done.stderr) == (
        1,
        f"sqlite:///{store}/mlflow.db: {reason}; free disk space, then run again\n",
    )


def test_an_argument_of_another_type_is_not_reported_as_damage(store: "Store") -> None:
    with pytest.raises((sqlite3.InterfaceError, sqlite3.ProgrammingError)):
        model_versions.find("words", object())  # type: ignore[arg-type]


@pytest.mark.proves("A moved or copied checkout lists its own artifacts")
def test_a_copied_checkout_uses_its_own_artifacts_and_does_not_touch_the_original(
    store: "Store", workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(store, 0)
    copy = workspace.with_name("it's a copy")
    shutil.copytree(workspace, copy)
    before = sorted(workspace.rglob("*"))
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(copy))
    store_of_copy = tracking.open_store()
    shutil.rmtree(workspace / "mlruns" / "artifacts")
    assert store_of_copy.find_results("words", "fair", "replica", [f"{0:064x}"])
    log(store_of_copy, 1)
    assert len(list((copy / "mlruns" / "artifacts").rglob("result.json"))) == 2
    assert not [path for path in workspace.rglob("*") if path not in before]


@pytest.mark.proves("Opening a store does not change an artifact location that is outside of the checkout")
@pytest.mark.parametrize("location", ["s3://bucket/artifacts", "file://{share}/artifacts"])
def test_artifact_locations_outside_the_checkout_are_kept(workspace: Path, tmp_path: Path, location: str) -> None:
    (tmp_path / "artifacts").mkdir()
    location = location.format(share=tmp_path)
    client().create_experiment("words", f"{location}/words")
    tracking.open_store()
    assert client().get_experiment_by_name("words").artifact_location == f"{location}/words"


def forget_own_artifacts(workspace: Path) -> None:
    """Turn the database into one of an earlier release, which does not record where the store's artifacts are."""
    with contextlib.closing(sqlite3.connect(workspace / "mlruns" / "mlflow.db")) as connection, connection:
        connection.execute("DROP TABLE feedforward_own_artifacts")


@pytest.mark.parametrize("make", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_a_store_of_an_earlier_release_that_was_moved_or_copied_finds_its_own_artifacts(
    store: "Store", workspace: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, Path], object]
) -> None:
    log(store, 0)
    forget_own_artifacts(workspace)
    new_place = workspace.with_name("a b")
    make(workspace, new_place)
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(new_place))
    assert tracking.open_store().find_results("words", "fair", "replica", [f"{0:064x}"])
    assert client().get_experiment_by_name("words").artifact_location == f"{database.artifact_root().as_uri()}/words"


@pytest.mark.proves("A checkout that logs to another checkout's database keeps its artifacts")
@pytest.mark.parametrize("release", ["this", "earlier"])
def test_artifacts_of_another_checkout_that_logs_to_the_database_are_kept(
    store: "Store", workspace: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    log(store, 0)
    guest = workspaces.add_store(workspaces.create(workspace.with_name("guest"), monkeypatch), empty_database)
    tracking.open_store()  # the guest has a database of its own, too
    (guest / "params.yaml").write_text("project: guest\n")

    def is_found(root: Path, seed: int) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            workspaces.enter(root, patch)
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{host}/mlruns/mlflow.db")
            return len(tracking.open_store().find_results("words", "fair", "replica", [f"{seed:064x}"])) == 1

    def open_as_host() -> None:
        with pytest.MonkeyPatch.context() as patch:
            workspaces.enter(host, patch)
            tracking.open_store()

    host = workspace
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{host}/mlruns/mlflow.db")
    log(tracking.open_store(), 1)
    if release == "earlier":
        forget_own_artifacts(host)
    open_as_host()
    assert is_found(guest, 1)

    guest.rename(guest.with_name("away"))  # for instance, a volume that is not mounted
    host = workspace.rename(workspace.with_name("moved"))
    open_as_host()
    guest.with_name("away").rename(guest)
    assert is_found(guest, 1)
    assert is_found(host, 0)


@pytest.mark.proves("A checkout works in a folder of any name, or the name is refused in one line")
@pytest.mark.parametrize("name", ["a?b", "a%20b"])
def test_a_path_that_mlflow_cannot_use_is_rejected_in_one_line(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FEEDFORWARD_STORE", str(tmp_path / name))
    with pytest.raises(TrackingError, match="MLflow cannot use a folder whose path contains") as caught:
        tracking.open_store()
    assert "\n" not in str(caught.value)


@pytest.mark.proves("A checkout works in a folder of any name, or the name is refused in one line")
@pytest.mark.parametrize("name", ["it's", "a b", "größe", "artifacts"])
def test_checkouts_with_special_names_work_and_can_be_moved(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    workspaces.add_store(workspaces.create(tmp_path / name, monkeypatch, "seeds: 1\n"), empty_database)
    log(tracking.open_store())
    shutil.move(tmp_path / name, tmp_path / f"moved {name}")
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path / f"moved {name}"))
    assert tracking.open_store().find_results("words", "fair", "replica", [f"{0:064x}"])


@pytest.mark.proves("A job waits for a database that is locked by another process")
def test_opening_waits_for_a_process_that_writes_to_the_database(workspace: Path) -> None:
    path = workspace / "mlruns" / "mlflow.db"
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(1, lambda: writer.execute("ROLLBACK"))
    release.start()
    log(tracking.open_store())
    release.join()
    writer.close()
    assert len(all_runs()) == 1


@pytest.mark.proves("Promotions and predictions use the same registry, whatever `MLFLOW_REGISTRY_URI` names")
def test_versions_are_in_the_tracking_store_even_if_mlflow_is_given_another_registry(
    store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client().create_registered_model("words")
    client().create_model_version("words", "file:///model", "0" * 32)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path}/other.db")
    found = Registry().find("words", 1)
    assert found is not None
    assert found == model_versions.find("words", 1)
    assert not (tmp_path / "other.db").exists()
