"""Promotion with a real store, registry and audit log, and with the evaluation in a separate process."""

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import registered
from mlflow import MlflowClient
from registered import NAME, audit_entries, conclude, find_version
from small_data import HELD_OUT, TRAIN, split, values, write_params
from small_data import params as small_params

from feedforward.config.schema import Params, load_params
from feedforward.core import locks, paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.data import validation_split
from feedforward.data.splits import Split
from feedforward.experiments import plan, runner, training_run
from feedforward.models import metrics
from feedforward.promotion import (
    bundle,
    champion,
    evaluation,
    holdout_split,
    promote,
    temperature,
)
from feedforward.promotion.evaluator import EvaluationFailed, Evaluator
from feedforward.promotion.promote import Refused
from feedforward.tracking import model_versions, settings
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


# --- from run to champion ---------------------------------------------------------------------------


def test_a_trained_run_becomes_champion_and_promoting_it_again_changes_nothing(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    # no minimum accuracy, because small networks are inaccurate
    write_params(paths.params(), values(promotion={"holdout_models": 2}))
    lenient = load_params()
    packs = plan.plan(lenient, "fair", [NAME], ["original", "smaller"])
    for pack in packs:
        runner.train_pack(pack, lenient, small_store)
    messages: list[str] = []
    first = promote.promote(lenient, NAME, say=messages.append)
    assert first.decision.promoted
    assert find_version().number == 1
    assert messages[0].startswith("notes version 1 is run ")

    champion = find_version()
    measured = json.loads(champion.tags["evaluation"])
    assert measured["probe_difference"] < 1e-5
    models = evaluation.holdout_models(champion)
    assert [model.description.seed for model in models] == [int(champion.tags["seed"]), 1 - int(champion.tags["seed"])]
    holdout_model = next(model for model in models if model.description.seed == 0)
    # a holdout model is the final model of a seed, trained again without the validation split
    training, _ = validation_split.hold_out(Split.load(paths.vectorized(NAME) / "train"), params.datasets[NAME])
    original = {"original": params.variants["original"]}
    trained_again = training_run.train_final(params.datasets[NAME], original, training, 0)
    assert holdout_model.description.weights_digest == trained_again.weights_digest
    assert holdout_model.description.samples == len(training)
    [replica] = Registry().find_runs(NAME, role="replica", variant="original", seed=champion.tags["seed"])
    # after the two epochs of the final model
    assert measured["recorded_cross_entropy"] == Registry().curve(replica, "val_cross_entropy")[1]
    assert set(json.loads(champion.tags["variants"])) == {"original", "smaller"}
    for variant, digest in json.loads(champion.tags["variants"]).items():
        description = bundle.read(model_versions.folder(champion, f"variants/{variant}"), digest).description
        assert (description.variant, description.epochs, description.samples) == (variant, 3, TRAIN - HELD_OUT)
        holdout_run = Registry().find_runs(NAME, role="replica", variant=variant, seed=champion.tags["seed"])[0]
        assert description.temperature == Registry().curve(holdout_run, "calibration/temperature")[2]  # third epoch
    card = (model_versions.folder(champion, "card") / "card.md").read_text()
    assert champion.tags["weights_digest"] in card
    served = bundle.read(model_versions.folder(champion, "served"), champion.tags["digest"])
    calibration = json.loads(champion.tags["calibration"])
    assert served.network.temperature == calibration["temperature"]
    assert calibration["samples"] == temperature.MAX_PARTS * (TRAIN // 10)
    uncalibrated = dataclasses.replace(served.network, temperature=1.0)
    features = Split.load(paths.vectorized(NAME) / "test").features
    np.testing.assert_array_equal(uncalibrated.probabilities(features).argmax(1), served.predict(features).argmax(1))
    assert f"divided by the temperature {served.network.temperature:.4f}" in card
    assert "| expected calibration error without temperature | " in card
    assert "**Promoted**: it meets all acceptance criteria" in card
    for name in ("accuracy", "auc", "f1", "loss"):
        assert re.search(rf"\| test {name} \| [\d.]+ \| \[[\d.]+, [\d.]+\] \| this model, ", card)
    assert "test auc se" not in card

    repeated = promote.promote(lenient, NAME)
    assert not repeated.decision.promoted
    assert (repeated.version.number, repeated.champion) == (1, 1)
    assert [line["decision"] for line in audit_entries()] == ["promoted", "kept"]

    with pytest.raises(ParamsError, match="must name one final run"):
        promote.promote(lenient, NAME, "nothing")
    changed = small_params(variants={**values()["variants"], "original": {"l2": 0.1}})
    with pytest.raises(DataError, match=r"trained with different parameters \(l2\)"):
        promote.promote(changed, NAME)


def test_holdout_models_are_trained_again_for_another_split_or_number(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    write_params(paths.params(), values(promotion={"holdout_models": 1}))
    [pack] = [pack for pack in plan.plan(load_params(), "fair", [NAME], ["original"], [0]) if pack.role == "final"]
    runner.train_pack(pack, load_params(), small_store)
    assert promote.promote(load_params(), NAME).decision.promoted
    first = find_version()
    promote.promote(load_params(), NAME)
    assert find_version().holdout_models() == first.holdout_models()

    changed = registered.with_validation(load_params(), "last", HELD_OUT)
    write_params(paths.params(), changed.model_dump(mode="json") | {"promotion": {"holdout_models": 2}})
    promote.promote(load_params(), NAME)
    assert len(find_version().holdout_models()) == 2
    models = evaluation.holdout_models(find_version())
    assert holdout_split.of_today(NAME, load_params().datasets[NAME]).unseen(models).all()
    evaluation.holdout_models(first)  # a process that still uses them can read them


@pytest.mark.proves("A promotion evaluates the recipe that it promotes, even if params.yaml is edited in the meantime")
def test_an_edit_of_params_yaml_does_not_change_what_is_evaluated(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    decided = small_params(promotion={"holdout_models": 1})
    [pack] = [pack for pack in plan.plan(decided, "fair", [NAME], ["original"], [0]) if pack.role == "final"]
    runner.train_pack(pack, decided, small_store)
    edited = registered.with_validation(decided, "last", HELD_OUT).model_dump(mode="json")
    edited["datasets"][NAME]["training"]["final"]["epochs"] = 1
    write_params(paths.params(), edited)
    assert promote.promote(decided, NAME).decision.promoted
    [model] = evaluation.holdout_models(find_version())
    split = holdout_split.of_today(NAME, decided.datasets[NAME])
    assert split.was_trained_on(model)
    original = {"original": decided.variants["original"]}
    trained_again = training_run.train_final(decided.datasets[NAME], original, split.training, 0)
    assert model.description.weights_digest == trained_again.weights_digest
    assert find_version().calibration() == temperature.fit(decided, NAME, 0)


@pytest.mark.proves("A version that was refused on a busy machine is measured again after it was deleted in MLflow")
def test_a_deleted_version_is_registered_and_measured_again(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    rule = {"holdout_models": 1}
    busy, idle = (small_params(promotion={**rule, "max_latency": limit}) for limit in (1e-9, 1000.0))
    [pack] = [pack for pack in plan.plan(idle, "fair", [NAME], ["original"], [0]) if pack.role == "final"]
    runner.train_pack(pack, idle, small_store)
    with pytest.raises(Refused, match="latency must be at most"):
        promote.promote(busy, NAME)
    refused = find_version(1)
    MlflowClient(settings.tracking_uri()).delete_model_version(NAME, "1")
    assert promote.promote(idle, NAME).decision.promoted
    assert find_version().tags["digest"] == refused.tags["digest"]
    assert find_version().metrics()["latency_ms"] != refused.metrics()["latency_ms"]


@pytest.mark.proves("A rollback need not wait until a promotion has trained: no network is trained under the lock")
@pytest.mark.parametrize("is_changed", [False, True])
def test_nothing_is_trained_while_the_lock_of_decisions_is_held(
    params: Params, small_store: "Store", tensorflow: None, is_changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lenient = small_params(promotion={"holdout_models": 1})
    [pack] = [pack for pack in plan.plan(lenient, "fair", [NAME], ["original"], [0]) if pack.role == "final"]
    runner.train_pack(pack, lenient, small_store)
    run, free = Evaluator.run, []

    def observed(evaluator: Evaluator, action: str, *arguments: Any) -> dict[str, Any]:
        with champion.decision_lock(NAME):
            free.append(action)
        measured = run(evaluator, action, *arguments)
        if is_changed:
            path = paths.vectorized(NAME) / "manifest.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": "0" * 64}))
        return measured

    monkeypatch.setattr(Evaluator, "run", observed)
    monkeypatch.setattr(locks, "LONG", 1.0)
    if is_changed:
        with pytest.raises(EvaluationFailed, match="the data have changed meanwhile; run the command again"):
            promote.promote(lenient, NAME)
        assert model_versions.find(NAME, 1) is None
    else:
        assert promote.promote(lenient, NAME).decision.promoted
        assert free == ["calibrate", "evaluate"]


def test_a_version_is_compared_only_on_the_data_that_it_was_evaluated_on(params: Params, small_store: "Store") -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    moved = registered.with_validation(params, "last", HELD_OUT)
    version = registered.version(registry, run, 1.0, dataset=moved.datasets[NAME])
    with pytest.raises(EvaluationFailed, match="the data or parameters have changed during the evaluation; run"):
        promote.conclude(params, NAME, run, version, registry)


@pytest.mark.proves("Promoting again gives the champion the variants that params.yaml has now")
def test_a_champion_with_former_variants_is_replaced_by_the_same_model(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    before = small_params(promotion={"holdout_models": 1})
    for pack in plan.plan(before, "fair", [NAME], ["original", "smaller"], [0]):
        runner.train_pack(pack, before, small_store)
    promote.promote(before, NAME)
    variants = values()["variants"]
    variants["tiny"] = variants.pop("smaller")
    renamed = small_params(promotion={"holdout_models": 1}, variants=variants)
    outcome = promote.promote(renamed, NAME)
    assert outcome.decision.promoted
    assert "notes version 1 is the same model, with other names, variants or preprocessing" in outcome.decision.reason
    assert list(find_version().variants()) == ["original", "tiny"]
    assert promote.promote(renamed, NAME).champion == outcome.version.number


def test_untrained_and_demo_datasets_are_not_promoted(params: Params, small_store: "Store") -> None:
    with pytest.raises(DataError, match="has no finished final run"):
        promote.promote(params, NAME)
    with pytest.raises(ParamsError, match="unknown dataset"):
        promote.promote(params, "nots")
    demo = params.datasets[NAME].model_copy(update={"demo": True})
    with pytest.raises(Refused, match="never promoted"):
        promote.promote(params.model_copy(update={"datasets": {NAME: demo}}), NAME)
    assert [line["decision"] for line in audit_entries()] == ["refused"]


# --- decisions -------------------------------------------------------------------------------


def test_a_better_version_replaces_the_champion_and_a_worse_one_does_not(params: Params, small_store: "Store") -> None:
    assert conclude(params, small_store, 1.0).decision.promoted
    better = conclude(params, small_store, 2.0)
    assert better.decision.promoted
    assert better.decision.gain is not None
    assert better.decision.gain.low > 0
    worse = conclude(params, small_store, 1.5)
    assert not worse.decision.promoted
    assert find_version().number == 2
    assert [(line["decision"], line["before"], line["champion"]) for line in audit_entries()] == [
        ("promoted", None, 1),
        ("promoted", 1, 2),
        ("kept", 2, 2),
    ]
    third = find_version(3)
    assert third.tags["decision"] == "kept"
    assert third.tags["reason"] == worse.decision.reason == audit_entries()[2]["reason"]


@pytest.mark.proves("Two versions are compared only on samples on which no holdout model of either was trained")
def test_a_champion_that_was_trained_on_the_validation_samples_is_kept_until_it_can_be_compared(
    params: Params, small_store: "Store"
) -> None:
    conclude(params, small_store, 1.0)
    moved = registered.with_validation(params, "last", HELD_OUT)
    kept = conclude(moved, small_store, 2.0)
    assert (kept.decision.promoted, kept.decision.gain, find_version().number) == (False, None, 1)
    assert "only 0 of 24 validation samples are new to the champion's holdout models; let" in kept.decision.reason
    assert audit_entries()[-1]["decision"] == find_version(2).tags["decision"] == "kept"
    # both remedies work: no comparison, and the earlier split
    replaced = conclude(moved, small_store, 0.5, skip_comparison="new split")
    assert (replaced.decision.promoted, find_version().number) == (True, 3)
    assert str(audit_entries()[-1]["reason"]).endswith("replaced without a comparison: new split")
    Registry().set_alias(find_version(1), "champion")
    assert conclude(params, small_store, 2.0).decision.promoted


def test_versions_with_one_holdout_model_each_are_not_compared(params: Params, small_store: "Store") -> None:
    assert conclude(params, small_store, 1.0, holdout_models=1).decision.promoted
    kept = conclude(params, small_store, 2.0, holdout_models=1)
    assert (kept.decision.promoted, find_version().number) == (False, 1)
    assert kept.decision.reason.endswith(
        "the effect of the seeds; set promotion.holdout_models to 3 or more,"
        " or run `feedforward promote notes --skip-comparison REASON`"
    )
    assert audit_entries()[-1]["decision"] == "kept"
    # both remedies work
    assert conclude(params, small_store, 2.0, "a test", holdout_models=1).decision.promoted
    Registry().set_alias(find_version(1), "champion")
    better = conclude(params, small_store, 2.0, holdout_models=3)
    assert better.decision.promoted
    assert better.decision.gain is not None


def test_a_comparison_that_is_possible_cannot_be_skipped(params: Params, small_store: "Store") -> None:
    conclude(params, small_store, 2.0)
    worse = conclude(params, small_store, 1.0, skip_comparison="it is newer")
    assert (worse.decision.promoted, find_version().number) == (False, 1)
    assert worse.decision.gain is not None


def test_versions_are_compared_on_the_validation_samples_that_are_new_to_both(
    params: Params, small_store: "Store"
) -> None:
    conclude(registered.with_validation(params, "first", 40), small_store, 1.0)
    decision = conclude(registered.with_validation(params, "first", 60), small_store, 2.0).decision
    samples = split(NAME).rows(0, 40)
    losses = [
        metrics.losses(n, n.logits(samples.features), samples.labels) for n in map(registered.network, (1.0, 2.0))
    ]
    assert decision.gain is not None
    assert decision.gain.mean == pytest.approx((losses[0] - losses[1]).mean())
    assert " on the 40 of 60 validation samples that are new to the champion's holdout models" in decision.reason


@pytest.mark.parametrize(
    ("strength", "changes", "message"),
    [
        (0.0, {}, "accuracy on glad must be at least 0.75"),
        (-1.0, {}, "accuracy on sad must be at least 0.75, got 0"),
        (1.0, {"latency_ms": 101.0}, "latency must be at most"),
        (1.0, {"seen_cross_entropy": 1.797e308}, "seen_cross_entropy must be finite"),
    ],
)
def test_invalid_challengers_are_rejected(
    params: Params, small_store: "Store", strength: float, changes: dict[str, float], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        conclude(params, small_store, strength, **changes)
    assert model_versions.find(NAME) is None
    assert [line["decision"] for line in audit_entries()] == ["refused"]
