"""Two projects with datasets of the same name share a store without mixing runs or versions."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tracked_runs import client, log, results_in, spooled_ids, tags

from feedforward import tracking
from feedforward.tracking import model_versions, records
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store


def use_project(workspace: Path, name: str) -> "Store":
    """Set the name of the project in params.yaml, and open the store."""
    path = workspace / "params.yaml"
    path.write_text(f'seeds: 1\nproject: "{name}"\n')
    os.utime(path, ns=(0, hash(name) % 10**15))  # params are read again only if the time or size of the file changes
    return tracking.open_store()


@pytest.mark.slow
def test_projects_have_separate_runs_and_champions(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "description.json").write_text("{}")
    champions = {}
    for project in ("", "team-a", "team-b"):
        store, registry = use_project(workspace, project), Registry()
        assert store.find_runs("words") == []
        assert model_versions.find("words") is None
        log(store)
        [run] = store.find_runs("words")
        version = registry.register("words", run.run_id, {"served": tmp_path / "files"}, {"project": project})
        registry.set_alias(version, "champion")
        champions[project] = version
        assert model_versions.find("words") == version == registry.find("words", "champion")
        assert registry.versions("words") == [version]
        assert (model_versions.folder(version, "served") / "description.json").is_file()
    for project, champion in champions.items():
        use_project(workspace, project)
        assert model_versions.find("words") == champion
    assert {experiment.name for experiment in client().search_experiments()} >= {
        "words",
        "team-a/words",
        "team-b/words",
    }


def test_a_changed_project_name_takes_effect(workspace: Path) -> None:
    log(use_project(workspace, "one"))
    assert use_project(workspace, "two").find_runs("words") == []
    assert len(use_project(workspace, "one").find_runs("words")) == 1


def experiments_of_runs() -> dict[str, set[str]]:
    """The seeds of the runs in each experiment; `parent` for a run without a seed."""
    return {
        experiment.name: {
            run.data.tags.get("seed", "parent") for run in client().search_runs([experiment.experiment_id])
        }
        for experiment in client().search_experiments()
        if experiment.name != "Default"
    }


@pytest.mark.proves("A waiting run is sent to the project that recorded it, whichever project sends it")
def test_waiting_runs_of_two_projects_are_not_mixed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        for seed, project in enumerate(("one", "two")):
            store = use_project(workspace, project)
            assert results_in(store, "words", "fair", "replica", [f"{0:064x}"]) == {}
            parent = store.start(tags("variant", None), "original", resume=True)
            log(store, seed, parent)
            assert results_in(store, "words", "fair", "replica", [f"{seed:064x}"])
            store.finish(parent, metrics={"mean_loss": 0.5})
    assert use_project(workspace, "three").sync() == tracking.SyncResult(4, 0, [])
    assert experiments_of_runs() == {"one/words": {"0", "parent"}, "two/words": {"1", "parent"}}


def test_a_waiting_record_of_an_earlier_release_is_sent_to_the_current_project(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        log(use_project(workspace, "one"))
    [path] = records.spool().glob("*/record.json")
    record = json.loads(path.read_text())
    del record["run"]["experiment"]
    path.write_text(json.dumps(record))
    assert use_project(workspace, "two").sync() == tracking.SyncResult(1, 0, [])
    assert experiments_of_runs() == {"two/words": {"0"}}
    assert spooled_ids() == []
