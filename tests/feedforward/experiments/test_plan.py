"""The runs of an experiment, their packs and order, and what changes their fingerprints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_data import HELD_OUT, TRAIN, WORDS, params, params_with, values

from feedforward.config.schema import Params
from feedforward.core import provenance
from feedforward.core.errors import DataError, ParamsError
from feedforward.experiments import plan as plans
from feedforward.experiments import runner
from feedforward.experiments.plan import Pack

pytestmark = pytest.mark.usefixtures("small")


def plan(chosen: Params | None = None, protocol: str = "fair", **filters: Any) -> list[Pack]:
    return plans.plan(chosen or params(), protocol, **filters)


def runs(packs: list[Pack]) -> set[tuple[str, str, str, int]]:
    return set(fingerprints(packs))


def fingerprints(packs: list[Pack]) -> dict[tuple[str, str, str, int], str]:
    return {
        (pack.dataset, member.variant, pack.role, pack.seed): member.fingerprint
        for pack in packs
        for member in pack.members
    }


# --- selection of runs -------------------------------------------------------------------------


def test_fair_plan_has_all_variants_and_seeds_and_one_final_variant() -> None:
    chosen = params(seeds=3)
    expected = {(d, v, "replica", s) for d in ("tones", "notes") for v in chosen.variants for s in range(3)}
    expected |= {(d, "original", "final", s) for d in ("tones", "notes") for s in range(3)}
    assert runs(plan(chosen)) == expected


def test_lecture_plan_has_the_variants_of_the_slides() -> None:
    packs = plan(protocol="lecture")
    assert runs(packs) == {
        *(("tones", "original", "replica", s) for s in range(2)),
        *(("notes", v, "replica", s) for v in ("original", "l2") for s in range(2)),
    }
    samples_of = {
        (pack.dataset, member.variant): (pack.train, pack.validate) for pack in packs for member in pack.members
    }
    assert samples_of == {
        ("tones", "original"): ("all", "test"),
        ("notes", "original"): ("fixed", "validation"),
        ("notes", "l2"): ("all", "test"),
    }


def test_fair_replicas_never_use_the_test_split_and_final_runs_train_on_all_samples() -> None:
    for pack in plan():
        expected = ("all", None, 2) if pack.role == "final" else ("drawn", "validation", 3)
        assert (pack.train, pack.validate, pack.epochs) == expected


def test_plan_can_be_filtered_by_dataset_variant_and_seed() -> None:
    packs = plan(datasets=["notes"], variants=["l2", "smaller"], seeds=[5, 7])
    assert runs(packs) == {("notes", v, "replica", s) for v in ("l2", "smaller") for s in (5, 7)}
    assert {pack.role for pack in plan(variants=["original"])} == {"replica", "final"}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"datasets": ["note"]}, "unknown dataset 'note': must be one of tones, notes; did you mean notes?"),
        ({"variants": ["dropuot"]}, "unknown variant 'dropuot': must be one of .*; did you mean dropout?"),
    ],
)
def test_unknown_dataset_and_variant_names_are_rejected(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message.replace("?", r"\?")):
        plan(**filters)


def test_a_dataset_may_list_its_compared_variants() -> None:
    plain = values()
    plain["datasets"]["tones"]["training"]["variants"] = ["original", "l2"]
    packs = plan(Params.model_validate_json(json.dumps(plain)), datasets=["tones"])
    assert {variant for _, variant, role, _ in runs(packs) if role == "replica"} == {"original", "l2"}


def test_a_missing_or_damaged_manifest_is_an_error(tmp_path: Path) -> None:
    manifest = tmp_path / "data" / "vectorized" / "notes" / "manifest.json"
    for damage in (lambda: manifest.write_text("[1]"), lambda: manifest.write_text("{"), manifest.unlink):
        damage()
        with pytest.raises(DataError, match=r"manifest\.json: cannot be read .*; run `dvc repro vectorize`"):
            plan()


# --- packs -------------------------------------------------------------------------------------


def members(packs: list[Pack]) -> list[tuple[str, ...]]:
    return sorted(tuple(member.variant for member in pack.members) for pack in packs)


def test_variants_of_one_seed_share_packs_up_to_pack_units() -> None:
    packs = plan(params(seeds=1, pack_units=52), datasets=["notes"])
    # 4 + 16 + 16 + 16 units; 40 units; and the final run, which is trained on different samples
    assert members(packs) == [("larger",), ("original",), ("smaller", "original", "l2", "dropout")]
    narrower = plan(
        params(seeds=1, pack_units=36), datasets=["notes"], variants=["smaller", "original", "l2", "dropout"]
    )
    assert members([pack for pack in narrower if pack.role == "replica"]) == [
        ("dropout",),
        ("smaller", "original", "l2"),
    ]


def test_a_pack_has_one_seed() -> None:
    packs = plan(params(seeds=3), datasets=["notes"], variants=["l2", "smaller"])
    assert sorted((pack.seed, len(pack.members)) for pack in packs) == [(0, 2), (1, 2), (2, 2)]


def test_variants_with_different_samples_are_in_different_packs() -> None:
    packs = plan(params(seeds=1), protocol="lecture", datasets=["notes"])
    assert members(packs) == [("l2",), ("original",)]


def test_packs_are_ordered_by_cost_counted_in_multiplications() -> None:
    packs = plan(params(seeds=1))
    assert [pack.cost for pack in packs] == sorted((pack.cost for pack in packs), reverse=True)
    assert (packs[0].dataset, packs[0].members[0].variant) == ("notes", "larger")
    assert packs[0].cost == 3 * (TRAIN - HELD_OUT) * (WORDS * 40 + 40 * 40)  # 3 epochs, two layers of 40 units


def test_a_seed_determines_all_sources_of_variation_unless_one_is_selected() -> None:
    (pack,) = plan(datasets=["notes"], variants=["l2"], seeds=[5])
    assert [pack.seed_of(source) for source in plans.SOURCES] == [5, 5, 5]
    (order_only,) = plan(datasets=["notes"], variants=["l2"], seeds=[5], varied=["order"])
    assert {source: order_only.seed_of(source) for source in plans.SOURCES} == {"split": 0, "order": 5, "weights": 0}
    assert order_only.members[0].parameters["varied"] == "order"
    assert order_only.fingerprints != pack.fingerprints


def test_pack_names_list_the_variants() -> None:
    names = {pack.name for pack in plan(params(pack_units=20), datasets=["notes"])}
    assert {"notes seed 0: smaller, original", "notes seed 0: larger", "notes seed 1: original (final)"} <= names


def test_removing_known_runs_keeps_the_others() -> None:
    (pack,) = plan(params(pack_units=80, seeds=1), datasets=["notes"], variants=["l2", "smaller", "dropout"])
    remaining = pack.without({pack.fingerprints[0], "fingerprint of another pack"})
    assert remaining.members == pack.members[1:]
    assert remaining.cost == pytest.approx(sum(member.cost for member in pack.members[1:]))
    assert pack.without(set(pack.fingerprints)).members == ()


# --- fingerprints ------------------------------------------------------------------------------


def test_fingerprints_are_unique() -> None:
    all_fingerprints = [
        fingerprint
        for protocol in ("fair", "lecture")
        for fingerprint in fingerprints(plan(protocol=protocol)).values()
    ]
    assert len(set(all_fingerprints)) == len(all_fingerprints)


REPLICAS_AND_FINALS = {("replica", v) for v in values()["variants"]} | {("final", "original")}
REPLICAS = {pair for pair in REPLICAS_AND_FINALS if pair[0] == "replica"}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("variants/dropout/dropout_rate", 0.2, {("replica", "dropout")}),
        ("variants/l2/l2", 0.001, {("replica", "l2")}),
        ("variants/original/l2", 0.001, {("replica", "original"), ("final", "original")}),
        ("datasets/notes/network/sizes/small", [5, 4], {("replica", "smaller")}),
        ("datasets/notes/network/activation", "tanh", REPLICAS_AND_FINALS),
        ("datasets/notes/training/batch_size", 21, REPLICAS_AND_FINALS),
        ("datasets/notes/training/optimizer/learning_rate", 0.01, REPLICAS_AND_FINALS),
        ("datasets/notes/training/optimizer/name", "adam", REPLICAS_AND_FINALS),
        ("datasets/notes/training/epochs", 4, REPLICAS),
        ("datasets/notes/training/validation/samples", 20, REPLICAS),
        ("datasets/notes/training/validation/take", "last", set()),
        ("datasets/notes/training/train_share", 0.5, REPLICAS_AND_FINALS),
        ("datasets/notes/training/train_share", 1.0, set()),
        ("datasets/notes/training/final/epochs", 5, {("final", "original")}),
        ("datasets/notes/title", "Other texts", set()),
        ("datasets/notes/expectations/duplicates", 5, set()),
        ("datasets/tones/training/epochs", 9, set()),
        ("variants/wider", {"size": "large"}, set()),
        ("seeds", 5, set()),
        ("pack_units", 320, set()),
        ("protocols", ["fair", "lecture"], set()),
        ("mirrors", ["elsewhere"], set()),
    ],
)
def test_fingerprints_change_only_with_parameters_that_affect_the_run(
    path: str, value: Any, expected: set[tuple[str, str]]
) -> None:
    before = fingerprints(plan(datasets=["notes"]))
    after = fingerprints(plan(params_with(path, value), datasets=["notes"]))
    changed = {
        (role, variant) for (name, variant, role, seed), f in before.items() if after[name, variant, role, seed] != f
    }
    assert changed == expected


def test_an_additional_class_changes_the_fingerprints() -> None:
    before, after = (
        fingerprints(plan(params_with("datasets/tones/labels", labels), datasets=["tones"]))
        for labels in (["dark", "gray", "light"], ["dark", "gray", "light", "white"])
    )
    assert not set(before.values()) & set(after.values())


def test_different_data_change_the_fingerprints(tmp_path: Path) -> None:
    before = fingerprints(plan())
    path = tmp_path / "data" / "vectorized" / "notes" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": "0" * 64}))
    after = fingerprints(plan())
    assert {key[0] for key in before if before[key] != after[key]} == {"notes"}


@pytest.mark.proves("A fingerprint depends on the GPU; with all GPUs hidden, it is the same as without a GPU")
@pytest.mark.parametrize("visible", ["", "-1"])
def test_a_gpu_changes_fingerprints_but_a_hidden_one_does_not(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert provenance.device() == "cpu"
    hidden = fingerprints(plan())
    monkeypatch.setattr(provenance, "device", lambda: "cpu")
    assert fingerprints(plan()) == hidden
    monkeypatch.setattr(provenance, "device", lambda: "NVIDIA H200")
    assert not set(fingerprints(plan()).values()) & set(hidden.values())


def test_fingerprints_are_the_same_after_tensorflow_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    before = fingerprints(plan())
    runner.prepare(1)
    assert fingerprints(plan()) == before


def test_fingerprints_do_not_depend_on_the_selection_or_the_packs() -> None:
    all_fingerprints = fingerprints(plan(params(seeds=6)))
    selections: list[Callable[[], list[Pack]]] = [
        lambda: plan(datasets=["notes"], variants=["l2"], seeds=[3]),
        lambda: plan(seeds=[5, 1]),
        lambda: plan(params(pack_units=1, seeds=4)),
    ]
    for selection in selections:
        assert fingerprints(selection()).items() <= all_fingerprints.items()
