"""Checkouts without MLflow's server that use a database other than mlruns/mlflow.db: in SQLite or PostgreSQL."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
import workspaces
from threads import at_once
from tracked_runs import all_runs, client, log, run_python, tags

from faults import stack
from feedforward import tracking
from feedforward.core.errors import DataError, TrackingError
from feedforward.tracking import model_versions, settings
from feedforward.tracking.registry import Registry

MISSING = stack.missing_requirements()
POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING)])
Enter = Callable[[Path], Path]


@pytest.fixture(scope="module")
def postgres() -> Iterator[stack.Postgres]:
    with tempfile.TemporaryDirectory(prefix="feedforward-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # if the current user is root, PostgreSQL runs as another user
        server = stack.Postgres(folder / "postgres")
        server.start()
        try:
            server.wait()
            yield server
        finally:
            server.kill()


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new database. That of a PostgreSQL database does not name a driver."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/team.db"
    server: stack.Postgres = request.getfixturevalue("postgres")
    name = tmp_path.name.lower()
    server.make_database(name)
    return server.url(name, "x").replace("+x", "")


@pytest.fixture
def enter(new_database: str, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """A function that enters a checkout, created if necessary, whose store is the database."""

    def enter_checkout(root: Path) -> Path:
        if not root.exists():
            workspaces.create(root, monkeypatch, "seeds: 1\n")
        workspaces.enter(root, monkeypatch)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", new_database)
        return root

    return enter_checkout


def log_seed(seed: int) -> None:
    log(tracking.open_store(), seed)


def is_found(seed: int) -> bool:
    return len(tracking.open_store().find_results("words", "fair", "replica", [f"{seed:064x}"])) == 1


databases = pytest.mark.parametrize("new_database", ["sqlite", POSTGRESQL], indirect=True)


@pytest.mark.proves("`postgresql://HOST/NAME` works with the packages of requirements/cluster.txt")
@pytest.mark.parametrize("new_database", [POSTGRESQL], indirect=True)
def test_an_address_without_a_driver_works(enter: Enter, tmp_path: Path) -> None:
    enter(tmp_path / "a")
    log_seed(0)
    assert is_found(0)
    assert Registry().find("words", "champion") is None


@pytest.mark.slow
@pytest.mark.proves("Checkouts that open a new database at the same time do not disturb each other")
@databases
def test_three_checkouts_create_and_use_one_database(enter: Enter, tmp_path: Path) -> None:
    roots = [enter(tmp_path / str(number)) for number in range(3)]
    code = "log(tracking.open_store(), int(os.environ['SEED']))"
    done = at_once(lambda root: run_python(root, code, SEED=root.name), roots)
    assert [(process.returncode, process.stderr) for process in done] == [(0, "")] * 3
    assert len(all_runs()) == 3


@pytest.mark.slow
@pytest.mark.proves("A moved checkout finds its results and versions in any database, or says what to do")
@databases
def test_a_moved_checkout_finds_its_artifacts_through_a_link(enter: Enter, tmp_path: Path) -> None:
    before = enter(tmp_path / "before")
    log_seed(0)
    run = all_runs()[0].info
    client().create_registered_model("words")
    client().create_model_version("words", f"{run.artifact_uri}/model", run.run_id)
    after = enter(before.rename(tmp_path / "after"))
    with pytest.raises(DataError, match=rf"^{before}/mlruns/artifacts: .* if it was moved, make a link to it"):
        is_found(0)
    before.symlink_to(after)
    assert is_found(0)
    assert Registry().find("words", 1) == model_versions.find("words", 1)
    log_seed(1)
    assert is_found(1)
    assert len(list(after.rglob("result.json"))) == 2


@pytest.mark.slow
@databases
def test_a_copied_checkout_leaves_the_artifacts_in_the_original(enter: Enter, tmp_path: Path) -> None:
    original = enter(tmp_path / "original")
    log_seed(0)
    shutil.copytree(original, tmp_path / "copy")
    enter(tmp_path / "copy")
    log_seed(1)
    assert len(list(original.rglob("result.json"))) == 2
    assert is_found(0)


@pytest.mark.slow
@pytest.mark.proves("No run is lost if a checkout that was copied is not mounted for some time")
@databases
def test_a_copy_does_not_replace_an_original_that_is_not_mounted(enter: Enter, tmp_path: Path) -> None:
    original, copy, unmounted = enter(tmp_path / "original"), tmp_path / "copy", tmp_path / "unmounted"
    log_seed(0)
    shutil.copytree(original, copy)
    log_seed(1)  # only in the original
    original.rename(unmounted)
    enter(copy)
    with pytest.raises(DataError, match=r"does not exist; restore it"):
        is_found(0)
    unmounted.rename(original)
    for root in (original, copy):
        enter(root)
        assert is_found(0)
        assert is_found(1)


@pytest.mark.slow
def test_a_database_in_the_checkout_is_copied_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, copy = workspaces.create(tmp_path / "original", monkeypatch, "seeds: 1\n"), tmp_path / "copy"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{original}/runs.db")
    log_seed(0)
    shutil.copytree(original, copy)
    workspaces.enter(copy, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}/runs.db")
    assert is_found(0)
    log_seed(1)
    assert [len(list(root.rglob("result.json"))) for root in (original, copy)] == [1, 2]


@pytest.mark.slow
@pytest.mark.proves("A checkout that logs to another checkout's database keeps its artifacts")
@pytest.mark.parametrize("database", ["runs.db", "mlruns/team.db"])
def test_a_database_that_a_guest_created_keeps_its_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    host, guest = (workspaces.create(tmp_path / name, monkeypatch, "seeds: 1\n") for name in ("host", "guest"))
    workspaces.enter(guest, monkeypatch)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    log_seed(9)  # the guest has a database of its own, too
    (host / "mlruns").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{host}/{database}")
    log_seed(0)
    for root in (host, guest, host):
        workspaces.enter(root, monkeypatch)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{host}/{database}")
        assert is_found(0)


@pytest.mark.slow
def test_artifacts_outside_the_checkout_are_found_after_the_store_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspaces.create(tmp_path / "work", monkeypatch, "seeds: 1\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/runs.db")
    for seed, store in enumerate((tmp_path / "store1", tmp_path / "store2", root / "mlruns", tmp_path / "store1")):
        monkeypatch.setenv("FEEDFORWARD_STORE", str(store))
        log_seed(seed)
        assert all(is_found(earlier) for earlier in range(seed + 1))


@pytest.mark.slow
@pytest.mark.proves("A missing folder of artifacts delays neither the runs of other datasets nor Ctrl-C")
@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
def test_records_of_other_datasets_are_sent_while_the_folder_of_artifacts_is_missing(
    enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = enter(tmp_path / "first")
    log_seed(0)
    enter(tmp_path / "second")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        store = tracking.open_store()
        log(store, 1)
        store.finish(store.start(tags(dataset="pictures"), "original"), metrics={"loss": 0.5})
    store = tracking.open_store()
    started = store.start(tags(seed=2), "original seed 2")
    shutil.rmtree(first)
    store = tracking.open_store()
    store._open_runs[started.id] = started  # as if started while the store did not answer
    with pytest.raises(KeyboardInterrupt), store.closing_when_interrupted():
        raise KeyboardInterrupt
    synced = store.sync()
    assert (synced.sent, synced.waiting) == (1, 2)
    assert all(problem.startswith(f"{first}/mlruns/artifacts: ") for problem in synced.problems)
    assert len(synced.problems) == 2


@pytest.mark.parametrize("new_database", [POSTGRESQL], indirect=True)
def test_a_missing_right_in_postgresql_is_reported_with_its_remedy(
    enter: Enter, tmp_path: Path, new_database: str, postgres: stack.Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(tmp_path / "a")
    with sqlalchemy.create_engine(settings.tracking_uri()).begin() as connection:
        connection.execute(sqlalchemy.text("CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_database.replace(f"{stack.OWNER}@", "guest@"))
    with pytest.raises(
        TrackingError, match=r"permission denied for schema public.*; let its user create and change tables, then run"
    ):
        tracking.open_store()


@pytest.mark.slow
@pytest.mark.proves("If the folder with a dataset's artifacts is missing, nothing is silently trained again")
@databases
def test_a_checkout_refuses_to_train_if_the_folder_of_the_artifacts_is_missing(
    enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = enter(tmp_path / "before"), tmp_path / "after"
    log_seed(0)
    before.rename(after)
    second = enter(tmp_path / "second")
    problem = rf"^{before}/mlruns/artifacts: contains the artifacts of experiment words, but does not exist; restore it"
    for use in (lambda: is_found(0), lambda: log_seed(1), lambda: Registry().find_runs("words")):
        with pytest.raises(DataError, match=problem) as caught:
            use()
    assert "\n" not in str(caught.value)
    assert not before.exists()

    # The remedies: another project, or a link
    (second / "params.yaml").write_text("project: second\n")
    log_seed(2)
    assert len(list(second.rglob("result.json"))) == 1
    (second / "params.yaml").write_text("seeds: 1\n")
    before.symlink_to(after)
    assert is_found(0)
