"""Packs of the small datasets, with the params that they belong to."""

from typing import Any

from small_data import params

from feedforward.config.schema import Params
from feedforward.experiments import plan
from feedforward.experiments.plan import Pack


def replicas_of(
    *variants: str, dataset: str = "notes", protocol: str = "fair", seed: int = 0, **changes: Any
) -> tuple[Params, Pack]:
    """Return the params with `changes`, and the pack of these replicas."""
    chosen = params(**changes)
    packs = plan.plan(chosen, protocol, [dataset], variants, [seed])
    return chosen, next(pack for pack in packs if pack.role == "replica")


def final_of(dataset: str) -> tuple[Params, Pack]:
    packs = plan.plan(params(), "fair", [dataset], ["original"])
    return params(), next(pack for pack in packs if pack.role == "final")
