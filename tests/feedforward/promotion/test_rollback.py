"""Rollback with a real store, registry and audit log, and with the verification in a separate process."""

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import registered
from mlflow import MlflowClient
from registered import NAME, find_version

from feedforward.config.schema import Params
from feedforward.core import append_only_log, paths
from feedforward.core.errors import DataError, NothingToServe, ParamsError
from feedforward.experiments import plan, runner
from feedforward.promotion import audit_log, candidate, champion, history, promote
from feedforward.promotion.promote import Refused
from feedforward.promotion.rollback import rollback
from feedforward.tracking import LoggedRun, model_versions, names, settings
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


def promote_versions(params: Params, store: "Store", *strengths: float, real: bool = False) -> LoggedRun:
    """Promote a version with a network of each strength; return the run of all versions.

    real: with files saved by Keras, which the verification can load.
    """
    registry, run = Registry(), registered.final_run(store, params)
    for strength in strengths:
        model = registered.real_keras_model(strength) if real else None
        version = registered.version(registry, run, strength, model=model)
        assert promote.conclude(params, NAME, run, version, registry).decision.promoted
    return run


def test_an_earlier_champion_is_verified_and_restored(params: Params, small_store: "Store", tensorflow: None) -> None:
    run = promote_versions(params, small_store, 1.0, 2.0, real=True)
    messages: list[str] = []
    assert rollback(params, NAME, None, "worse on long texts", messages.append).number == 1
    assert messages == ["verifying notes version 1 in a separate process"]
    assert find_version().number == 1
    assert find_version(2).tags["decision"] == "rolled_back"
    assert (find_version(1).tags["decision"], find_version(1).tags["reason"]) == ("promoted", "worse on long texts")
    line = audit_log.entries(NAME)[-1]
    assert (line["decision"], line["version"], line["before"], line["champion"]) == ("rolled_back", 1, 2, 1)

    # version 2 is not promoted again, and retraining does not wait for a decision on its run
    outcome = promote.keep_rolled_back(NAME, find_version(2), find_version(2), find_version(1), Registry())
    assert (outcome.decision.promoted, outcome.champion) == (False, 1)
    assert (
        "rolled back (worse on long texts); `feedforward rollback notes --to 2 --reason REASON`"
        in outcome.decision.reason
    )
    assert candidate.choose(params, NAME, Registry(), None).run_id == run.run_id

    assert rollback(params, NAME, 2, "it was not worse").number == 2
    assert find_version().number == 2
    champions = history.history(NAME)
    assert [(period.version, period.decision) for period in champions.periods] == [
        (1, "promoted"),
        (2, "promoted"),
        (1, "rolled_back"),
        (2, "rolled_back"),
    ]
    assert champions.periods[1].until == champions.periods[2].since
    assert (champions.periods[-1].until, champions.mismatch) == (None, None)


@pytest.mark.proves("A rolled-back model is not promoted again under another name")
def test_a_rolled_back_model_is_recognized_by_its_weights(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    rule = params.promotion.model_copy(update={"class_accuracy": 0.0})
    params = params.model_copy(update={"promotion": rule})
    for pack in plan.plan(params, "fair", [NAME], ["original"]):
        if pack.role == "final":
            runner.train_pack(pack, params, small_store)
    runs = small_store.find_runs(NAME, role="final")
    for run in runs:
        promote.promote(params, NAME, run.run_id)
    Registry().set_alias(find_version(2), "champion")
    assert rollback(params, NAME, 1, "harmful").number == 1

    retitled = params.datasets[NAME].model_copy(update={"title": "Other title"})
    renamed = params.model_copy(update={"datasets": {**params.datasets, NAME: retitled}})
    outcome = promote.promote(renamed, NAME, runs[-1].run_id)
    assert (outcome.version.number, outcome.champion, find_version().number) == (3, 1, 1)
    assert outcome.decision.reason == (
        "the same model, version 2, was rolled back (harmful);"
        " `feedforward rollback notes --to 2 --reason REASON` makes it champion again"
    )
    assert [find_version(number).tags["decision"] for number in (2, 3)] == ["rolled_back", "kept"]
    assert rollback(renamed, NAME, 2, "it was not harmful").number == 2
    assert "rolled back" not in promote.promote(renamed, NAME, runs[-1].run_id).decision.reason


@pytest.mark.proves("A rolled-back model is not promoted again under another name")
def test_a_model_that_is_rolled_back_during_its_evaluation_does_not_become_champion(
    params: Params, small_store: "Store"
) -> None:
    run, registry = promote_versions(params, small_store, 1.0, 2.0), Registry()
    again = registered.version(registry, run, 2.0)
    registry.set_alias(again, "challenger")
    registry.tag(find_version(2), {"decision": "rolled_back", "reason": "harmful"})  # while version 3 is evaluated
    registry.set_alias(find_version(1), "champion")
    outcome = promote.conclude(params, NAME, run, again, registry)
    assert "the same model, version 2, was rolled back (harmful)" in outcome.decision.reason
    assert (outcome.decision.promoted, find_version().number) == (False, 1)
    assert model_versions.find(NAME, "challenger") is None, "a canary would answer with it"


@pytest.mark.proves("A rollback leads away from the champion's model, even if it was registered twice")
def test_a_rollback_skips_the_same_model_under_other_names(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    run = promote_versions(params, small_store, 1.0, 2.0, real=True)
    registry, model = Registry(), registered.real_keras_model(2.0)
    retitled = registered.version(registry, run, 2.0, model=model, variants={"tiny": 1.0})
    assert promote.conclude(params, NAME, run, retitled, registry).decision.promoted
    with pytest.raises(
        ParamsError, match="version 2 of notes is the model of the champion, version 3, with other names"
    ):
        rollback(params, NAME, 2, "version 3 is bad")
    assert rollback(params, NAME, None, "version 3 is bad").number == 1
    with pytest.raises(ParamsError, match=r"no earlier champion to roll back to; to use one .* with --to: 3, 2"):
        rollback(params, NAME, None, "worse")
    registry.tag(retitled, {"labels": '["glad","sad"]'})  # with swapped labels, the same weights give other answers
    assert rollback(params, NAME, None, "labels were swapped").number == 2


@pytest.mark.proves("After a rollback because of swapped labels, the model with the right labels can be promoted again")
def test_a_model_that_was_rolled_back_for_its_labels_can_be_promoted_with_other_labels(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    model, labels = registered.real_keras_model(1.0), params.datasets[NAME].labels
    swapped_labels = params.datasets[NAME].model_copy(update={"labels": labels[::-1]})
    swapped = params.model_copy(update={"datasets": {**params.datasets, NAME: swapped_labels}})
    for current in (params, swapped):
        version = registered.version(registry, run, 1.0, model=model, labels=current.datasets[NAME].labels)
        assert promote.conclude(current, NAME, run, version, registry).decision.promoted
    with pytest.raises(Refused, match=r"params\.yaml says glad, sad; correct params\.yaml; or choose another version"):
        rollback(swapped, NAME, None, "labels swapped")
    assert rollback(params, NAME, None, "labels swapped").number == 1
    champion, mistake = find_version(1), find_version(2)
    right, wrong = (
        registered.version(registry, run, 1.0, model=model, labels=order) for order in (labels, labels[::-1])
    )
    assert candidate.rolled_back(right, champion, registry) is None
    assert candidate.rolled_back(wrong, champion, registry) == mistake
    assert candidate.rolled_back(mistake, champion, registry) == mistake


@pytest.mark.proves("After somebody has deleted the champion, a rollback makes an earlier one champion again")
def test_an_earlier_champion_is_restored_after_the_champion_was_deleted(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    promote_versions(params, small_store, 1.0, 2.0, real=True)
    MlflowClient(settings.tracking_uri()).delete_model_version(names.registered_model(NAME), "2")
    assert model_versions.find(NAME) is None
    assert rollback(params, NAME, None, "version 2 was deleted").number == 1
    assert find_version().number == 1


@pytest.mark.proves("A rollback goes to the previous champion of the audit log, even if the clock was set back since")
def test_the_order_of_the_log_decides_which_champion_was_the_previous_one(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    promote_versions(params, small_store, 1.0, 2.0, 3.0, real=True)
    registered.redate(1, days=1)
    assert rollback(params, NAME, None, "worse").number == 2


@pytest.mark.proves("A rollback goes to the previous champion of the audit log, even if the clock was set back since")
def test_an_interrupted_rollback_is_completed_after_the_clock_was_set_back(
    params: Params, small_store: "Store"
) -> None:
    promote_versions(params, small_store, 1.0, 2.0)
    registered.redate(1, days=1)
    kill_rollback("promote.after_alias")
    with champion.decision_lock(NAME):
        champion.reconcile(NAME, Registry())
    assert (find_version(1).tags["reason"], find_version(2).tags["decision"]) == ("worse", "rolled_back")
    assert audit_log.entries(NAME)[-1]["decision"] == "rolled_back"


def test_a_version_whose_keras_and_numpy_outputs_differ_is_rejected(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    different = registered.real_keras_model(0.5)
    for strength, model in ((1.0, different), (2.0, None)):
        version = registered.version(registry, run, strength, model=model)
        promote.conclude(params, NAME, run, version, registry)
    with pytest.raises(Refused, match=r"model\.keras and weights\.npz are different networks"):
        rollback(params, NAME, None, "worse")
    assert find_version().number == 2
    assert audit_log.entries(NAME)[-1]["decision"] == "promoted"


def test_invalid_arguments_are_reported(params: Params, small_store: "Store") -> None:
    with pytest.raises(NothingToServe, match="there is no champion to roll back"):
        rollback(params, NAME, None, "worse")
    promote_versions(params, small_store, 1.0)
    with pytest.raises(ParamsError, match="no earlier champion to roll back to"):
        rollback(params, NAME, None, "worse")
    with pytest.raises(ParamsError, match="--to: version 1 of notes is already the champion; earlier champions: none"):
        rollback(params, NAME, 1, "worse")
    with pytest.raises(ParamsError, match="--to: version 7 of notes has never been champion; earlier"):
        rollback(params, NAME, 7, "worse")
    with pytest.raises(ParamsError, match="--reason: must give a reason, got an empty text"):
        rollback(params, NAME, 1, " ")
    with pytest.raises(ParamsError, match="--reason: must have at most 1000 characters, got 110000"):
        rollback(params, NAME, 1, "x" * 110_000)
    with pytest.raises(ParamsError, match="unknown dataset"):
        rollback(params, "nots", 1, "worse")


@pytest.mark.proves("A rollback makes only an earlier champion the champion")
def test_a_version_that_was_refused_or_kept_does_not_become_champion(params: Params, small_store: "Store") -> None:
    promote_versions(params, small_store, 1.0, 2.0)
    assert not registered.conclude(params, small_store, 1.5).decision.promoted
    with pytest.raises(Refused):
        registered.conclude(params, small_store, 0.0)
    entries = audit_log.entries(NAME)
    for number in (3, 4):
        with pytest.raises(ParamsError, match=f"version {number} of notes has never been champion; earlier.*: 1$"):
            rollback(params, NAME, number, "better on long texts")
    assert find_version().number == 2
    assert audit_log.entries(NAME) == entries


def test_secrets_in_a_reason_are_stored_nowhere(params: Params, small_store: "Store", tensorflow: None) -> None:
    promote_versions(params, small_store, 1.0, 3.0, real=True)
    rollback(params, NAME, None, "see https://bob:c4n4ry-7d1e55@host/x")
    assert find_version().number == 1
    assert "https://***@host/x" in paths.audit().read_text()
    assert "c4n4ry" not in paths.audit().read_text() + str([version.tags for version in Registry().versions(NAME)])


def test_a_long_reason_in_the_log_does_not_block_later_decisions(params: Params, small_store: "Store") -> None:
    promote_versions(params, small_store, 1.0, 3.0)
    registry = Registry()
    first, second = (registry.find(NAME, number) for number in (1, 2))
    entry = dict(audit_log.append(NAME, audit_log.ROLLED_BACK, "worse", first, second))
    append_only_log.append(paths.audit(), entry | {"reason": "x" * 110_000})
    with champion.decision_lock(NAME):
        assert champion.reconcile(NAME, registry) == first
    assert find_version().number == 1


ROLLBACK = """
from feedforward.config.schema import load_params
from feedforward.promotion import evaluation
from feedforward.promotion.rollback import rollback
evaluation.verify = lambda *_: None  # other tests cover the verification; here, the process is killed after it
rollback(load_params(), "notes", None, "worse")
"""


@pytest.mark.parametrize("point", ["rollback.after_log", "promote.after_alias"])
def test_an_interrupted_rollback_is_completed(params: Params, small_store: "Store", point: str) -> None:
    promote_versions(params, small_store, 1.0, 2.0)
    done = subprocess.run([sys.executable, "-c", ROLLBACK], env=os.environ | {"FAULT": point})
    assert done.returncode == -signal.SIGKILL
    with champion.decision_lock(NAME):
        champion.reconcile(NAME, Registry())
    assert find_version().number == 1
    assert (find_version(1).tags["decision"], find_version(2).tags["decision"]) == ("promoted", "rolled_back")
    lines = audit_log.entries(NAME)
    with champion.decision_lock(NAME):
        champion.reconcile(NAME, Registry())
    assert audit_log.entries(NAME) == lines


def kill_rollback(point: str) -> None:
    done = subprocess.run([sys.executable, "-c", ROLLBACK], env=os.environ | {"FAULT": point})
    assert done.returncode == -signal.SIGKILL


@pytest.mark.proves("A rollback that was interrupted, and is run again, is completed and not repeated")
@pytest.mark.parametrize("point", ["rollback.after_log", "promote.after_alias"])
@pytest.mark.parametrize("to", [None, 2])
def test_an_interrupted_rollback_that_is_run_again_rolls_back_once(
    params: Params, small_store: "Store", point: str, to: int | None
) -> None:
    promote_versions(params, small_store, 1.0, 2.0, 3.0)
    kill_rollback(point)
    messages: list[str] = []
    assert rollback(params, NAME, to, "worse", messages.append).number == 2
    assert (find_version().number, messages) == (2, ["an interrupted rollback was completed"])
    assert [find_version(number).tags["decision"] for number in (1, 2, 3)] == ["promoted", "promoted", "rolled_back"]


@pytest.mark.proves("A rollback that was interrupted, and is run again, is completed and not repeated")
@pytest.mark.parametrize(("to", "reason"), [(None, "version 2 is bad, too"), (1, "worse")])
def test_a_rollback_whose_completion_was_interrupted_marks_only_the_replaced_version(
    params: Params, small_store: "Store", to: int | None, reason: str
) -> None:
    promote_versions(params, small_store, 1.0, 2.0, 3.0)
    kill_rollback("rollback.after_log")
    kill_rollback("promote.after_alias")  # during the completion
    assert audit_log.entries(NAME)[-1]["decision"] == "finished"
    with pytest.raises(
        Refused, match=r"version 2: is the champion now, because an interrupted rollback was completed;"
    ):
        rollback(params, NAME, to, reason)
    assert find_version().number == 2
    assert find_version(3).tags["decision"] == "rolled_back"
    assert (find_version(2).tags["decision"], find_version(2).tags["reason"]) == ("promoted", "worse")


def test_an_interrupted_promotion_is_completed_before_anything_is_rolled_back(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    promote_versions(params, small_store, 1.0, 2.0, real=True)
    registry = Registry()
    registry.set_alias(find_version(1), "champion")  # as if the promotion of version 2 had not set it
    for tag in ("champion_since", "decision"):
        MlflowClient(settings.tracking_uri()).delete_model_version_tag(names.registered_model(NAME), "2", tag)
    with pytest.raises(
        Refused, match=r"notes version 2: is the champion now, .* run the command again to roll it back"
    ):
        rollback(params, NAME, None, "worse")
    assert find_version().number == 2
    assert rollback(params, NAME, None, "worse").number == 1


def test_a_mismatch_between_audit_log_and_registry_is_reported(params: Params, small_store: "Store") -> None:
    promote_versions(params, small_store, 1.0, 2.0)
    Registry().set_alias(find_version(1), "champion")
    assert (
        "the audit log of this checkout has version 2 as champion, but the registry has version 1 as champion"
        in str(history.history(NAME).mismatch)
    )
    json.dumps([vars(period) for period in history.history(NAME).periods])  # all values can be written as JSON


@pytest.mark.parametrize(
    "changes", [{"champion": "1"}, {"time": "yesterday"}, {"time": None}, {"decision": 1}, {"champion": None}]
)
def test_an_edited_audit_log_entry_is_reported_in_one_line(
    params: Params, small_store: "Store", changes: dict[str, object]
) -> None:
    promote_versions(params, small_store, 1.0)
    [entry] = audit_log.entries(NAME)
    append_only_log.append(paths.audit(), {**entry, **changes})
    for read in (
        lambda: history.history(NAME),
        lambda: champion.reconcile(NAME, Registry()),
        lambda: rollback(params, NAME, None, "worse"),
    ):
        with pytest.raises(DataError, match=r"audit\.jsonl: an entry about notes was changed \(.*\); restore a backup"):
            read()
