"""Which runs there are, in which packs and order, and what changes their fingerprints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_data import HELD_OUT, TRAIN, params, values

from feedforward.config.schema import Params
from feedforward.core import provenance
from feedforward.core.errors import DataError, ParamsError
from feedforward.experiments import plan as plans
from feedforward.experiments import runner
from feedforward.experiments.plan import Pack

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(autouse=True, params=[False], ids=[""])
def pack_decides(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine on which the pack of a replica decides no bit, or does, whatever this one is."""
    monkeypatch.setattr(provenance, "pack_decides", lambda: request.param)


decides = pytest.mark.parametrize("pack_decides", [True], indirect=True, ids=["decides"])


def plan(chosen: Params | None = None, protocol: str = "fair", **filters: Any) -> list[Pack]:
    return plans.plan(chosen or params(), protocol, **filters)


def runs(packs: list[Pack]) -> set[tuple[str, str, str, int]]:
    return {(pack.dataset, pack.variant, pack.role, seed) for pack in packs for seed in pack.seeds}


def fingerprints(packs: list[Pack]) -> dict[tuple[str, str, str, int], str]:
    return {
        (pack.dataset, pack.variant, pack.role, seed): fingerprint
        for pack in packs
        for seed, fingerprint in zip(pack.seeds, pack.fingerprints, strict=True)
    }


# --- which -------------------------------------------------------------------------------------


def test_fair_has_every_variant_and_seed_and_one_final_variant() -> None:
    chosen = params(seeds=3)
    expected = {(d, v, "replica", s) for d in ("tones", "notes") for v in chosen.variants for s in range(3)}
    expected |= {(d, "original", "final", s) for d in ("tones", "notes") for s in range(3)}
    assert runs(plan(chosen)) == expected


def test_lecture_has_what_the_slides_show() -> None:
    found = plan(protocol="lecture")
    assert runs(found) == {
        *(("tones", "original", "replica", s) for s in range(2)),
        *(("notes", v, "replica", s) for v in ("original", "l2") for s in range(2)),
    }
    seen = {(pack.dataset, pack.variant): (pack.train, pack.validate) for pack in found}
    assert seen == {
        ("tones", "original"): ("all", "test"),
        ("notes", "original"): ("training", "validation"),
        ("notes", "l2"): ("all", "test"),
    }


def test_in_fair_no_replica_meets_the_test_split_and_final_runs_train_on_all() -> None:
    for pack in plan():
        expected = ("all", None, 2) if pack.role == "final" else ("training", "validation", 3)
        assert (pack.train, pack.validate, pack.epochs) == expected


def test_filters() -> None:
    chosen = plan(datasets=["notes"], variants=["l2", "smaller"], seeds=[5, 7])
    assert runs(chosen) == {("notes", v, "replica", s) for v in ("l2", "smaller") for s in (5, 7)}
    assert {pack.role for pack in plan(variants=["original"])} == {"replica", "final"}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"datasets": ["note"]}, "unknown dataset 'note': must be one of tones, notes; did you mean notes?"),
        ({"variants": ["dropuot"]}, "unknown variant 'dropuot': must be one of .*; did you mean dropout?"),
    ],
)
def test_unknown_names(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message.replace("?", r"\?")):
        plan(**filters)


def test_a_data_set_may_name_the_variants_that_are_compared_on_it() -> None:
    plain = values()
    plain["datasets"]["tones"]["training"]["variants"] = ["original", "l2"]
    found = plan(Params.model_validate_json(json.dumps(plain)), datasets=["tones"])
    assert {pack.variant for pack in found if pack.role == "replica"} == {"original", "l2"}


def test_data_that_are_not_vectorized(tmp_path: Path) -> None:
    manifest = tmp_path / "data" / "vectorized" / "notes" / "manifest.json"
    for damage in (lambda: manifest.write_text("[1]"), lambda: manifest.write_text("{"), manifest.unlink):
        damage()
        with pytest.raises(DataError, match=r"manifest\.json: cannot be read .*; run `dvc repro vectorize`"):
            plan()


# --- packs -------------------------------------------------------------------------------------


def test_replicas_are_packed_while_their_first_layers_are_no_wider_than_pack_units() -> None:
    sizes = {
        (pack.variant, pack.role): len(pack.seeds)
        for pack in plan(params(seeds=8, pack_units=32), datasets=["notes"])
        if pack.seeds[0] == 0
    }
    assert sizes == {
        ("original", "replica"): 2,  # 16 units
        ("l2", "replica"): 2,
        ("dropout", "replica"): 2,
        ("smaller", "replica"): 8,  # 4 units
        ("larger", "replica"): 1,  # 40 units: wider than a pack, and yet trained
        ("original", "final"): 1,  # each has an order of its own
    }


def test_the_last_pack_may_be_smaller() -> None:
    found = plan(params(seeds=5), datasets=["notes"], variants=["l2"])
    assert sorted(pack.seeds for pack in found) == [(0, 1), (2, 3), (4,)]


def test_the_longest_pack_is_first_and_costs_are_multiplications() -> None:
    found = plan(params(seeds=1))
    assert [pack.cost for pack in found] == sorted((pack.cost for pack in found), reverse=True)
    assert (found[0].dataset, found[0].variant) == ("notes", "larger")
    assert found[0].cost == 3 * (TRAIN - HELD_OUT) * (700 * 40 + 40 * 40)


def test_replicas_share_the_order_of_their_batches_and_final_runs_have_one_each() -> None:
    for pack in plan(params(seeds=3)):
        assert pack.order_seed == 3 + (pack.seeds[0] if pack.role == "final" else 0)
        assert pack.parameters["data_order_seed"] == pack.order_seed


def test_names_say_what_trains() -> None:
    names = {pack.name for pack in plan(datasets=["notes"])}
    assert {"notes/l2 seeds 0-1", "notes/larger seed 0", "notes/original (final) seed 1"} <= names


def test_a_pack_without_known_runs_keeps_the_others_and_its_share_of_the_cost() -> None:
    (pack,) = plan(params(pack_units=80, seeds=5), datasets=["notes"], variants=["l2"])
    left = pack.without({pack.fingerprints[0], pack.fingerprints[3]})
    assert left.seeds == (1, 2, 4)
    assert left.fingerprints == tuple(pack.fingerprints[k] for k in (1, 2, 4))
    assert left.cost == pytest.approx(pack.cost * 3 / 5)


@decides
def test_where_the_pack_decides_bits_it_trains_whole_while_any_run_is_left() -> None:
    (pack,) = plan(params(pack_units=80, seeds=5), datasets=["notes"], variants=["l2"])
    left = pack.without({pack.fingerprints[0], pack.fingerprints[3], "of another"})
    assert (left.seeds, left.fingerprints, left.cost) == (pack.seeds, pack.fingerprints, pack.cost)
    assert left.recorded == {pack.fingerprints[0], pack.fingerprints[3]}
    assert not pack.without(set()).recorded
    assert pack.without(set(pack.fingerprints)).seeds == ()


# --- fingerprints ------------------------------------------------------------------------------


def test_every_run_has_a_fingerprint_of_its_own() -> None:
    found = [
        fingerprint
        for protocol in ("fair", "lecture")
        for fingerprint in fingerprints(plan(protocol=protocol)).values()
    ]
    assert len(set(found)) == len(found)


def changed(path: str, value: Any) -> Params:
    """The small params with another value at `path`."""
    plain = json.loads(json.dumps(values()))  # values share parts
    place = plain
    *parts, last = path.split("/")
    for part in parts:
        place = place.setdefault(part, {})
    place[last] = value
    return Params.model_validate_json(json.dumps(plain))


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
        ("datasets/notes/network/scale", 2.0, REPLICAS_AND_FINALS),
        ("datasets/notes/training/batch_size", 21, REPLICAS_AND_FINALS),
        ("datasets/notes/training/optimizer/learning_rate", 0.01, REPLICAS_AND_FINALS),
        ("datasets/notes/training/optimizer/name", "adam", REPLICAS_AND_FINALS),
        ("data_order_seed", 4, REPLICAS_AND_FINALS),
        ("datasets/notes/training/epochs", 4, REPLICAS),
        ("datasets/notes/training/validation/samples", 20, REPLICAS),
        ("datasets/notes/training/validation/take", "last", REPLICAS),
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
def test_fingerprints_change_with_what_matters_and_with_nothing_else(
    path: str, value: Any, expected: set[tuple[str, str]]
) -> None:
    before = fingerprints(plan(datasets=["notes"]))
    after = fingerprints(plan(changed(path, value), datasets=["notes"]))
    differ = {
        (role, variant) for (name, variant, role, seed), f in before.items() if after[name, variant, role, seed] != f
    }
    assert differ == expected


@decides
def test_where_the_pack_decides_bits_place_and_size_change_the_fingerprint() -> None:
    few, more, fewer_a_pack = (
        fingerprints(plan(params(seeds=seeds, pack_units=units), datasets=["notes"], variants=["l2"]))
        for seeds, units in ((2, 80), (3, 80), (3, 32))  # packs of 2, of 3, of 2 and 1
    )
    assert not set(few.values()) & set(more.values())
    first = {key: value for key, value in fewer_a_pack.items() if key[3] < 2}
    assert first == few
    turned = fingerprints(plan(params(pack_units=80), datasets=["notes"], variants=["l2"], seeds=[1, 0]))
    assert not set(turned.values()) & set(few.values())


def test_a_further_class_changes_the_fingerprint() -> None:
    before, after = (
        fingerprints(plan(changed("datasets/tones/labels", labels), datasets=["tones"]))
        for labels in (["dark", "grey", "light"], ["dark", "grey", "light", "white"])
    )
    assert not set(before.values()) & set(after.values())


def test_other_data_change_the_fingerprint(tmp_path: Path) -> None:
    before = fingerprints(plan())
    path = tmp_path / "data" / "vectorized" / "notes" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": "0" * 64}))
    after = fingerprints(plan())
    assert {key[0] for key in before if before[key] != after[key]} == {"notes"}


@pytest.mark.parametrize("visible", ["", "-1"])
def test_a_machine_without_gpus_has_one_fingerprint_whether_gpus_are_hidden_or_not(
    monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert provenance.device() == "cpu"
    hidden = fingerprints(plan())
    monkeypatch.setattr(provenance, "device", lambda: "cpu")
    assert fingerprints(plan()) == hidden
    monkeypatch.setattr(provenance, "device", lambda: "NVIDIA H200")
    assert not set(fingerprints(plan()).values()) & set(hidden.values())


def test_a_process_that_has_trained_plans_the_same_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    before = fingerprints(plan())
    runner.prepare(1)
    assert fingerprints(plan()) == before


def test_runs_keep_their_fingerprints_in_any_selection() -> None:
    every = fingerprints(plan(params(seeds=6)))
    selections: list[Callable[[], list[Pack]]] = [
        lambda: plan(datasets=["notes"], variants=["l2"], seeds=[3]),
        lambda: plan(seeds=[5, 1]),
        lambda: plan(params(pack_units=1, seeds=4)),
    ]
    for selection in selections:
        assert fingerprints(selection()).items() <= every.items()
