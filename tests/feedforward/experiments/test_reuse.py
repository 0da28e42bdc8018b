"""Which finished runs are reused after a change, and which results are not recorded because of one."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from small_data import params
from small_packs import final_of, replicas_of
from threads import at_once
from tracked_runs import stored_runs

from feedforward.core import atomic_files, paths
from feedforward.core import code_digest as code_digest_module
from feedforward.core.code_digest import closure, code_digest
from feedforward.core.errors import DataError
from feedforward.experiments import evaluation, parent_runs, plan, reuse, runner

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.mark.slow
def test_only_a_changed_variant_is_trained_again(small_store: "Store") -> None:
    chosen, pack = replicas_of("dropout", "original")
    planned = plan.plan(chosen, "fair", ["notes"], ["dropout", "original", "l2"], [0])
    assert reuse.find_finished(planned, small_store) == {}
    trained = runner.train_pack(pack, chosen, small_store)

    known = reuse.find_finished(planned, small_store)
    assert len(trained) == 2
    assert all(result in trained for result in parent_runs.results_of(planned, known))  # bit for bit
    missing = [(member.variant, p.role) for p in planned for member in p.without(known).members]
    assert sorted(missing) == [("l2", "replica"), ("original", "final")]

    more_seeds = plan.plan(params(seeds=3), "fair", ["notes"], ["dropout"])
    known = reuse.find_finished(more_seeds, small_store)
    assert len(known) == 1
    assert {p.seed for p in more_seeds if p.without(known).members} == {1, 2}

    changed_params = params(variants={"dropout": {"dropout_rate": 0.2}, "original": {}, "l2": {}})
    changed = plan.plan(changed_params, "fair", ["notes"], ["dropout", "original"], [0])
    known = reuse.find_finished(changed, small_store)
    missing = [(member.variant, p.role) for p in changed for member in p.without(known).members]
    assert sorted(missing) == [("dropout", "replica"), ("original", "final")]
    renamed = params(variants={"half": {"dropout_rate": 0.5}, "original": {}, "l2": {}})
    packs = plan.plan(renamed, "fair", ["notes"], ["half"], [0])
    [reused] = parent_runs.results_of(packs, reuse.find_finished(packs, small_store))
    assert (reused.variant, reused.weights_digest) == (
        "half",
        next(r for r in trained if r.variant == "dropout").weights_digest,
    )


@pytest.mark.slow
def test_a_partly_trained_pack_is_completed_with_identical_results(small_store: "Store") -> None:
    chosen, pack = replicas_of("dropout", "original", "l2", pack_units=80)
    runner.train_pack(pack.without(pack.fingerprints[:1]), chosen, small_store)
    missing = pack.without(reuse.find_finished([pack], small_store))
    assert missing.fingerprints == pack.fingerprints[:1]
    runner.train_pack(missing, chosen, small_store)
    tags = [run.data.tags["fingerprint"] for run in stored_runs("notes", role="replica")]
    assert sorted(tags) == sorted(pack.fingerprints)  # each is recorded once
    reused = parent_runs.results_of([pack], reuse.find_finished([pack], small_store))
    assert reused == runner.train_pack(pack, chosen, small_store)


@pytest.mark.proves("A process whose code was changed after it started records no results")
@pytest.mark.slow
def test_runs_whose_code_was_changed_during_the_training_are_not_recorded(
    small_store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, pack = replicas_of("l2")
    path = closure(plan.WEIGHTS)["feedforward.training.trainer"]

    def edit(_steps: int, _note: str) -> None:  # as if the file had been another one when the training was planned
        monkeypatch.setitem(code_digest_module._file_digests, path, "another digest")

    with pytest.raises(DataError, match=r"trainer\.py: was changed while this process was running"):
        runner.train_pack(pack, chosen, small_store, edit)
    assert [run.info.status for run in stored_runs("notes", role="replica")] == ["FAILED"]
    monkeypatch.undo()
    assert reuse.find_finished([pack], small_store) == {}


@pytest.mark.proves("Runs are recorded only if the data stayed the same from the plan to the result")
@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before loading", "during the training"])
def test_runs_whose_data_were_vectorized_again_are_not_recorded(small_store: "Store", moment: str) -> None:
    chosen, pack = final_of("notes")
    path = paths.vectorized("notes") / "manifest.json"
    planned = path.read_bytes()

    def vectorize_again(*_: object) -> None:
        atomic_files.write_json(path, {**json.loads(planned), "data_digest": "another digest"})

    if moment == "before loading":
        vectorize_again()
    with pytest.raises(DataError, match="notes: was vectorized again while this process was running"):
        runner.train_pack(pack, chosen, small_store, vectorize_again)
    path.write_bytes(planned)
    statuses = [run.status for run in small_store.find_runs("notes", None, role="final")]
    assert statuses == ([] if moment == "before loading" else ["FAILED"])
    assert reuse.find_finished([pack], small_store) == {}


def simulate_edit(monkeypatch: pytest.MonkeyPatch, *roots: tuple[str, ...]) -> None:
    """Simulate an edit to these modules or to code that they import."""
    real = code_digest

    def edited(modules: Any, *arguments: Any) -> str:
        return ("0" if tuple(modules) in roots else "") + real(modules, *arguments)

    for module in (plan, reuse, runner):
        monkeypatch.setattr(module, "code_digest", edited)


@pytest.mark.proves("After a change to a metric's code, the metric is computed again from the stored weights")
@pytest.mark.slow
@pytest.mark.parametrize("role", ["replica", "final"])
def test_changed_evaluation_code_recomputes_metrics_without_training(
    small_store: "Store", monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    chosen, pack = replicas_of("l2") if role == "replica" else final_of("notes")
    [before] = runner.train_pack(pack, chosen, small_store)
    real = evaluation.summarize
    monkeypatch.setattr(evaluation, "summarize", lambda *arguments: real(*arguments) | {"last_cross_entropy": 0.125})
    [reused] = reuse.find_finished([pack], small_store).values()
    assert reused == before  # because the digest of the code is still the same
    simulate_edit(monkeypatch, plan.EVALUATION)

    [recomputed] = reuse.find_finished([pack], small_store).values()
    expected = {**before.metrics, "last_cross_entropy": 0.125}
    assert recomputed.metrics == pytest.approx(expected)
    assert (recomputed.curves, recomputed.weights_digest, recomputed.hardest) == (
        before.curves,
        before.weights_digest,
        before.hardest,
    )
    (run,) = stored_runs("notes", role=role)  # the same run, with its new metrics
    assert run.data.metrics["last_cross_entropy"] == 0.125
    assert run.data.tags["evaluation_digest"].startswith("0")
    monkeypatch.setattr(evaluation, "summarize", real)
    assert reuse.find_finished([pack], small_store) == {pack.fingerprints[0]: recomputed}  # stored, not computed again


@pytest.mark.proves("After a change to code that determines weights, every run is trained again")
@pytest.mark.slow
def test_changed_training_code_invalidates_all_runs(small_store: "Store", monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, pack = replicas_of("l2")
    runner.train_pack(pack, chosen, small_store)
    simulate_edit(monkeypatch, plan.WEIGHTS)
    changed = plan.plan(chosen, "fair", ["notes"], ["l2"], [0])
    assert reuse.find_finished(changed, small_store) == {}


def test_evaluation_digest_covers_metric_code_and_weights_digest_covers_layer_code() -> None:
    weights_code, metrics_code = closure(plan.WEIGHTS), closure(plan.EVALUATION)
    assert {
        "feedforward.training.packed_model",
        "feedforward.data.validation_split",
        "feedforward.config.tasks",
    } <= set(weights_code)
    assert {"feedforward.models.metrics", "feedforward.models.attribution", "feedforward.data.splits"} <= set(
        metrics_code
    )
    assert "feedforward.models.metrics" not in weights_code
    assert "feedforward.training.packed_model" not in metrics_code


@pytest.mark.slow
def test_seeds_of_a_variant_share_a_parent_until_a_parameter_changes(small_store: "Store") -> None:
    chosen = params()
    packs = plan.plan(chosen, "fair", ["notes"], ["larger"])
    assert len(packs) == 2
    at_once(lambda pack: runner.train_pack(pack, chosen, small_store), packs)
    (parent,) = stored_runs("notes", role="variant")
    assert {run.data.tags["mlflow.parentRunId"] for run in stored_runs("notes", role="replica")} == {parent.info.run_id}

    [pack, _], [member] = packs, packs[0].members
    faster = dataclasses.replace(member, parameters={**member.parameters, "optimizer_learning_rate": 0.01})
    assert (
        parent_runs.start_parent(pack, faster, small_store).id != parent_runs.start_parent(pack, member, small_store).id
    )
