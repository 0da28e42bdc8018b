"""Runs of variants with mean curves and intervals, recorded in a real store without training."""

from typing import TYPE_CHECKING

from small_data import params
from synthetic_runs import SHAPES, replica_run

from feedforward.experiments import parent_runs, plan

if TYPE_CHECKING:
    from feedforward.tracking import Store


def record_variants(store: "Store") -> None:
    """Record the runs of five variants with three seeds each."""
    small_params = params(seeds=3)
    packs = [pack for pack in plan.plan(small_params, "fair", ["notes"]) if pack.role == "replica"]
    results = {
        member.fingerprint: replica_run("notes", member.variant, pack.seed, 20, SHAPES[member.variant])
        for pack in packs
        for member in pack.members
    }
    parent_runs.conclude(packs, results, small_params, store)
