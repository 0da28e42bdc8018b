"""Trains `original` and `l2` and further combinations on the small texts, as `train` and `sweep` do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from small_data import params

from feedforward.experiments import plan, runner, sweep
from feedforward.experiments.search_space import Axis, Value

if TYPE_CHECKING:
    from feedforward.tracking import Store


def train_grid(store: "Store", points: Sequence[Mapping[str, Value]], seeds: int) -> None:
    chosen = params(seeds=seeds)
    for pack in plan.plan(chosen, "fair", ["notes"], ["original", "l2"]):
        runner.train_pack(pack, chosen, store)
    requested = sweep.Sweep(chosen, "notes", "original", [Axis(field, ()) for field in points[0]], seeds)
    for pack, changed in sweep.trials(requested, [dict(point) for point in points])[1]:
        runner.train_pack(pack, changed, store)
