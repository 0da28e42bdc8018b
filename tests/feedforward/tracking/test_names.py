"""Two projects with datasets of the same name share a store without mixing runs or versions."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tracked_runs import client, log

from feedforward import tracking
from feedforward.tracking import model_versions
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
