"""Train `original`, `l2` and other points of a grid on the small texts; a sweep over this grid has the same runs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from small_data import params, values

from feedforward.experiments import plan, runner

if TYPE_CHECKING:
    from feedforward.tracking import Store


def train_grid(store: "Store", points: Sequence[Mapping[str, float]], seeds: int) -> None:
    variants = {name: values()["variants"][name] for name in ("original", "l2")}
    variants |= {f"point-{number}": dict(point) for number, point in enumerate(points)}
    chosen = params(seeds=seeds, variants=variants)
    for pack in plan.plan(chosen, "fair", ["notes"]):
        runner.train_pack(pack, chosen, store)
