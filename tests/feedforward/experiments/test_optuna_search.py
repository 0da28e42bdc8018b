"""The search is reproducible, hence resumable, and finds the minimum."""

import math

import pytest

from feedforward.experiments.optuna_search import Search
from feedforward.experiments.search_space import Axis, Point

AXES = [Axis("l2", (1e-5, 1e-1), True), Axis("epochs", (2, 9), True), Axis("size", ("small", "base"))]


def valley(point: Point) -> float:
    return (math.log10(float(point["l2"])) + 3) ** 2 + abs(int(point["epochs"]) - 6) / 10 + (point["size"] == "small")


def tried(rounds: int) -> list[Point]:
    search, points = Search(AXES), list[Point]()
    for _ in range(rounds):
        asked = search.ask(4)
        points += asked
        search.tell([valley(point) for point in asked])
    return points


@pytest.mark.slow
def test_the_same_results_lead_to_the_same_points_and_to_the_minimum() -> None:
    points = tried(10)
    assert tried(5) == points[:20]
    assert min(map(valley, points)) < 0.5
    assert all(1e-5 <= float(p["l2"]) <= 1e-1 and 2 <= int(p["epochs"]) <= 9 for p in points)
    early, late = points[:12], points[-12:]
    assert sum(map(valley, late)) < sum(map(valley, early))


def test_a_failed_trial_does_not_end_the_search() -> None:
    search = Search(AXES)
    search.ask(2)
    search.tell([None, 0.5])
    assert len(search.ask(1)) == 1
