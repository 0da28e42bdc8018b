"""The search is reproducible, so that it can be resumed, and comes close to the minimum; the importance of fields."""

import math

import pytest

from feedforward.experiments.optuna_search import Search, importance
from feedforward.experiments.search_space import Axis, Point

AXES = [Axis("l2", (1e-5, 1e-1), True), Axis("epochs", (2, 9), True), Axis("size", ("small", "base"))]


def valley(point: Point) -> float:
    """Return a loss with its minimum at l2 = 0.001, epochs = 6, size = base."""
    return (math.log10(float(point["l2"])) + 3) ** 2 + abs(int(point["epochs"]) - 6) / 10 + (point["size"] == "small")


def searched_points(rounds: int) -> list[Point]:
    """Return the points of all rounds, four in each."""
    search, points = Search(AXES), list[Point]()
    for _ in range(rounds):
        trials = search.ask(4)
        points += trials
        search.tell([valley(point) for point in trials])
    return points


@pytest.mark.slow
def test_search_is_reproducible_and_comes_close_to_the_minimum() -> None:
    points = searched_points(10)
    assert searched_points(5) == points[:20]
    assert min(map(valley, points)) < 0.5
    assert all(1e-5 <= float(p["l2"]) <= 1e-1 and 2 <= int(p["epochs"]) <= 9 for p in points)
    early, late = points[:12], points[-12:]
    assert sum(map(valley, late)) < sum(map(valley, early))


def test_search_continues_after_a_failed_trial() -> None:
    search = Search(AXES)
    search.ask(2)
    search.tell([None, 0.5])
    assert len(search.ask(1)) == 1


@pytest.mark.parametrize(
    "ends", [(0.123411, 0.123414), (0.99996, 0.99999), (1e-5, 0.1), (0.0, 0.5), (0.00012344, 0.0123), (0, 1)]
)
def test_points_stay_in_the_range_and_differ(ends: tuple[float, float]) -> None:
    points = [float(point["dropout_rate"]) for point in Search([Axis("dropout_rate", ends, True)]).ask(10)]
    assert all(ends[0] <= point <= ends[1] for point in points)
    assert len(set(points)) == 10
    assert max(len(repr(point)) for point in points) <= 11  # readable


@pytest.mark.slow
def test_maximizing_tries_the_same_points_as_minimizing_the_negative() -> None:
    searches = Search(AXES), Search(AXES, "higher")
    for _ in range(6):
        trials = [search.ask(4) for search in searches]
        assert trials[0] == trials[1]
        for search, sign in zip(searches, (1, -1), strict=True):
            search.tell([sign * valley(point) for point in trials[0]])


def test_importance_does_not_depend_on_the_order_in_which_values_are_listed() -> None:
    orders = [(0, 0.001, 0.1), (0.001, 0, 0.1), (0.001, 0.1, 0)]
    points: list[Point] = [{"l2": l2, "size": size} for l2 in orders[0] for size in ("small", "base")]
    losses = [float(point["l2"]) + (point["size"] == "small") for point in points]
    sizes = Axis("size", ("small", "base"))
    importances = [importance([Axis("l2", order), sizes], points, losses) for order in orders]
    assert importances[0]
    assert importances == [importances[0]] * 3


@pytest.mark.slow
def test_importance_is_highest_for_the_field_that_determines_the_result() -> None:
    axes = [Axis("l2", (1e-5, 1e-1), True), Axis("epochs", (2, 3, 4)), Axis("size", ("small", "base"))]
    points = [
        {"l2": 10.0**exponent, "epochs": epochs, "size": size}
        for exponent in (-5, -3, -1)
        for epochs in (2, 3, 4)
        for size in ("small", "base")
    ]
    losses = [(point["size"] == "base") + 0.1 * int(point["epochs"]) for point in points]
    by_field = importance(axes, points, losses)
    assert next(iter(by_field)) == "size"
    assert by_field["size"] > 0.8 > 0.3 > by_field["epochs"] > by_field["l2"]
    assert 0.9 < sum(by_field.values()) <= 1.001
    assert importance(axes, points, losses) == by_field
    assert importance(axes, points, [1.0] * len(points)) == {}  # equal losses
    assert importance(axes, points[:3], losses[:3]) == {}  # too few trials
    assert importance(axes[:1], [{"l2": point["l2"]} for point in points], losses) == {}  # a single field
