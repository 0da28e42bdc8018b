"""Which runs are current. Runs are found by their data and parameters, whatever their variant was called."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
import registered
from registered import NAME, find_version
from small_data import values, write_params

from feedforward.config.schema import Params, Variant, load_params
from feedforward.core import paths
from feedforward.experiments import plan, runner
from feedforward.promotion import bundle, candidate, current_runs, promote
from feedforward.tracking import model_versions
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


def renamed_values(variants: dict[str, Any]) -> dict[str, Any]:
    """Return a params.yaml with these variants, whose final variant is the first of them."""
    plain = values(variants=variants, promotion={"holdout_models": 1})
    for dataset in plain["datasets"].values():
        dataset["training"]["final"]["variant"] = next(iter(variants))
        dataset["training"]["lecture"] = None
    return plain


def test_an_outdated_run_is_recognized(params: Params, small_store: "Store") -> None:
    run = registered.final_run(small_store, params, seed=1)
    assert current_runs.outdated_reason(params, NAME, run) is None
    changed = params.model_copy(update={"variants": params.variants | {"original": Variant(l2=0.5)}})
    assert "different parameters (l2)" in str(current_runs.outdated_reason(changed, NAME, run))
    without_variant = params.model_copy(update={"variants": {"smaller": params.variants["smaller"]}})
    assert "no longer configured in params.yaml" in str(current_runs.outdated_reason(without_variant, NAME, run))
    decaying = dataclasses.replace(run, params={**run.params, "decay_kind": "exponential"})
    assert "different parameters (decay_kind)" in str(current_runs.outdated_reason(params, NAME, decaying))
    assert candidate.recorded_cross_entropy(params, NAME, run, Registry()) is None  # no replica was recorded


def test_a_run_belongs_to_each_variant_with_its_parameters(params: Params, small_store: "Store") -> None:
    run = registered.final_run(small_store, params)
    assert current_runs.variants_of(params, NAME, run) == ["original"]
    equal = params.model_copy(update={"variants": {"plain": Variant(), "same": Variant(), "other": Variant(l2=0.5)}})
    replica = dataclasses.replace(run, tags=run.tags | {"role": "replica"})
    [planned] = [
        member for pack in plan.plan(equal, "fair", [NAME], ["same"], [0]) for member in pack.members
        if pack.role == "replica"
    ]  # fmt: skip
    replica = dataclasses.replace(replica, params={key: str(value) for key, value in planned.parameters.items()})
    assert current_runs.variants_of(equal, NAME, replica) == ["plain", "same"]


@pytest.mark.proves("A renamed variant, and one that adopts a sweep's values, are promoted without training again")
def test_runs_of_a_renamed_variant_and_of_a_sweep_are_promoted_under_the_current_names(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    trial = "original dropout_rate=0.25"
    before = load_params().model_copy(update={"variants": {"original": Variant(), trial: Variant(dropout_rate=0.25)}})
    for pack in plan.plan(before, "fair", [NAME]):
        runner.train_pack(pack, before, small_store)
    write_params(paths.params(), renamed_values({"plain": {}, "best": {"dropout_rate": 0.25}}))
    now = load_params()
    outcome = promote.promote(now, NAME)
    assert outcome.decision.promoted
    champion = find_version()
    assert champion.tags["variant"] == "plain"
    assert list(json.loads(champion.tags["variants"])) == ["plain", "best"]
    digests = {"served": champion.tags["digest"], **json.loads(champion.tags["variants"])}
    for variant, digest in digests.items():
        folder = variant if variant == "served" else f"variants/{variant}"
        description = bundle.read(model_versions.folder(champion, folder), digest).description
        assert description.variant == ("plain" if variant == "served" else variant)
    assert "recorded_cross_entropy" in json.loads(champion.tags["evaluation"])
    card = (model_versions.folder(champion, "card") / "card.md").read_text()
    assert "Variant `plain`, " in card
    assert "original" not in card
    assert promote.promote(now, NAME, champion.run_id).version == champion

    write_params(paths.params(), renamed_values({"regular": {}}))
    renamed_again = promote.promote(load_params(), NAME)
    assert (renamed_again.version.number, renamed_again.champion) == (2, 2)  # the same model under its current name
    assert find_version(2).tags["variant"] == "regular"
