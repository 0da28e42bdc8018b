"""Runs of ended processes are closed, those of running ones are not: across containers, copied stores and hosts."""

import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tracked_runs import (
    DIGEST,
    all_runs,
    client,
    run_python,
    tags,
)

from feedforward import tracking
from feedforward.core import provenance

if TYPE_CHECKING:
    from feedforward.tracking import Store


def attribute_to(run_id: str, host: str) -> None:
    """Make the run look as if a process of another checkout on that host had logged it."""
    for key, value in (("host", host), ("store", f"of {host}")):
        client().set_tag(run_id, key, value)


@pytest.mark.proves("Containers with the same host name do not close each other's runs")
def test_containers_with_the_same_name_do_not_close_each_others_runs(
    store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process ID means nothing in another container, but a lock in the shared folder shows that the process runs."""
    run = store.start(tags(seed=0), "in another container")
    (stored_run,) = store.find_runs("words", None, record_id=run.id)
    client().set_tag(stored_run.run_id, "process", "1@1")
    monkeypatch.setattr("feedforward.core.provenance.host_digest", lambda: "other container")
    assert store.reconcile() == 0


@pytest.mark.proves("Runs of a stopped container do not stay RUNNING")
@pytest.mark.slow
def test_runs_of_a_removed_container_are_closed(store: "Store", workspace: Path) -> None:
    code = (
        "from feedforward.core import provenance; provenance.host_digest = lambda: 'removed';"
        "tracking.open_store().start(tags(), 'x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run_python(workspace, code).returncode == -signal.SIGKILL
    assert store.reconcile() == 1
    assert [run.info.status for run in all_runs()] == ["KILLED"]


def test_a_copied_store_does_not_close_the_runs_of_the_original(
    store: "Store", workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.start(tags(), "in the original")
    copy = workspace.with_name("copy")
    shutil.copytree(workspace, copy)
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(copy))
    assert tracking.open_store().reconcile() == 0


@pytest.mark.slow
def test_only_runs_of_dead_processes_are_closed(store: "Store", workspace: Path) -> None:
    code = "s = tracking.open_store(); log(s, 0); s.start(tags(seed=1), 'x'); os.kill(os.getpid(), signal.SIGKILL)"
    assert run_python(workspace, code).returncode == -signal.SIGKILL
    store.start(tags(seed=2), "of this process")
    on_other_host = store.start(tags(seed=3), "on another host")
    (stored_run,) = store.find_runs("words", None, record_id=on_other_host.id)
    attribute_to(stored_run.run_id, "another")
    assert store.reconcile() == 1
    statuses = {run.tags["seed"]: run.status for run in store.find_runs("words", None)}
    assert statuses == {"0": "FINISHED", "1": "KILLED", "2": "RUNNING", "3": "RUNNING"}


@pytest.mark.slow
def test_sync_closes_runs_of_killed_jobs(store: "Store", workspace: Path) -> None:
    code = "tracking.open_store().start(tags(), 'x'); os.kill(os.getpid(), signal.SIGKILL)"
    assert run_python(workspace, code).returncode == -signal.SIGKILL
    assert [run.info.status for run in all_runs()] == ["RUNNING"]
    sync = "import sys; from feedforward.cli import app; sys.argv = ['feedforward', 'sync']; app.main()"
    assert run_python(workspace, sync).returncode == 0
    assert [run.info.status for run in all_runs()] == ["KILLED"]


def test_runs_of_a_lost_host_are_closed_by_fingerprint(store: "Store") -> None:
    for seed, host in enumerate(("lost", "at work", provenance.host_digest())):
        run = store.start(tags(seed=seed, fingerprint=f"{host} {DIGEST}"), f"on {host}")
        (stored_run,) = store.find_runs("words", None, record_id=run.id)
        attribute_to(stored_run.run_id, host)
    assert store.reconcile(lost={f"lost {DIGEST}", f"{provenance.host_digest()} {DIGEST}"}) == 1
    statuses = {run.tags["seed"]: run.status for run in store.find_runs("words", None)}
    assert statuses == {"0": "KILLED", "1": "RUNNING", "2": "RUNNING"}
