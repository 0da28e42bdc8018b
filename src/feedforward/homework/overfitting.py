"""Task 3: the overfit epoch of a run, from its curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feedforward.homework.outcome import Outcome, Wrong, call, run_check

Curves = Mapping[str, Sequence[float]]


def _curves(losses: Sequence[float], accuracies: Sequence[float]) -> Curves:
    """Curves like those of a run with these validation losses and accuracies; the training loss keeps falling."""
    training_losses = [0.6 * 0.7**epoch for epoch in range(len(losses))]
    training_accuracies = [1 - loss / 2 for loss in training_losses]
    training = {"loss": training_losses, "cross_entropy": training_losses, "accuracy": training_accuracies}
    return {**training, "val_loss": losses, "val_cross_entropy": losses, "val_accuracy": accuracies}


CASES = (
    _curves([0.60, 0.42, 0.35, 0.38, 0.47, 0.60], [0.70, 0.81, 0.84, 0.83, 0.86, 0.82]),
    _curves([0.60, 0.45, 0.48, 0.36, 0.33, 0.40, 0.52], [0.70, 0.80, 0.79, 0.87, 0.86, 0.84, 0.82]),  # with a bump
    _curves([0.60, 0.50, 0.44, 0.40], [0.70, 0.75, 0.80, 0.78]),  # it never overfits
)


def check_overfit_epoch(find: Any) -> Outcome:
    """Check `find(curves)`, which returns the overfit epoch as an integer; the first epoch is 1.

    curves: the `curves` of a run, which have one value per epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`, ….
    """
    return run_check(lambda: _check(find))


def _check(find: Any) -> str:
    received = [_whole(call(find, curves, call_text="find(curves)")) for curves in CASES]
    if received == [_lowest(curves["val_cross_entropy"]) for curves in CASES]:
        return f"Correct for {len(CASES)} runs, including one with a bump and one that never overfits."
    raise Wrong(_hint(received))


def _whole(epoch: Any) -> int:
    try:
        if not isinstance(epoch, bool | str) and int(epoch) == float(epoch):
            return int(epoch)
    except (TypeError, ValueError, OverflowError):  # a list, NaN, infinity
        pass
    raise Wrong(f"An epoch is a whole number, got {epoch!r}.")


def _hint(received: list[int]) -> str:
    for hint, mistake in MISTAKES.items():
        if received == [mistake(curves) for curves in CASES]:
            return hint
    expected = [_lowest(curves["val_cross_entropy"]) for curves in CASES]
    case = next(k for k, epoch in enumerate(received) if epoch != expected[k])
    values = ", ".join(f"{value:.2f}" for value in CASES[case]["val_cross_entropy"])
    return f"For the validation losses {values}, the function returns epoch {received[case]}."


def _lowest(curve: Sequence[float]) -> int:
    return min(range(len(curve)), key=lambda epoch: curve[epoch]) + 1


def _most_accurate(curves: Curves) -> int:
    curve = curves["val_accuracy"]
    return max(range(len(curve)), key=lambda epoch: curve[epoch]) + 1


def _first_rise(curves: Curves) -> int:
    curve = curves["val_cross_entropy"]
    return next((k for k in range(1, len(curve)) if curve[k] > curve[k - 1]), len(curve))


MISTAKES: dict[str, Callable[[Curves], int]] = {
    "The count starts at 1: Keras prints `Epoch 1` first.": lambda curves: _lowest(curves["val_cross_entropy"]) - 1,
    "That is one epoch late: when was the network at its best?": lambda curves: (
        _lowest(curves["val_cross_entropy"]) + 1
    ),
    "The loss on the training samples says nothing about overfitting: it keeps falling.": lambda curves: _lowest(
        curves["loss"]
    ),
    "Accuracy changes only when a probability crosses one half; another curve says more.": _most_accurate,
    "A loss may rise for an epoch and then fall further: look at the whole curve.": _first_rise,
}
