"""notebooks/homework.ipynb: solutions pass each check, and each typical mistake gets a hint that fits it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from scipy import stats

import feedforward as ff
from feedforward.analysis.run_result import RunResult
from feedforward.config import schema

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "homework.ipynb"
SOLUTIONS = {
    "build": """
keras = ff.keras

def build(columns, hidden, outputs, activation, last):
    layers = [keras.Input((columns,))]
    layers += [keras.layers.Dense(units, activation=activation) for units in hidden]
    return keras.Sequential([*layers, keras.layers.Dense(outputs, activation=last)])
""",
    "choices": """
choices = {
    "binary": ("sigmoid", "binary_crossentropy"),
    "multiclass": ("softmax", "categorical_crossentropy"),
    "multilabel": ("sigmoid", "binary_crossentropy"),
    "regression": (None, "mse"),
    "unit_regression": ("sigmoid", "mse"),
}
""",
    "find": """
def find(curves):
    losses = curves["val_cross_entropy"]
    return losses.index(min(losses)) + 1
""",
    "compare": """
import math
import numpy as np
from scipy import stats

def compare(one, other):
    differences = np.subtract(one, other)
    mean, n = differences.mean(), len(differences)
    if n < 2:
        return mean, math.nan, math.nan, "undecided"
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)
    low, high = mean - half, mean + half
    return mean, low, high, "lower" if high < 0 else "higher" if low > 0 else "undecided"
""",
    "tried": """
tried = {"a": {"size": "large"}, "b": {"size": "large", "dropout_rate": 0.2}, "c": {"dropout_rate": 0.2}}
swept = ff.train(ff.homework.with_variants(params, tried), [digits], seeds=range(3))
losses = {name: [run.metrics["best_val_cross_entropy"] for run in swept if run.variant == name] for name in tried}
chosen = min(losses, key=lambda name: sum(losses[name]))
confirming = ff.train(ff.homework.with_variants(params, tried), [digits], ["original", chosen], seeds=range(3, 7))
""",
}
MISTAKES = {
    "build": "def build(*_):\n    return keras.Sequential([keras.layers.Dense(16), keras.layers.Dense(1)])\n",
    "choices": 'choices["regression"] = ("sigmoid", "mse")\n',
    "find": 'def find(curves):\n    return curves["loss"].index(min(curves["loss"])) + 1\n',
    "compare": SOLUTIONS["compare"].replace("stats.t.ppf(0.975, n - 1)", "1.96"),
    "tried": "confirming = swept\n",
}


@pytest.mark.slow
def test_solutions_pass_and_typical_mistakes_get_their_hints_in_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # otherwise, ipykernel does not show what native code writes
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    checks = [cell for cell in notebook.cells if cell.source.startswith("ff.homework.check_")]
    gaps = [cell for cell in notebook.cells if cell.cell_type == "code" and "..." in cell.source]
    assert len(checks) == len(gaps) == len(SOLUTIONS)
    for cell, solution in zip(gaps, SOLUTIONS.values(), strict=True):
        cell.source = solution
    for mistake, check in zip(MISTAKES.values(), checks, strict=True):
        notebook.cells += [nbformat.v4.new_code_cell(source) for source in (mistake, check.source)]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    assert not [output.text for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output]
    outputs = [output for cell in notebook.cells if "ff.homework.check_" in cell.source for output in cell.outputs]
    texts = [output["data"]["text/plain"] for output in outputs if "data" in output]
    assert [text[0] for text in texts] == ["✓"] * 5 + ["✗"] * 5, texts
    assert "it beats the baseline" in texts[4]
    hints = ("3 Dense layers are expected here", "the target may be any number", "keeps falling", "The factor 1.96")
    for text, expected in zip(
        texts[5:], (*hints, "was used to choose the winner and again to confirm it"), strict=True
    ):
        assert expected in text


# --- each mistake --------------------------------------------------------------------------------


def hint(outcome: Any) -> str:
    """Return the hint in an outcome, which must not be `solved`."""
    assert not outcome.solved
    assert repr(outcome).startswith("✗ ")
    text: str = outcome.text
    return text


@pytest.mark.slow
def test_hints_about_incorrect_networks(tensorflow: None) -> None:
    import keras

    def build(columns: int, hidden: Any, outputs: int, activation: str, last: str, /, **wrong: Any) -> Any:
        dense, units = keras.layers.Dense, wrong.get("units", hidden)
        inputs = [] if wrong.get("shapeless") else [keras.Input((wrong.get("columns", columns),))]
        hidden_layers = [dense(width, activation=wrong.get("activation", activation)) for width in units]
        return keras.Sequential(
            [*inputs, *hidden_layers, dense(wrong.get("outputs", outputs), wrong.get("last", last))]
        )

    def hint_for(**wrong: Any) -> str:
        return hint(ff.homework.check_network(lambda *arguments: build(*arguments, **wrong)))

    assert ff.homework.check_network(build).solved
    assert "take their units from `hidden`" in hint_for(units=(16, 16))
    assert "3 Dense layers are expected here" in hint_for(units=(5,))
    assert "as many units as there are outputs" in hint_for(outputs=9)
    assert "a hidden layer has no activation" in hint_for(activation="linear")
    assert "activation of a hidden layer is relu" in hint_for(activation="relu")
    assert "activation of the last layer is sigmoid" in hint_for(last="sigmoid")
    assert "does not know how many numbers" in hint_for(shapeless=True)
    assert "expects samples with 10000 features" in hint_for(columns=10_000)
    assert "without a Dense layer" in hint(ff.homework.check_network(lambda *_: keras.Sequential()))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (..., "Give the function itself"),
        (lambda *_: None, "returns nothing yet"),
        (lambda: 1, "raised TypeError"),
    ],
    ids=["gap", "nothing", "arguments"],
)
def test_hints_about_missing_functions(function: Any, expected: str) -> None:
    for check in (ff.homework.check_network, ff.homework.check_overfit_epoch, ff.homework.check_comparison):
        assert expected in hint(check(function))


class Strange:
    """An answer that no check foresees."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_an_answer_that_no_check_foresees_gets_a_hint() -> None:
    for check in (ff.homework.check_network, ff.homework.check_overfit_epoch, ff.homework.check_comparison):
        assert hint(check(lambda *_: Strange()))
    assert hint(ff.homework.check_network(lambda *_: Strange())) == (
        "The answer has an unexpected form: checking it raised RuntimeError: layers"
    )


CORRECT_CHOICES = {
    "binary": ("sigmoid", "binary_crossentropy"),
    "multiclass": ("softmax", "sparse_categorical_crossentropy"),
    "multilabel": ("sigmoid", "binary_crossentropy"),
    "regression": ("linear", "mean_squared_error"),
    "unit_regression": ("sigmoid", "binary_crossentropy"),
}


@pytest.mark.parametrize(
    ("task", "choice", "expected"),
    [
        ("binary", (..., ...), "not chosen yet"),
        ("binary", ("softmax", "binary_crossentropy"), "a single output can have only one value"),
        ("binary", ("relu", "binary_crossentropy"), "the target lies between 0 and 1"),
        ("binary", ("sigmoid", "mse"), "grows slowly for a confident wrong prediction"),
        ("binary", ("sigmoid", "categorical_crossentropy"), "exactly one of which is right"),
        ("multiclass", ("sigmoid", "categorical_crossentropy"), "exactly one label"),
        ("multiclass", (None, "categorical_crossentropy"), "not probabilities of labels"),
        ("multiclass", ("softmax", "binary_crossentropy"), "as if several labels could be right"),
        ("multilabel", ("softmax", "binary_crossentropy"), "cannot have a probability near 1 for both"),
        ("multilabel", ("sigmoid", "categorical_crossentropy"), "exactly one of which is right"),
        ("regression", ("tanh", "mse"), "between −1 and 1, but the target may be any number"),
        ("regression", (None, "binary_crossentropy"), "logarithms of outputs that may be negative"),
        ("unit_regression", (None, "mse"), "the target lies between 0 and 1"),
        ("unit_regression", ("sigmoid", "log_loss"), "not one of the losses"),
        ("unit_regression", ("logistic", "mse"), "not one of the activations"),
        ("binary", (np.array([1, 2]), "mse"), "not one of the activations"),
        ("binary", ("sigmoid", np.array([1, 2])), "not one of the losses"),
        ("binary", np.array(["sigmoid", "mse"]), "(activation, loss) is expected"),
    ],
)
def test_hints_about_incorrect_activations_and_losses(task: str, choice: Any, expected: str) -> None:
    assert ff.homework.check_tasks(CORRECT_CHOICES).solved
    text = hint(ff.homework.check_tasks(CORRECT_CHOICES | {task: choice}))
    assert text.startswith(task)
    assert expected in text
    correct = CORRECT_CHOICES[task][0]
    assert "not one of" in text or correct == choice[0] or correct not in text  # the hint does not give the answer


def test_hints_about_an_incomplete_table() -> None:
    assert "A dictionary with the keys binary" in hint(ff.homework.check_tasks({"binary": CORRECT_CHOICES["binary"]}))


FindEpoch = Callable[[dict[str, list[float]]], Any]
WRONG_FUNCTIONS: dict[str, FindEpoch] = {
    "The count starts at 1": lambda curves: curves["val_loss"].index(min(curves["val_loss"])),
    "keeps falling": lambda curves: len(curves["loss"]),
    "Accuracy changes only": lambda curves: curves["val_accuracy"].index(max(curves["val_accuracy"])) + 1,
    "may rise for an epoch": lambda curves: next(
        (k for k, (one, other) in enumerate(zip(curves["val_loss"], curves["val_loss"][1:]), 1) if other > one),  # noqa: B905
        len(curves["val_loss"]),
    ),
    "one epoch late": lambda curves: curves["val_loss"].index(min(curves["val_loss"])) + 2,
    "the function returns epoch 4": lambda _: 4,
    "An epoch is a whole number": lambda curves: min(curves["val_loss"]),
}


@pytest.mark.parametrize("expected", WRONG_FUNCTIONS)
def test_hints_about_an_incorrect_overfit_epoch(expected: str) -> None:
    assert expected in hint(ff.homework.check_overfit_epoch(WRONG_FUNCTIONS[expected]))
    correct_function: FindEpoch = lambda curves: curves["val_loss"].index(min(curves["val_loss"])) + 1  # noqa: E731
    assert ff.homework.check_overfit_epoch(correct_function).solved


@pytest.mark.parametrize("epoch", ["3", math.nan, math.inf, [3], (1, 2), {}, np.array([1, 2]), 1j, True], ids=repr)
def test_an_epoch_of_another_type_gets_a_hint(epoch: Any) -> None:
    assert hint(ff.homework.check_overfit_epoch(lambda _: epoch)) == f"An epoch is a whole number, got {epoch!r}."


def compare(one: Any, other: Any, level: float = 0.975, **wrong: Any) -> tuple[float, float, float, str]:
    """A solution of the fourth task. level (of the quantile), wrong: the mistakes in it, if any."""
    differences = [x - y for x, y in zip(one, other, strict=True)]
    n, mean = len(differences), sum(differences) / len(differences)
    if n < 2:
        return mean, math.nan, math.nan, wrong.get("alone", "undecided")
    spread = math.sqrt(sum((difference - mean) ** 2 for difference in differences) / (n - wrong.get("ddof", 1)))
    width = wrong["width"](n) if "width" in wrong else stats.t.ppf(level, n - 1) / math.sqrt(n)
    if "unpaired" in wrong:
        interval = stats.ttest_ind(one, other).confidence_interval(0.95)
        low, high = interval.low, interval.high
    else:
        low, high = mean - width * spread, mean + width * spread
    verdict = "lower" if high < 0 else "higher" if low > 0 else wrong.get("undecided", "undecided")
    return wrong.get("mean", mean), low, high, wrong.get("verdict", {}).get(verdict, verdict)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"unpaired": True}, "seed by seed"),
        ({"width": lambda n: 1.96 / math.sqrt(n)}, "The factor 1.96"),
        ({"width": lambda n: stats.t.ppf(0.975, n - 1)}, "describes a single seed"),
        ({"width": lambda n: 1 / math.sqrt(n)}, "one standard error"),
        ({"ddof": 0}, "one less than the number of values"),
        ({"level": 0.95}, "between its two sides"),
        ({"level": 0.9}, "For the differences"),
        ({"mean": -0.5}, "must be the mean difference"),
        ({"undecided": "lower"}, "contains 0, but the verdict is 'lower'"),
        ({"verdict": {"lower": "higher"}}, "but the verdict is 'higher'"),
        ({"verdict": {"lower": "better"}}, "The verdict is 'better'"),
        ({"alone": "higher"}, "a single run of each variant decides nothing"),
    ],
)
def test_hints_about_incorrect_comparisons(wrong: dict[str, Any], expected: str) -> None:
    assert expected in hint(ff.homework.check_comparison(lambda one, other: compare(one, other, **wrong)))


def test_hints_about_a_malformed_comparison() -> None:
    assert ff.homework.check_comparison(compare).solved
    assert "sign is reversed" in hint(ff.homework.check_comparison(lambda one, other: compare(other, one)))
    assert "(mean, low, high, verdict) is expected" in hint(ff.homework.check_comparison(lambda *_: 0.5))
    for verdict in (np.array(["lower", "higher"]), ["lower"], None):
        text = hint(ff.homework.check_comparison(lambda *_, verdict=verdict: (0.1, 0.1, 0.1, verdict)))
        assert text.startswith("The verdict is ")
    assert "must be the mean difference" in hint(
        ff.homework.check_comparison(lambda one, other: compare(one, other, mean=math.nan))
    )


def runs(losses: dict[str, list[float]], first_seed: int = 0) -> list[RunResult]:
    """Return runs with these lowest validation losses: for each variant, one per seed."""
    return [
        RunResult("d", name, seed, "fair", "replica", {}, {"best_val_cross_entropy": loss}, "w")
        for name, values in losses.items()
        for seed, loss in enumerate(values, start=first_seed)
    ]


SWEPT = {"original": [0.30, 0.31, 0.32], "a": [0.29, 0.30, 0.31], "b": [0.33, 0.25, 0.35], "c": [0.40, 0.41, 0.42]}
TRIED: dict[str, dict[str, float]] = {"a": {"l2": 0.001}, "b": {"l2": 0.002}, "c": {"l2": 0.1}}
CONFIRMATION = {"original": [0.30, 0.31, 0.33, 0.32], "a": [0.289, 0.30, 0.315, 0.309]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tried": ...}, "Fill in `tried`, `swept`, `chosen` and `confirming`"),
        ({"swept": None}, "`swept` must be a list of runs, as `ff.train` returns it; got NoneType"),
        ({"swept": [1]}, "`swept` must be a list of runs, as `ff.train` returns it; got a list with int"),
        ({"confirming": np.array([1, 2])}, "`confirming` must be a list of runs"),
        ({"chosen": ["a"]}, "not one of the variants that were tried"),
        ({"chosen": np.array(["a", "b"])}, "not one of the variants that were tried"),
        ({"tried": {"a": {}}}, "A sweep needs at least 3 values to show a trend; got 1"),
        ({"swept": runs({"original": SWEPT["original"]})}, "There are no runs of a in the sweep"),
        ({"swept": runs(SWEPT | {"a": [0.3]})}, "ran with different seeds"),
        ({"swept": runs({name: values[:1] for name, values in SWEPT.items()})}, "at least 3 seeds; got 1"),
        ({"chosen": "d"}, "not one of the variants that were tried"),
        ({"chosen": "b"}, "has the best single run"),
        ({"chosen": "c"}, "does not have the lowest mean"),
        ({"confirming": runs(CONFIRMATION)}, "Seed 0 was used to choose the winner and again to confirm it"),
        ({"confirming": runs(CONFIRMATION | {"a": [0.31, 0.30, 0.335, 0.325]}, 3)}, "the interval contains 0"),
        ({"confirming": runs(dict.fromkeys(CONFIRMATION, CONFIRMATION["a"]), 3)}, "exactly the same difference"),
        (
            {"confirming": runs({"a": CONFIRMATION["original"], "original": CONFIRMATION["a"]}, 3)},
            "the baseline is better",
        ),
    ],
)
def test_hints_about_incorrect_sweeps(changes: dict[str, Any], expected: str) -> None:
    answer = {"tried": TRIED, "swept": runs(SWEPT), "chosen": "a", "confirming": runs(CONFIRMATION, 3)}
    assert ff.homework.check_sweep(*answer.values()).solved
    assert expected in hint(ff.homework.check_sweep(*(answer | changes).values()))


def test_a_sweep_does_not_need_the_variant_of_the_final_model() -> None:
    values = ff.load_params(Path(__file__).parents[3] / "params.yaml").model_dump()
    for dataset in values["datasets"].values():
        dataset["claims"] = ()
        dataset["training"]["final"]["variant"] = "dropout"
    swept = ff.homework.with_variants(schema.check(values, "params.yaml"), {"weak": {"dropout_rate": 0.2}})
    assert {dataset.training.final.variant for dataset in swept.datasets.values()} == {"original"}
