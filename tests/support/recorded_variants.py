"""Runs of variants with mean curves and intervals in a real store, made without training."""

from typing import TYPE_CHECKING

from small_data import params
from synthetic_runs import LIKE_THE_LECTURE, one_run

from feedforward.experiments import parent_runs, plan

if TYPE_CHECKING:
    from feedforward.tracking import Store


def record_variants(store: "Store") -> None:
    """The runs of five variants over three seeds."""
    chosen = params(seeds=3)
    packs = [pack for pack in plan.plan(chosen, "fair", ["notes"]) if pack.role == "replica"]
    results = {
        member.fingerprint: one_run("notes", member.variant, pack.seed, 20, LIKE_THE_LECTURE[member.variant])
        for pack in packs
        for member in pack.members
    }
    parent_runs.conclude(packs, results, chosen, store)
