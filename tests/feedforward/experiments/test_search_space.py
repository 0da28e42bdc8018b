"""The fields and values of a sweep, and the mistakes that are reported before any work."""

import pytest
from small_data import params, params_with, values

from feedforward.config import yaml_reader
from feedforward.config.schema import check
from feedforward.config.training import Decay
from feedforward.core.errors import ParamsError
from feedforward.experiments import search_space
from feedforward.experiments.search_space import Axis


def parse(*texts: str, search: bool = False) -> list[Axis]:
    return search_space.parse(texts, params(), "notes", "original", search)


def test_a_grid_contains_all_combinations() -> None:
    axes = parse("dropout_rate=0,0.5", "size=base,small")
    assert [search_space.text(point) for point in search_space.grid(axes)] == [
        "dropout_rate=0 size=base",
        "dropout_rate=0 size=small",
        "dropout_rate=0.5 size=base",
        "dropout_rate=0.5 size=small",
    ]


@pytest.mark.parametrize(("field", "value"), [("l2", 0.5), ("epochs", 7), ("optimizer.learning_rate", 0.02)])
def test_a_value_changes_only_its_field(field: str, value: float) -> None:
    changed = search_space.apply(params(), "notes", "original", {field: value})
    assert list(changed.datasets) == ["notes"]
    before, after = (each.model_dump() for each in (params(), changed))
    before["datasets"] = {"notes": before["datasets"]["notes"]}
    *path, last = search_space.fields("notes", "original")[field]
    inner = before
    for key in path:
        inner = inner[key]
    assert inner[last] != value
    inner[last] = value
    assert before == after


@pytest.mark.parametrize(
    ("text", "is_log"),
    [("l2=1e-5..1e-2", True), ("l2=0.01..0.1", True), ("dropout_rate=0..0.6", False), ("epochs=2..9", False)],
)
def test_a_range_over_an_order_of_magnitude_or_more_is_logarithmic(text: str, is_log: bool) -> None:
    [axis] = parse(text, search=True)
    assert axis.is_range
    assert axis.is_log == is_log


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["dropout_rat=0.1"], r"unknown field 'dropout_rat': must be one of size, .*; did you mean dropout_rate\?"),
        (["size=smal"], r"size: must be one of base, small, large, got smal; did you mean small\?"),
        (["optimizer.name=adm"], r"optimizer.name: must be one of rmsprop, .*, got adm; did you mean adam\?"),
        (["dropout_rate=1"], r"variants\.original\.dropout_rate: must be below 1.*, got 1"),
        (["epochs=2.5"], r"datasets\.notes\.training\.epochs: .*, got 2\.5"),
        (["l2=nan"], r"variants\.original\.l2: must be a finite number, got nan"),
        (["l2=0,0.0"], "l2=0,0.0: must not contain a value twice"),
        (["l2"], "l2: must be l2=VALUE"),
        (["l2=0,"], "l2=0,: must be l2=VALUE"),
        (["l2=1e-5..1e-2"], "l2=1e-5..1e-2: a range needs --trials, the number of values to try, which "
         "must be 1 or more"),
        (["l2=0", "l2=1"], "l2: must not be given twice"),
        ([f"epochs={','.join(map(str, range(1, 20)))}", f"l2={','.join(map(str, range(10)))},0.1,0.2,0.3,0.4"],
         "266 combinations: must be at most 256; search them with --trials"),
    ],
)  # fmt: skip
def test_invalid_fields_are_reported(texts: list[str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse(*texts)


def test_trials_are_compared_by_a_statistic_that_the_task_has() -> None:
    assert search_space.statistic("last_val_accuracy", params().datasets["notes"]) == "last_val_accuracy"
    with pytest.raises(ParamsError, match=r"--statistic: must be one of .*, got best_val_mae; did you mean"):
        search_space.statistic("best_val_mae", params().datasets["notes"])


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(ParamsError) as caught:
        parse("l2=-1,1e9", "droput_rate=0", "size=tiny")
    assert len(caught.value.problems) == 4


def test_values_are_checked_in_combination() -> None:
    assert len(parse("optimizer.name=adam", "optimizer.beta_1=0.8,0.9")) == 2
    with pytest.raises(ParamsError, match="beta_1: is not a parameter of rmsprop"):
        parse("optimizer.name=adam,rmsprop", "optimizer.beta_1=0.8,0.9")


def test_learning_rate_decay_can_be_swept() -> None:
    changed = search_space.apply(params(), "notes", "original", {"optimizer.decay": "cosine"})
    assert changed.datasets["notes"].training.optimizer.decay == Decay(kind="cosine")
    without_decay = search_space.apply(changed, "notes", "original", {"optimizer.decay": "none"})
    assert without_decay.datasets["notes"].training.optimizer.decay is None
    with pytest.raises(ParamsError, match=r"must be one of none, exponential, cosine, got cosin; did you mean cosine"):
        parse("optimizer.decay=cosin")


def test_a_swept_decay_has_the_factor_of_params_yaml() -> None:
    decay = {"kind": "exponential", "factor": 0.5}
    chosen = params_with("datasets/notes/training/optimizer/decay", decay)
    axes = [Axis("optimizer.decay", ("none", "exponential", "cosine"))]
    decays = [
        search_space.apply(chosen, "notes", "original", point).datasets["notes"].training.optimizer.decay
        for point in search_space.grid(axes)
    ]
    assert decays == [None, Decay(kind="exponential", factor=0.5), Decay(kind="cosine")]
    assert search_space.named(chosen.datasets["notes"], axes) == {"optimizer.decay exponential": decay}


def test_a_range_must_be_ascending() -> None:
    with pytest.raises(ParamsError, match="must be two numbers, the lower one first"):
        parse("l2=1e-2..1e-5", search=True)


@pytest.mark.proves("`sweep` accepts values of every field that it offers")
def test_values_of_all_listed_fields_are_accepted() -> None:
    names = {"size": "base,small", "optimizer.name": "sgd,adam", "optimizer.decay": "none,cosine"}
    numbers = {"epochs": "1,2", "batch_size": "8,16", "train_share": "0.5,1"}
    for field in search_space.fields("notes", "original"):
        optimizer = {"optimizer.rho": "rmsprop", "optimizer.epsilon": "adam", "optimizer.momentum": "sgd"}.get(field)
        optimizer = optimizer or ("adam" if "beta" in field else "adagrad" if "accumulator" in field else "rmsprop")
        plain = values()
        plain["datasets"]["notes"]["training"]["optimizer"] = {"name": optimizer}
        params = check(yaml_reader.freeze(plain), "params.yaml")
        text = f"{field}={(names | numbers).get(field, '0.1,0.2')}"
        [axis] = search_space.parse([text], params, "notes", "original", search=False)
        assert len(axis.values) == 2
