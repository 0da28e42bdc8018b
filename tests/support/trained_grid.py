"""Train the points of a grid on the small texts, so that a sweep over this grid finds its runs already trained."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from small_data import params, values

from feedforward.experiments import plan, runner

if TYPE_CHECKING:
    from feedforward.tracking import Store


def train_grid(store: "Store", points: Sequence[Mapping[str, float]], seeds: int) -> None:
    """Train `original`, `l2` and a variant for each of the points."""
    variants = {name: values()["variants"][name] for name in ("original", "l2")}
    variants |= {f"point-{index}": dict(point) for index, point in enumerate(points)}
    small_params = params(seeds=seeds, variants=variants)
    for pack in plan.plan(small_params, "fair", ["notes"]):
        runner.train_pack(pack, small_params, store)
