"""Simultaneous promotions; killed ones, which the next promotion completes; champions that the gate has not set."""

import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import registered
from mlflow import MlflowClient
from registered import NAME, audit_entries, conclude, find_version
from small_data import values, write_params
from threads import at_once

from feedforward import tracking
from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.promotion import audit_log, champion, history, promote
from feedforward.promotion.promote import Refused
from feedforward.promotion.rollback import rollback
from feedforward.retraining import policy
from feedforward.tracking import model_versions, names, settings
from feedforward.tracking.registry import Registry
from pipelines import retraining_flow

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


@pytest.mark.proves("After twenty simultaneous promotions, the best version is champion and the audit log has no gap")
def test_the_best_of_twenty_simultaneous_promotions_wins_and_the_log_has_no_gap(
    params: Params, small_store: "Store"
) -> None:
    registry = Registry()
    run = registered.final_run(small_store, params)
    strengths = np.random.default_rng(0).permutation(np.linspace(0.05, 1.0, 20))
    versions = [registered.version(registry, run, float(strength)) for strength in strengths]
    at_once(lambda version: promote.conclude(params, NAME, run, version, Registry()), versions)
    assert find_version().number == versions[int(strengths.argmax())].number
    lines = audit_entries()
    assert sorted(line["version"] for line in lines) == sorted(version.number for version in versions)
    assert [line["before"] for line in lines] == [None, *[line["champion"] for line in lines[:-1]]]


CONCLUDE = """
import sys
from feedforward.promotion import promote
from feedforward.config.schema import load_params
from feedforward.tracking import model_versions, settings
settings.apply()
from feedforward.tracking.registry import Registry
registry = Registry()
run = registry.find_runs("notes", role="final")[0]
promote.conclude(load_params(), "notes", run, model_versions.find("notes", int(sys.argv[1])), registry)
"""


def killed_at(point: str, params: Params, store: "Store") -> int:
    """Promote version 1, kill the promotion of a better version at `point`, and return that version's number."""
    conclude(params, store, 1.0)
    registry, run = Registry(), registered.final_run(store, params)
    version = registered.version(registry, run, 2.0)
    done = subprocess.run([sys.executable, "-c", CONCLUDE, str(version.number)], env=os.environ | {"FAULT": point})
    assert done.returncode == -signal.SIGKILL
    return version.number


@pytest.fixture
def killed_version(params: Params, small_store: "Store") -> int:
    """The number of a version whose promotion was killed between writing the log and moving the alias."""
    number = killed_at("promote.after_log", params, small_store)
    assert find_version().number == 1
    return number


def test_an_interrupted_promotion_is_completed_by_the_next_one(
    params: Params, small_store: "Store", killed_version: int
) -> None:
    result = conclude(params, small_store, 1.5)
    assert not result.decision.promoted
    assert find_version().number == killed_version
    assert [line["decision"] for line in audit_entries()] == ["promoted", "promoted", "finished", "kept"]


@pytest.mark.proves("A promotion killed between alias and tags is completed, and causes no retraining")
def test_an_alias_that_moved_without_its_tags_is_reconciled(params: Params, small_store: "Store") -> None:
    """The run is not pending, so it is no reason to retrain; the next retraining writes the missing tags."""
    number = killed_at("promote.after_alias", params, small_store)
    assert find_version().number == number
    assert "decision" not in find_version().tags
    assert policy.observe(params, NAME, datetime.now(UTC)).pending is None
    assert "decision" not in find_version().tags
    policy.complete_interrupted_promotion(params, NAME)
    assert policy.observe(params, NAME, datetime.now(UTC)).pending is None
    assert find_version().tags["decision"] == "promoted"
    assert find_version().tags["reason"] == audit_entries()[-1]["reason"]
    assert [line["decision"] for line in audit_entries()] == ["promoted", "promoted"]


@pytest.mark.proves("A dry run of retraining does not complete an interrupted promotion; a retraining does")
def test_only_a_retraining_that_is_not_a_dry_run_completes_an_interrupted_promotion(
    params: Params, killed_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining_flow.find_changes, "fn", list)  # there are no changes
    entries = audit_entries()
    assert not retraining_flow.plan(params).reasons  # a dry run: the gate has decided on the run
    assert find_version().number == 1
    assert "decision" not in find_version(killed_version).tags
    assert audit_entries() == entries
    retraining_flow.observe.fn(params, NAME)
    assert find_version().number == killed_version
    assert audit_entries()[-1]["decision"] == "finished"


@pytest.mark.proves("Entries in the audit log about another project's promotions make no version champion")
def test_entries_about_versions_of_another_project_are_ignored(params: Params, small_store: "Store") -> None:
    def use_project(name: str) -> "Store":
        write_params(paths.params(), values(project=name))
        return tracking.open_store()

    conclude(params, small_store, 1.0)
    first = find_version()
    second_store = use_project("second")
    criteria = params.promotion.model_copy(update={"max_bytes": 1})
    strict = params.model_copy(update={"promotion": criteria})
    with pytest.raises(Refused, match="size must be at most 1 bytes"):
        conclude(strict, second_store, 1.0)
    assert model_versions.find(NAME) is None
    empty = history.history(NAME)
    assert (empty.periods, empty.mismatch) == ([], None)
    assert re.search(r"not in this registry, are left out: version 1 \(run \w{8}\)$", str(empty.left_out))

    assert conclude(params, second_store, 1.0).champion == 2
    with pytest.raises(ParamsError, match="no earlier champion"):  # version 1 was champion only in the first project
        rollback(params.model_copy(update={"project": "second"}), NAME, None, "worse")
    assert [period.version for period in history.history(NAME).periods] == [2]
    use_project("")
    with champion.decision_lock(NAME):
        assert champion.reconcile(NAME, Registry()) == first
    assert find_version() == first
    assert [period.version for period in history.history(NAME).periods] == [1]


@pytest.mark.proves("A champion that is deleted in one project changes no other project's history in the same store")
def test_an_entry_without_a_version_belongs_to_its_project(params: Params, small_store: "Store") -> None:
    conclude(params, small_store, 1.0)
    write_params(paths.params(), values(project="films"))
    conclude(params, tracking.open_store(), 1.0)
    registry = Registry()
    registry.remove_alias(find_version(), "champion")
    with champion.decision_lock(NAME):
        assert champion.reconcile(NAME, registry) is None
    entry = audit_entries()[-1]
    assert (entry["decision"], entry["project"], entry["version"], entry["champion"]) == (
        "changed",
        "films",
        None,
        None,
    )
    write_params(paths.params(), values())
    [period] = history.history(NAME).periods
    assert (period.version, period.until, history.history(NAME).mismatch) == (1, None, None)
    with champion.decision_lock(NAME):
        champion.reconcile(NAME, Registry())
    assert audit_entries()[-1] == entry


@pytest.mark.proves("Moves of the alias in another checkout are shown with the time and reason from the version's tags")
def test_moves_in_another_checkout_are_in_the_history(
    params: Params, small_store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensorflow: None
) -> None:
    def use_store(name: str) -> None:
        monkeypatch.setenv("FEEDFORWARD_STORE", str(tmp_path / name))

    def periods() -> list[tuple[int, str, str, bool]]:
        return [(p.version, p.decision, p.reason, p.until is None) for p in history.history(NAME).periods]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking_uri())
    registry, run = Registry(), registered.final_run(small_store, params)
    for strength in (1.0, 2.0):
        version = registered.version(registry, run, strength, model=registered.real_keras_model(strength))
        assert promote.conclude(params, NAME, run, version, registry).decision.promoted
    own = history.history(NAME).periods
    use_store("other")
    [first_seen] = history.history(NAME).periods
    assert (first_seen.version, first_seen.since) == (2, own[1].since)
    assert conclude(params, small_store, 0.5).champion == 2  # kept
    [recorded] = history.history(NAME).periods
    assert recorded == first_seen
    assert rollback(params, NAME, None, "from another checkout").number == 1
    use_store("mlruns")
    reason = "according to its tags: from another checkout"
    assert periods()[-1] == (1, "changed", reason, True)
    assert "the audit log of this checkout has version 2" in str(history.history(NAME).mismatch)
    with champion.decision_lock(NAME):
        champion.reconcile(NAME, registry)
    assert "by another checkout, or by something other than" in str(audit_entries()[-1]["reason"])
    assert history.history(NAME).mismatch is None
    assert periods()[-1] == (1, "changed", reason, True)
    assert history.history(NAME).periods[1].until == find_version().tags["champion_since"]


@pytest.mark.proves("Moves of the alias in another checkout are shown with the time and reason from the version's tags")
def test_an_earlier_move_in_this_checkout_is_not_taken_for_one_in_another(params: Params, small_store: "Store") -> None:
    for strength in (1.0, 2.0):
        conclude(params, small_store, strength)
    registered.redate(2, days=-1)  # so the tag of version 1 is later than the promotion of version 2
    registry = Registry()
    registry.set_alias(find_version(1), "champion")  # by hand
    with champion.decision_lock(NAME):
        champion.reconcile(NAME, registry)
    assert history.history(NAME).periods[-1].since == audit_entries()[-1]["time"]


@pytest.mark.proves(
    "After a registered model was deleted in MLflow, only the promotion rule makes its run champion again"
)
def test_entries_about_a_deleted_model_make_no_version_champion(params: Params, small_store: "Store") -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    criteria = params.promotion.model_copy(update={"max_bytes": 1})
    strict = params.model_copy(update={"promotion": criteria})
    assert promote.conclude(params, NAME, run, registered.version(registry, run, 1.0), registry).decision.promoted
    MlflowClient(settings.tracking_uri()).delete_registered_model(names.registered_model(NAME))
    again = registered.version(registry, run, 1.0)
    assert audit_log.entries_in_registry(NAME, {again.number: again}.get) == []
    with pytest.raises(Refused, match="size must be at most 1 bytes"):
        promote.conclude(strict, NAME, run, again, registry)
    assert model_versions.find(NAME) is None
    assert promote.conclude(params, NAME, run, again, registry).decision.promoted


@pytest.mark.proves("The history does not show a version as champion while a version that was deleted since was")
def test_a_period_ends_when_a_version_that_was_deleted_since_became_champion(
    params: Params, small_store: "Store"
) -> None:
    for strength in (1.0, 2.0):
        conclude(params, small_store, strength)
    [first, second] = history.history(NAME).periods
    conclude(params, small_store, 0.5)  # version 3 is not better, and its entry names version 2
    MlflowClient(settings.tracking_uri()).delete_model_version(names.registered_model(NAME), "2")
    shown = history.history(NAME)
    assert (shown.periods, shown.mismatch) == ([first], None)
    assert first.until == second.since
    assert "are left out: version 2" in str(shown.left_out)

    entries = audit_entries()
    elsewhere = [entries[0], entries[1] | {"run": "0" * 32}]  # this store does not have the run: another server did
    paths.audit().write_text("".join(atomic_files.canonical_json(entry) + "\n" for entry in elsewhere))
    assert [period.until for period in history.history(NAME).periods] == [None]


def test_an_entry_of_an_earlier_release_is_about_the_version_with_its_run_and_digest(
    params: Params, small_store: "Store"
) -> None:
    conclude(params, small_store, 1.0)
    [entry] = audit_entries()
    earlier = {key: value for key, value in entry.items() if key != "model"}
    assert audit_log.is_about(earlier, find_version())
    assert not audit_log.is_about(entry | {"model": "m-0"}, find_version())


def test_a_champion_set_by_hand_is_logged_and_challenged(params: Params, small_store: "Store") -> None:
    conclude(params, small_store, 3.0)
    conclude(params, small_store, 1.0)
    registry = Registry()
    registry.set_alias(find_version(2), "champion")
    assert conclude(params, small_store, 2.0).decision.promoted
    assert [line["decision"] for line in audit_entries()] == ["promoted", "kept", "changed", "promoted"]
    assert audit_entries()[2]["champion"] == 2


@pytest.mark.parametrize(("tag", "value"), [("seed", "x"), ("seed", None), ("fingerprint", None)])
def test_a_run_whose_tags_were_edited_or_deleted_is_left_out(
    params: Params, small_store: "Store", tag: str, value: str | None
) -> None:
    run, client = registered.final_run(small_store, params), MlflowClient(settings.tracking_uri())
    client.delete_tag(run.run_id, tag) if value is None else client.set_tag(run.run_id, tag, value)
    with pytest.raises(DataError, match="has no finished final run"):
        promote.promote(params, NAME)
