"""MLflow's pages of an experiment: their views, stored in its tags, and the link to the comparison of its variants."""

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from tracked_runs import client, log, result, tags

from feedforward.config.schema import Params
from feedforward.experiments import parent_runs, plan
from feedforward.tracking import experiment_pages

if TYPE_CHECKING:
    from feedforward.tracking import Store

TAG_LENGTH = 5000  # MLflow's limit for a tag of an experiment


def test_views_fit_into_tags_and_every_section_has_a_chart() -> None:
    for text in experiment_pages.VIEWS.values():
        assert len(text) < TAG_LENGTH
        state = json.loads(text)
        sections = {section["uuid"] for section in state["compareRunSections"]}
        assert {card["metricSectionId"] for card in state["compareRunCharts"]} == sections


def test_an_experiment_of_an_older_version_gets_views_and_keeps_the_users_description(store: "Store") -> None:
    experiment_id = client().create_experiment("words", tags={"mlflow.note.content": "by hand"})
    assert store.experiment("words") == experiment_id
    tags = client().get_experiment(experiment_id).tags
    assert tags["mlflow.note.content"] == "by hand"
    assert experiment_pages.VIEWS.items() <= tags.items()
    assert experiment_pages.missing_tags(tags) == {}
    assert store.experiment("pictures") is None


@pytest.mark.slow
def test_report_of_a_training_flow_links_to_the_comparison_on_a_server(remote_store: "Store", small: Params) -> None:
    from pipelines import run_artifacts, training_flow

    packs = plan.plan(small, "fair", ["notes"], ["original"])
    parent_runs.start_parents(packs[0], remote_store)
    views = training_flow.views([training_flow.Job(pack, small) for pack in packs], remote_store)
    address = experiment_pages.link(os.environ["MLFLOW_TRACKING_URI"], str(remote_store.experiment("notes")), "fair")
    assert views == {"notes": address}
    assert f"- [Variants of notes in MLflow]({address})" in run_artifacts.training_text(packs, [], views)


def test_changed_curves_of_a_parent_run_replace_the_old_ones_and_keep_its_children(store: "Store") -> None:
    def finish_parent(curve: list[float]) -> Any:
        parent = store.start(tags("variant", None), "original", resume=True)
        store.finish(parent, metrics={"seeds": 1.0}, curves={"val_loss": curve})
        return parent

    log(store, parent=finish_parent([0.5, 0.4]))
    finish_parent([0.5, 0.4])
    finish_parent([0.5, 0.3, 0.6])
    mlflow_client = client()
    experiment = mlflow_client.get_experiment_by_name("words").experiment_id
    (parent,) = mlflow_client.search_runs([experiment], "tags.role = 'variant'")
    history = mlflow_client.get_metric_history(parent.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.3), (3, 0.6)]
    (child,) = mlflow_client.search_runs([experiment], "tags.role = 'replica'")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.metrics["best_val_cross_entropy"] == result().metrics["best_val_cross_entropy"]
