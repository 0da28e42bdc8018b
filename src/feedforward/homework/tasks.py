"""Task 2: the last activation and the loss for each kind of task, with hints that follow from their properties."""

from collections.abc import Mapping
from typing import Any

from feedforward.homework.outcome import Outcome, Wrong, run_check

KINDS = {
    "binary": "two classes, one output",
    "multiclass": "one of many labels",
    "multilabel": "any number of labels",
    "regression": "any number",
    "unit_regression": "a number between 0 and 1",
}
RANGES = {
    "sigmoid": "between 0 and 1",
    "softmax": "between 0 and 1, with a sum of 1",
    "tanh": "between −1 and 1",
    "relu": "0 or above",
    "linear": "of any size",
}
LOSSES = {  # Keras name → the loss that it means; the sparse form only takes labels in another form
    "binary_crossentropy": "binary_crossentropy",
    "categorical_crossentropy": "categorical_crossentropy",
    "sparse_categorical_crossentropy": "categorical_crossentropy",
    "mse": "mean_squared_error",
    "mean_squared_error": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mean_absolute_error": "mean_absolute_error",
}
DISTANCES = ("mean_squared_error", "mean_absolute_error")


def check_tasks(choices: Any) -> Outcome:
    """Check a dictionary that maps each kind of task to (last activation, loss), given by their Keras names.

    The kinds of task are the keys of `ff.TASKS`. An activation of None means no activation.
    """
    return run_check(lambda: _check(choices))


def _check(choices: Any) -> str:
    if not isinstance(choices, Mapping) or set(choices) != set(KINDS):
        raise Wrong(f"A dictionary with the keys {', '.join(KINDS)} is expected.")
    hints = [hint for task in KINDS if (hint := _hint(task, choices[task]))]
    if hints:
        raise Wrong("\n  ".join(hints))
    return "Activation and loss are right for each kind of task."


def _hint(task: str, choice: Any) -> str:
    about = f"{task} ({KINDS[task]}): "
    if not isinstance(choice, tuple | list) or len(choice) != 2 or any(part is ... for part in choice):
        return f"{about}not chosen yet; (activation, loss) is expected."
    activation = "linear" if str(choice[0]) in ("None", "none") else str(choice[0])
    if activation not in RANGES:
        return f"{about}{activation!r} is not one of the activations {', '.join(RANGES)}."
    if str(choice[1]) not in LOSSES:
        return f"{about}{choice[1]!r} is not one of the losses {', '.join(LOSSES)}."
    problem = _activation_problem(task, activation) or _loss_problem(task, LOSSES[str(choice[1])])
    return f"{about}{problem}" if problem else ""


def _activation_problem(task: str, activation: str) -> str:
    outputs = f"outputs of {activation} are {RANGES[activation]}"
    if task == "regression":
        return "" if activation == "linear" else f"{outputs}, but the target may be any number."
    if task == "multiclass":
        if activation == "sigmoid":
            return "the outputs would be independent of each other, but a sample has exactly one label."
        return "" if activation == "softmax" else f"{outputs}, so they are not probabilities of labels."
    if activation == "softmax" and task == "multilabel":
        return f"{outputs}, so a sample with two labels cannot have a probability near 1 for both."
    if activation == "softmax":
        return f"{outputs}, so a single output can have only one value."
    return "" if activation == "sigmoid" else f"{outputs}, but the target lies between 0 and 1."


def _loss_problem(task: str, loss: str) -> str:
    if task == "regression":
        return "" if loss in DISTANCES else f"{loss} takes logarithms of outputs that may be negative here."
    if loss in DISTANCES and task != "unit_regression":
        return f"{loss} grows slowly for a confident wrong prediction; losses for probabilities do not."
    if task == "multiclass" and loss == "binary_crossentropy":
        return f"{loss} judges each output by itself, as if several labels could be right."
    if task != "multiclass" and loss == "categorical_crossentropy":
        return f"{loss} expects probabilities of several labels, exactly one of which is right."
    return ""
