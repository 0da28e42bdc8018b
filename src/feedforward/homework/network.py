"""Task 1: a function that builds any feedforward network with Keras. The check does not import Keras itself."""

from collections.abc import Sequence
from typing import Any

from feedforward.homework.outcome import Outcome, Wrong, call, run_check

# arguments of `build`, in its order
CASES = ((7, (5, 3), 2, "tanh", "softmax"), (4, (6,), 1, "relu", "sigmoid"), (3, (8, 4, 2), 5, "relu", "linear"))


def check_network(build: Any) -> Outcome:
    """Check `build(columns, hidden, outputs, activation, last)`, which returns a Keras model.

    columns: number of features. hidden: units of each hidden layer. outputs: units of the last layer. activation: Keras
    name of the activation of the hidden layers. last: Keras name of the activation of the last layer.
    """
    return run_check(lambda: _check(build))


def _check(build: Any) -> str:
    for columns, hidden, outputs, activation, last in CASES:
        call_text = f"build({columns}, {hidden}, {outputs}, {activation!r}, {last!r})"
        model = call(build, columns, hidden, outputs, activation, last, call_text=call_text)
        dense = [layer for layer in getattr(model, "layers", ()) if type(layer).__name__ == "Dense"]
        if not dense:
            raise Wrong(f"{call_text} returns {type(model).__name__} without a Dense layer; a Keras model is expected.")
        _check_units(call_text, [layer.units for layer in dense], hidden, outputs)
        _check_activations(call_text, [_name(layer.activation) for layer in dense], activation, last)
        _check_columns(call_text, dense[0], columns)
    return f"{len(CASES)} networks of different shapes are correct."


def _check_units(call_text: str, units: list[int], hidden: Sequence[int], outputs: int) -> None:
    if units == [*hidden, outputs]:
        return
    text = f"{call_text} has Dense layers of {', '.join(map(str, units))} units."
    if len(units) != len(hidden) + 1:
        expected = len(hidden) + 1
        raise Wrong(f"{text} {expected} Dense layers are expected here: one for each number in `hidden`, and one more.")
    if units[-1] != outputs:
        raise Wrong(f"{text} The last layer must have as many units as there are outputs.")
    raise Wrong(f"{text} Do the hidden layers take their units from `hidden`, in that order?")


def _check_activations(call_text: str, received: list[str], activation: str, last: str) -> None:
    *hidden, output = received
    if activation != "linear" and "linear" in hidden:
        raise Wrong(f"{call_text}: a hidden layer has no activation. Without one, two layers can do no more than one.")
    if wrong := [name for name in hidden if name != activation]:
        raise Wrong(f"{call_text}: the activation of a hidden layer is {wrong[0]}; does it follow the argument?")
    if output != last:
        raise Wrong(f"{call_text}: the activation of the last layer is {output}; does it follow the argument?")


def _name(activation: Any) -> str:
    """The name of an activation, which is a function or, for instance, a layer."""
    return getattr(activation, "__name__", None) or type(activation).__name__


def _check_columns(call_text: str, first: Any, columns: int) -> None:
    if not first.built:
        raise Wrong(f"{call_text} has no weights yet: the network does not know how many numbers describe a sample.")
    if (received := int(first.kernel.shape[0])) != columns:
        raise Wrong(f"{call_text}: the first layer expects samples with {received} features.")
